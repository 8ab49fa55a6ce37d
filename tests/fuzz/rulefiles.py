"""Rule files: taken, or refused with every mistake at its place."""

import json
import random
from pathlib import Path

import yaml

from replicator.rulefiles import RulesError
from replicator.rulefiles.directory import Snapshot
from replicator.rulefiles.load import build
from tests.fuzz.engine import Target
from tests.fuzz.spoiling import respelt, scratched, some, value

_SAMPLES = tuple(path.read_bytes() for path in sorted((Path(__file__).parents[2] / "rules").glob("*.yaml")))
_WHOLE = """\
registries:
  eu: {type: harbor, url: "https://eu.example.com", credential: {type: basic, access_key: k, access_secret: "${KEY}"},
       webhook: {secret: ["${KEY}", b]}, tls: {verify: true}, limits: {concurrency: 8, requests_per_second: 50,
       bandwidth: 50MiB}}
  us: {type: distribution, url: "https://us.example.com:5000", webhook: {anonymous: true}, proxy: "http://proxy:3128"}
rules:
  - name: prod
    was: [old]
    source: eu
    destinations: [us, {registry: us, namespace: mirror, replace_count: 1, retention: [keep last 3]}]
    trigger: {type: scheduled, cron: "0 0 * * *"}
    filters:
      - {type: name, value: "production/**"}
      - {type: tag, value: "v*", decoration: excludes}
      - {type: resource, value: image}
    platforms: [linux/amd64]
    deletion: true
    delete_grace: 5s
    delete_cap: 100
"""
_VALID = tuple(yaml.safe_load(raw) for raw in (_WHOLE.encode(), *_SAMPLES))
_RAW = (_WHOLE.encode(), *_SAMPLES)
KEYS = (
    *(
        "registries",
        "rules",
        "replication_policy",
        "name",
        "type",
        "url",
        "credential",
        "webhook",
        "secret",
        "tls",
        "verify",
    ),
    *(
        "limits",
        "concurrency",
        "insecure",
        "source",
        "destinations",
        "registry",
        "namespace",
        "replace_count",
        "eu",
        "us",
    ),
    *(
        "trigger",
        "filters",
        "value",
        "decoration",
        "signatures",
        "deletion",
        "delete_grace",
        "src_registry",
        "dest_registry",
    ),
    *(
        "was",
        "backfill",
        "retention",
        "keys",
        "platforms",
        "proxy",
        "cron",
        "access_key",
        "access_secret",
        "anonymous",
    ),
)
_TRICKS = (
    *(
        b"&a [*a]\n",
        b"a: &a [x]\nb: [*a, *a]\n",
        b"<<: {a: 1}\n",
        b"!!python/object/apply:os.system ['id']\n",
        b"---\n---\n",
    ),
    *(
        b"? [a]\n: b\n",
        b"a: 1\na: 2\n",
        b"%YAML 1.3\n",
        b"\t- a\n",
        b"'",
        b'"\\x',
        b"- - - - - - - -\n",
        b"{" * 60,
        b"[" * 2000,
    ),
    *(
        b"a: |\n  x\n",
        b"a: >-\n",
        b"a: 010\n",
        b"a: 12:30:00\n",
        b"a: no\n",
        b"!!binary aGk=\n",
        b"!<tag:x> y\n",
        b"\xff",
        b"\x85",
    ),
)


def make(rng: random.Random) -> bytes:
    """The bytes of a rule file."""
    way = rng.random()
    if way < 0.5:
        return _written(rng, respelt(rng, some(rng, _VALID), KEYS))
    if way < 0.8:
        return scratched(rng, some(rng, _RAW))
    if way < 0.9:
        return _written(rng, value(rng, KEYS))
    raw = some(rng, _RAW)
    at = raw.find(b"\n", rng.randrange(len(raw))) + 1
    return raw[:at] + some(rng, _TRICKS) + raw[at:]


def _written(rng: random.Random, document: object) -> bytes:
    if rng.random() < 0.8:
        return json.dumps(document).encode()
    document = json.loads(json.dumps(document).replace("\\ud800", "?"))
    return yaml.dump(document, Dumper=yaml.CSafeDumper, allow_unicode=True).encode()


def check(raw: bytes) -> None:
    """Raises for anything but rules, or mistakes that each have a place and a short message."""
    try:
        build(Snapshot(Path(), {"f.yaml": raw}), {"KEY": "environment-canary"})
    except RulesError as exc:
        assert exc.problems
        for problem in exc.problems:
            assert problem.line >= 1
            assert problem.column >= 1
            assert problem.message
        assert "environment-canary" not in str(exc)


TARGET = Target("rule files", make, check, 200_000)
