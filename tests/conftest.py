"""What every test may ask for, and the line that says which judges were absent."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests import judges
from tests.fakes.registry import FakeRegistry

# A busy machine makes examples slow, which says nothing about the code.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")


def pytest_report_header() -> str:
    return judges.report()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "chaos" in config.option.markexpr:
        return
    long = [item for item in items if item.get_closest_marker("chaos")]
    items[:] = [item for item in items if item not in long]
    config.hook.pytest_deselected(items=long)


@pytest.fixture
def fake_registry() -> Iterator[FakeRegistry]:
    """A scripted registry without a socket."""
    registry = FakeRegistry()
    yield registry
    registry.close()
