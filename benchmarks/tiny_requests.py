"""What a HEAD of a manifest costs this process in CPU: by replicator's client, the standard library's, and httpx.

The server is a process of its own that answers everything the same and knows no HTTP. The clients take turns; `sockets`
sends and receives the bytes and reads nothing in them, which is what no client can save.
"""

import argparse
import http.client
import multiprocessing
import resource
import socket
import statistics
import threading
from collections.abc import Callable

import httpx

from replicator.oci import Digest, Repository, Tag
from replicator.registry import connect
from replicator.rules.registries import Registry, RegistryType

DIGEST = Digest.of(b"a manifest")
PATH = "/v2/library/alpine/manifests/latest"
# As Distribution writes it.
ANSWER = "\r\n".join(
    (
        "HTTP/1.1 200 OK",
        "Content-Length: 1234",
        "Content-Type: application/vnd.oci.image.manifest.v1+json",
        f"Docker-Content-Digest: {DIGEST}",
        "Docker-Distribution-Api-Version: registry/2.0",
        f'Etag: "{DIGEST}"',
        "X-Content-Type-Options: nosniff",
        "Date: Thu, 01 Jan 2026 00:00:00 GMT",
        "",
        "",
    )
).encode()
QUESTION = f"HEAD {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: */*\r\n\r\n".encode()

Client = Callable[[int, int], None]
"""Sends so many requests to a port."""


def answer_all(listener: socket.socket) -> None:
    """Answers each received piece of a request for ever."""
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        while connection.recv(65536):
            connection.sendall(ANSWER)


def by_sockets(port: int, requests: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(requests):
            connection.sendall(QUESTION)
            connection.recv(65536)


def by_replicator(port: int, requests: int) -> None:
    client = connect(Registry("here", RegistryType.DISTRIBUTION, f"http://127.0.0.1:{port}"))
    repository, tag = Repository("library/alpine"), Tag("latest")
    for _ in range(requests):
        client.head_manifest(repository, tag)
    client.close()


def by_http_client(port: int, requests: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(requests):
        connection.request("HEAD", PATH, headers={"Accept": "*/*"})
        answer = connection.getresponse()
        answer.read()
        answer.headers.get("Docker-Content-Digest")
    connection.close()


def by_httpx(port: int, requests: int) -> None:
    with httpx.Client() as client:
        for _ in range(requests):
            client.head(f"http://127.0.0.1:{port}{PATH}").headers.get("Docker-Content-Digest")


CLIENTS: dict[str, Client] = {
    "sockets": by_sockets,
    "replicator": by_replicator,
    "http.client": by_http_client,
    "httpx": by_httpx,
}


def cost_us(client: Client, port: int, requests: int) -> float:
    """CPU microseconds of this process for each request."""
    before = resource.getrusage(resource.RUSAGE_SELF)
    client(port, requests)
    after = resource.getrusage(resource.RUSAGE_SELF)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) / requests * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=4000, help="by each client in each round")
    asked = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    server = multiprocessing.get_context("fork").Process(target=answer_all, args=(listener,), daemon=True)
    server.start()
    port = listener.getsockname()[1]
    costs: dict[str, list[float]] = {name: [] for name in CLIENTS}
    for _ in range(asked.rounds):
        for name, client in CLIENTS.items():
            costs[name].append(cost_us(client, port, asked.requests))
    server.terminate()
    print(f"{'CPU us a request':18}{'median':>8}{'least':>8}{'most':>8}")
    for name, found in costs.items():
        print(f"{name:18}{statistics.median(found):8.0f}{min(found):8.0f}{max(found):8.0f}")


if __name__ == "__main__":
    main()
