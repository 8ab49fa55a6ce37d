"""Whatever a file holds, an import ends with rules that load, or with one clear error."""

import copy
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replicator.errors import ConfigError
from replicator.imports import (
    Draft,
    Given,
    Local,
    Target,
    import_harbor,
    import_image_syncer,
    import_regsync,
    import_skopeo,
    parse,
)
from tests.unit.imports.kit import loaded
from tests.unit.imports.test_harbor import POLICY
from tests.unit.imports.test_image_syncer import AUTH, IMAGES
from tests.unit.imports.test_regsync import EXAMPLE as REGSYNC
from tests.unit.imports.test_skopeo import EXAMPLE as SKOPEO

IMPORTS: dict[str, tuple[str, Callable[[Given], Draft]]] = {
    "harbor": (
        yaml.safe_dump([POLICY]),
        lambda file: import_harbor(file, local=Local("https://h.example.com")),
    ),
    "regsync": (REGSYNC, import_regsync),
    "skopeo": (SKOPEO, lambda file: import_skopeo(file, Target.of("registry.lan/mirror", scoped=False))),
    "image-syncer": (f"auth: {yaml.safe_load(AUTH)}\nimages: {yaml.safe_load(IMAGES)}", import_image_syncer),
}
_odd = [
    "",
    "a",
    "${X}",
    "$X",
    "a${",
    '{{env "X"}}',
    "{{",
    "a:b",
    "[",
    "(",
    "\\",
    "a/b/c",
    "UPPER",
    "http://",
    "x@y",
]
_odd += [
    "#",
    "- a",
    "line\nbreak",
    "\u2028",
    "\x00",
    "\x7f",
    "${A-B}",
    "a" * 300,
    "a" * 5000,
    "*",
    "@every x",
]
_odd += ["docker.io", "localhost", "::1", "é", "true"]
_scalars = st.none() | st.booleans() | st.integers() | st.sampled_from(_odd) | st.text(max_size=20)
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def places(value: object) -> Iterator[tuple[object, object]]:
    """Every collection in a value, with each of its keys or indexes."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from places(value[key])


def changed(text: str, data: st.DataObject) -> str:
    """The file with one or two of its values, or keys, replaced."""
    value = copy.deepcopy(yaml.safe_load(text))
    for _ in range(data.draw(st.integers(1, 2))):
        inside, key = data.draw(st.sampled_from(list(places(value))))
        if isinstance(inside, dict) and data.draw(st.booleans()):
            inside[data.draw(st.text(max_size=20))] = inside.pop(key)
        else:
            inside[key] = data.draw(_values)  # type: ignore[index]
    return yaml.safe_dump(value, allow_unicode=data.draw(st.booleans()))


@pytest.mark.parametrize("tool", IMPORTS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_an_import_ends_with_rules_that_load_or_one_clear_error(tool: str, data: st.DataObject) -> None:
    text, convert = IMPORTS[tool]
    raw = changed(text, data).encode()
    error = ""
    draft = Draft("none", "none")
    try:
        draft = convert(parse("other.yaml", raw))
    except ConfigError as exc:
        error = str(exc)

    assert "\n" not in error
    with tempfile.TemporaryDirectory() as directory:
        if draft.rules:
            loaded(draft, Path(directory))
