"""What every test may ask for, and the line that says which judges were absent."""

from collections.abc import Iterator

import pytest

from tests import judges
from tests.fakes.registry import FakeRegistry


def pytest_report_header() -> str:
    return judges.report()


@pytest.fixture
def fake_registry() -> Iterator[FakeRegistry]:
    """A scripted registry without a socket."""
    registry = FakeRegistry()
    yield registry
    registry.close()
