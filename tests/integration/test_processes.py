"""The controllers of real servers do what tests rely on."""

import contextlib
import http.client
import ssl
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
import trustme

from tests.fakes import images
from tests.fakes.raw import RawClient
from tests.integration.processes import PASSWORD, USER, DockerRegistry, RedisServer, free_port, wait_until


def test_a_stopped_or_killed_registry_comes_back_with_its_images(docker_registry: DockerRegistry) -> None:
    pushed = images.image()
    images.push(docker_registry.url, "a/b", "v1", pushed)

    for end in (docker_registry.stop, docker_registry.kill):
        end()
        with pytest.raises(ConnectionRefusedError):
            images.head(docker_registry.url, "a/b", "v1")
        docker_registry.start()

        assert images.is_whole(docker_registry.url, "a/b", "v1", pushed)


def test_a_suspended_registry_hangs_until_it_is_resumed(docker_registry: DockerRegistry) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", docker_registry.port, timeout=0.3)
    with contextlib.closing(connection):
        docker_registry.suspend()
        connection.request("GET", "/v2/")
        with pytest.raises(TimeoutError):
            connection.getresponse()

    docker_registry.resume()

    assert images.head(docker_registry.url, "a/b", "v1") is None


def test_a_registry_may_demand_a_password(tmp_path: Path, stack: ExitStack) -> None:
    registry = stack.enter_context(DockerRegistry(tmp_path, htpasswd=True))

    with RawClient(registry.url) as stranger:
        assert stranger.call("GET", "/v2/").status == 401
    with RawClient(registry.url.replace("//", f"//{USER}:{PASSWORD.replace(' ', '%20')}@")) as known:
        assert known.call("GET", "/v2/").status == 200


def test_a_registry_may_speak_tls(tmp_path: Path, stack: ExitStack) -> None:
    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    server.cert_chain_pems[0].write_to_path(certificate)
    server.private_key_pem.write_to_path(key)
    registry = stack.enter_context(DockerRegistry(tmp_path / "registry", tls=(certificate, key)))
    context = ssl.create_default_context()
    authority.configure_trust(context)

    connection = http.client.HTTPSConnection("127.0.0.1", registry.port, context=context, timeout=5)
    with contextlib.closing(connection):
        connection.request("GET", "/v2/")
        assert connection.getresponse().status == 200


@pytest.mark.parametrize("binary", ["redis-server", "valkey-server"])
@pytest.mark.parametrize("port", [None, 0], ids=["socket", "port"])
def test_a_killed_redis_keeps_what_it_acknowledged(
    tmp_path: Path, stack: ExitStack, binary: str, port: int | None
) -> None:
    server = stack.enter_context(RedisServer(tmp_path, binary=binary, port=port))
    with contextlib.closing(server.client()) as client:
        client.set("a", "1")

    server.kill()
    server.start()

    with contextlib.closing(redis.Redis.from_url(server.url, decode_responses=True)) as client:
        assert client.get("a") == "1"


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(AssertionError, match=r"not within 0.05 s: rain; the last answer was 0"):
        wait_until(lambda: 0, 0.05, what="rain")


def test_a_server_that_cannot_start_shows_its_log(tmp_path: Path) -> None:
    registry = DockerRegistry(tmp_path, free_port())
    (tmp_path / "config.yml").write_text("version: nonsense\n")

    with pytest.raises(RuntimeError, match="ended at once"):
        registry.start()
    assert not registry.is_running
