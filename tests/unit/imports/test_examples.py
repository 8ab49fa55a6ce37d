"""The examples of docs/import.md are what the command prints."""

import re
from pathlib import Path

import pytest

from replicator.imports import (
    Draft,
    Local,
    Target,
    import_harbor,
    import_image_syncer,
    import_regsync,
    import_skopeo,
)
from tests.unit.imports.kit import given, loaded, written

PAGE = (Path(__file__).parents[3] / "docs" / "import.md").read_text()


def block(language: str) -> str:
    """The one block of that language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


def harbor() -> Draft:
    policies, registries = (
        given(block("json harbor"), "policies.json"),
        given(block("json harbor registries")),
    )
    return import_harbor(policies, registries, Local("https://harbor.eu.example.com", "eu"))


def regsync() -> Draft:
    return import_regsync(given(block("yaml regsync"), "regsync.yml"))


def skopeo() -> Draft:
    target = Target.of("registry.example.org/mirror", scoped=False)
    return import_skopeo(given(block("yaml skopeo"), "sync.yml"), target)


def image_syncer() -> Draft:
    return import_image_syncer(
        given(block("yaml image-syncer"), "images.yaml"), given(block("yaml image-syncer auth"))
    )


@pytest.mark.parametrize("example", [harbor, regsync, skopeo, image_syncer], ids=lambda each: each.__name__)
def test_an_example_shows_what_is_printed(example: object, tmp_path: Path) -> None:
    draft = example()  # type: ignore[operator]

    assert f"```yaml rules\n{written(draft)}```" in PAGE
    assert loaded(draft, tmp_path).rules.rules
