"""The tree of `up`, where it must not come up."""

import socket
from pathlib import Path

import pytest

from replicator.errors import ConfigError
from replicator.settings import Settings
from replicator.up import tree


def test_a_port_that_is_taken_is_told_before_any_child_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        supervisor = tree(Settings.load(data=tmp_path, host="127.0.0.1", port=port))

        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            supervisor.start(deadline_s=3)

    assert not (tmp_path / "redis.sock").exists()
