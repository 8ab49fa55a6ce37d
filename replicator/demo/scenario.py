"""`replicator demo`: three regions, one push, and a look at it arriving in the other two."""

import http.client
import json
import secrets
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import typer
import yaml

from replicator.demo.image import SignedImage, make_image, push, read_back
from replicator.demo.notifications import Endpoint
from replicator.demo.registry import Registry as DemoRegistry
from replicator.demo.server import serve
from replicator.errors import ConfigError
from replicator.jobs import Job
from replicator.ledger import JobView
from replicator.oci import Repository, Tag
from replicator.registry import RegistryClient
from replicator.runtime import Runtime
from replicator.settings import Settings
from replicator.up import tree

REGIONS = ("eu", "us", "ap")
REPOSITORY = Repository("production/web")
TAG = Tag("v1.0.0")
RULE = "eu-to-everywhere"
DEADLINE_S = 60.0
POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Demo:
    """What one run works with. `own` are registries of ours, which report pushes by themselves; none if real ones were
    given.
    """

    runtime: Runtime
    regions: Sequence[str]
    secret: str = field(repr=False)
    own: Mapping[str, DemoRegistry]

    def client(self, region: str) -> RegistryClient:
        """The client of a region's registry."""
        return self.runtime.client(region)


def run(registries: Sequence[str], *, keep: bool = False) -> None:
    """Push a signed image for two platforms in the first region; return once it was read back in all the others.

    `registries` are URLs of real ones, the source first; without any, three of our own are started. With `keep` all of
    it runs on until the input ends: there each line has one of our own lose all that it holds. Raises ConfigError if
    the copies do not arrive, whole, within a minute.
    """
    if len(registries) == 1:
        raise ConfigError("one --registry is not enough: name a source and at least one destination")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="replicator-demo-")))
        demo = _start(stack, directory, registries)
        image = make_image(secrets.token_hex(8))
        size_kib = sum(map(len, image.blobs.values())) // 1024
        _say(f"push     {demo.regions[0]}/{REPOSITORY}:{TAG}  {image.index.digest}")
        _say(f"         2 platforms, {size_kib} KiB, signed: {image.signature_tag}")
        push(demo.client(demo.regions[0]), REPOSITORY, TAG, image)
        pushed = time.monotonic()
        if not demo.own:
            _notify(demo, image)
        for region in _arrivals(demo, image, pushed):
            size_bytes = read_back(demo.client(region), REPOSITORY, TAG, image)
            _say(
                f"verified {region}: tag, index, both platforms, signature: {size_bytes} bytes hashed, all right"
            )
        if keep:
            _practise(demo)


def _practise(demo: Demo) -> None:
    settings = demo.runtime.settings
    _say("keeps    running until Ctrl-C. In another terminal:")
    _say(f"           export REPLICATOR_RULES={settings.rules} REPLICATOR_DATA={settings.data}")
    lost = next((region for region in demo.regions[1:] if region in demo.own), None)
    if lost:
        _say(f"         Enter here: {lost} loses all that it holds")
    for _ in sys.stdin:
        if lost:
            demo.own[lost].lose_everything()
            _say(f"lost     {lost}: it is empty")


def _start(stack: ExitStack, directory: Path, registries: Sequence[str]) -> Demo:
    port = _free_port()
    secret = secrets.token_urlsafe(16)
    own = {} if registries else {name: _own_registry(stack, name, port, secret) for name in REGIONS}
    urls = list(registries) or [_served(stack, registry) for registry in own.values()]
    names = tuple(own) or tuple(f"region-{number}" for number in range(1, len(urls) + 1))
    rules = directory / "rules"
    rules.mkdir()
    (rules / "demo.yaml").write_text(_rules(dict(zip(names, urls, strict=True)), secret), encoding="utf-8")
    settings = _settings(directory / "data", rules, port)
    for name, url in zip(names, urls, strict=True):
        _say(f"registry {name}  {url}")
    supervisor = tree(settings)
    stack.callback(supervisor.shut_down)
    supervisor.start()
    runtime = Runtime(settings)
    stack.callback(runtime.close)
    _say(f"ready    receiver, scheduler, worker and Redis; rule {RULE}: {names[0]} -> {', '.join(names[1:])}")
    return Demo(runtime, names, secret, own)


def _settings(data: Path, rules: Path, port: int) -> Settings:
    given = Settings.load(data=data, rules=rules, host="127.0.0.1", port=port, log_level="warning")
    # A demo keeps to itself, whatever Redis and token the environment names.
    tokens = dict.fromkeys(("api_token", "api_token_file", "api_read_token", "api_read_token_file"))
    return given.model_copy(update={"redis_url": None, **tokens})


def _own_registry(stack: ExitStack, name: str, port: int, secret: str) -> DemoRegistry:
    url = f"http://127.0.0.1:{port}/webhooks/{name}"
    registry = DemoRegistry(notify=[Endpoint(url, {"Authorization": f"Bearer {secret}"})])
    stack.callback(registry.close)
    return registry


def _served(stack: ExitStack, registry: DemoRegistry) -> str:
    running = serve(registry)
    stack.callback(running.close)
    return running.url


def _rules(urls: dict[str, str], secret: str) -> str:
    source, *destinations = urls
    registries = {
        name: {"type": "distribution", "url": url, "webhook": {"secret": secret}}
        for name, url in urls.items()
    }
    rule = {
        "name": RULE,
        "source": source,
        "destinations": destinations,
        "filters": [{"type": "name", "value": "production/**"}, {"type": "tag", "value": "v*"}],
    }
    return yaml.safe_dump({"registries": registries, "rules": [rule]})


def _notify(demo: Demo, image: SignedImage) -> None:
    """Report the push ourselves: a real registry posts to the webhook of its own configuration, not to a demo's."""
    target = {
        "repository": REPOSITORY,
        "tag": TAG,
        "digest": image.index.digest,
        "mediaType": image.index.media_type,
    }
    settings = demo.runtime.settings
    connection = http.client.HTTPConnection(settings.host, settings.port, timeout=10)
    connection.request(
        "POST",
        f"/webhooks/{demo.regions[0]}",
        json.dumps({"events": [{"id": "demo", "action": "push", "target": target}]}),
        {"Authorization": f"Bearer {demo.secret}", "Content-Type": "application/json"},
    )
    status = connection.getresponse().status
    connection.close()
    if status != 202:
        raise ConfigError(f"the receiver answered {status} to the notification")


def _arrivals(demo: Demo, image: SignedImage, pushed: float) -> Iterator[str]:
    """The destinations in the order in which the image arrives there."""
    waiting = list(demo.regions[1:])
    shown: dict[str, str] = {}
    while waiting:
        if time.monotonic() - pushed > DEADLINE_S:
            raise ConfigError(f"the image did not arrive in {', '.join(waiting)} within {DEADLINE_S:.0f} s")
        for region in list(waiting):
            state = _state(demo, region)
            if state != shown.get(region):
                shown[region] = state
                _say(
                    f"{state:8} {region}: {time.monotonic() - pushed:.2f} s after the push{_trace(demo, region)}"
                )
            head = demo.client(region).head_manifest(REPOSITORY, TAG)
            if head and head.digest == image.index.digest and state == "copied":
                waiting.remove(region)
                yield region
        time.sleep(POLL_S)


def _job(demo: Demo, region: str) -> JobView | None:
    return demo.runtime.ledger.view.job_view(Job(RULE, region, REPOSITORY, TAG).id)


def _state(demo: Demo, region: str) -> str:
    view = _job(demo, region)
    if view is None:
        return "waiting"
    return view.outcome or view.state.value


def _trace(demo: Demo, region: str) -> str:
    view = _job(demo, region)
    return f", trace {view.trace.split('-')[1]}" if view and view.trace else ""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _say(text: str) -> None:
    typer.echo(text)
