"""Ways to spoil what is well made: in its bytes, and in its values."""

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

NASTY_TEXTS = (
    *(
        "",
        " ",
        "\x00",
        "\n",
        "\r\n",
        "\t",
        "\x1b[31m",
        "\ud800",
        "\u202e",
        "é",
        "ﬀ",
        "😀",
        "..",
        "../..",
        "/",
        "//",
        ".",
    ),
    *(
        "%2e%2e%2f",
        "%00",
        "a" * 129,
        "a" * 256,
        "x" * 9999,
        "NaN",
        "null",
        "true",
        "0",
        "-1",
        "1e999",
        "{{}}",
        "${HOME}",
    ),
    *(
        "https://evil.example.net/a",
        "http://169.254.169.254/",
        "file:///etc/passwd",
        "gopher://evil.example.net:70/",
    ),
    *(
        "//evil.example.net",
        "evil.example.net:443",
        "user:pass@evil.example.net",
        "http://[::1]/",
        "http://[broken",
    ),
    *(
        "sha256:" + "3f" * 32,
        "sha256:" + "3F" * 32,
        "sha512:" + "a1" * 64,
        "sha256:",
        "sha256-" + "a" * 64 + ".sig",
    ),
    *(
        "payments/api",
        "PAYMENTS/api",
        "a//b",
        "a/" * 130 + "b",
        "-a",
        "a__b",
        "v1",
        "latest",
        "v1\n",
        ".v1",
        "_",
        "-",
    ),
)
NASTY_NUMBERS = (0, 1, -1, 2**31, 2**63 - 1, 2**63, 10**18, 10**400, -(10**30), 0.1, -0.0, 1e308, 5e-324)
NASTY_BYTES = (
    *(
        b"\x00",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\\u0000",
        b"\\ud800",
        b"{",
        b"}",
        b"[",
    ),
    *(
        b"]",
        b'"',
        b",",
        b":",
        b"\\",
        b"\n",
        b"\r\n",
        b"NaN",
        b"1e999",
        b"-",
        b"0x1",
        b"//",
        b"/*",
        b"'",
        b"&a",
        b"*a",
    ),
    *(b"<<", b"!!python/object:os.system", b"---", b"\t", b"#", b"%", b"{" * 40, b"[" * 200, b'{"a":' * 30),
)


def some(rng: random.Random, items: Sequence[T]) -> T:
    """One of them."""
    return items[int(rng.random() * len(items))]


def scalar(rng: random.Random) -> object:
    """A value that is neither a list nor a mapping."""
    kind = rng.random()
    if kind < 0.6:
        return some(rng, NASTY_TEXTS)
    if kind < 0.8:
        return some(rng, NASTY_NUMBERS)
    if kind < 0.9:
        return some(rng, (None, True, False))
    return "".join(
        chr(some(rng, (rng.randrange(32, 127), rng.randrange(0x800)))) for _ in range(rng.randrange(12))
    )


def value(rng: random.Random, keys: Sequence[str], depth: int = 0) -> object:
    """A value of any shape, with these keys in its mappings."""
    kind = rng.random()
    if depth > 4 or kind < 0.55:
        return scalar(rng)
    if kind < 0.75:
        return [value(rng, keys, depth + 1) for _ in range(rng.randrange(4))]
    return {some(rng, keys): value(rng, keys, depth + 1) for _ in range(rng.randrange(5))}


def places(document: Any) -> list[tuple[Any, Any]]:
    """Every spot where a value stands: a container, and the key or index in it."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        holder = waiting.pop()
        keys = holder if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            found.append((holder, key))
            waiting.append(holder[key])
    return found


def respelt(rng: random.Random, document: Any, keys: Sequence[str]) -> Any:
    """The same document with a few values changed, taken out, doubled, wrapped or put elsewhere."""
    document = copy.deepcopy(document)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        spots = places(document)
        if not spots:
            return document
        holder, key = some(rng, spots)
        some(rng, _CHANGES)(rng, holder, key, keys)
    return document


def _replace(rng: random.Random, holder: Any, key: Any, keys: Sequence[str]) -> None:
    holder[key] = value(rng, keys)


def _remove(_rng: random.Random, holder: Any, key: Any, _keys: Sequence[str]) -> None:
    del holder[key]


def _repeat(rng: random.Random, holder: Any, key: Any, _keys: Sequence[str]) -> None:
    holder[key] = [copy.deepcopy(holder[key])] * rng.choice((1, 2, 50))


def _wrap(rng: random.Random, holder: Any, key: Any, keys: Sequence[str]) -> None:
    holder[key] = {some(rng, keys): holder[key]}


def _rename(rng: random.Random, holder: Any, key: Any, keys: Sequence[str]) -> None:
    if isinstance(holder, dict):
        holder[some(rng, keys)] = holder.pop(key)


def _lengthen(rng: random.Random, holder: Any, key: Any, _keys: Sequence[str]) -> None:
    if isinstance(holder[key], str):
        at = rng.randint(0, len(holder[key]))
        holder[key] = holder[key][:at] + some(rng, NASTY_TEXTS) + holder[key][at:]


_CHANGES: tuple[Callable[[random.Random, Any, Any, Sequence[str]], None], ...] = (
    *(_replace, _replace, _replace, _remove, _repeat, _wrap, _rename, _lengthen, _lengthen),
)


def scratched(rng: random.Random, raw: bytes) -> bytes:
    """The same bytes with a few of them changed, taken out, put in, doubled or cut off."""
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at, end = sorted((rng.randint(0, len(raw)), rng.randint(0, len(raw))))
        kind = rng.randrange(6)
        if kind == 0:
            raw = raw[:at] + rng.randbytes(rng.randrange(1, 4)) + raw[at + 1 :]
        elif kind == 1:
            raw = raw[:at] + some(rng, NASTY_BYTES) + raw[at:]
        elif kind == 2:
            raw = raw[:at] + raw[min(end, at + 16) :]
        elif kind == 3:
            raw = raw[:end] + raw[at:end] + raw[end:]
        elif kind == 4:
            raw = raw[: max(at, 1)]
        else:
            raw = raw[:at] + some(rng, NASTY_BYTES) + raw[end:]
    return raw
