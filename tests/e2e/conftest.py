"""Everything below this directory drives the whole product, as a user would, against real registries."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.world import World

RULES = (Path(__file__).parent / "rules.yaml").read_text()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Three regions and a running `replicator up` with `rules.yaml`. It is shared: a test leaves it as it was."""
    with World(tmp_path_factory.mktemp("world"), RULES) as running:
        yield running
