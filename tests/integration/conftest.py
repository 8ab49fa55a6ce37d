"""Real servers for a test, ended when it ends. Everything below this directory is an integration test."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import judges
from tests.integration.processes import DockerRegistry, RedisServer


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Whatever a test starts, ended in reverse order: `stack.enter_context(DockerRegistry(...))`."""
    with ExitStack() as closing:
        yield closing


@pytest.fixture
def docker_registry(tmp_path: Path, stack: ExitStack) -> DockerRegistry:
    """One running docker-registry without notifications."""
    return stack.enter_context(DockerRegistry(tmp_path / "registry"))


@pytest.fixture
def redis_server(tmp_path: Path, stack: ExitStack) -> RedisServer:
    """A Redis of this test's own: Debian's, or the embedded Valkey where that is all there is."""
    binary = "redis-server" if judges.find("redis-server") else "valkey-server"
    return stack.enter_context(RedisServer(tmp_path / "redis", binary=binary))


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory for Unix sockets, whose paths have room for about a hundred characters."""
    directory = Path(tempfile.mkdtemp(prefix="r-"))
    yield directory
    shutil.rmtree(directory)
