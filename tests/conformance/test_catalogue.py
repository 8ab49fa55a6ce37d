"""Every protocol case is tested under its ID, or its module says why it is not ours."""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

from tests.conformance.cases import all_ids

_TEST = re.compile(r"test_([a-n]\d+)_")


def _modules() -> list[ModuleType]:
    paths = sorted(Path(__file__).parent.glob("test_*.py"))
    return [importlib.import_module(f"{__package__}.{path.stem}") for path in paths]


def _tested(module: ModuleType) -> set[str]:
    names = [name for name, _ in inspect.getmembers(module, inspect.isfunction)]
    return {found[1].upper() for name in names if (found := _TEST.match(name))}


def test_no_test_carries_an_id_that_is_no_case() -> None:
    assert {name for module in _modules() for name in _tested(module)} <= all_ids()


def test_what_is_not_ours_is_a_case_with_a_reason_and_without_a_test() -> None:
    tested = {name for module in _modules() for name in _tested(module)}

    for module in _modules():
        for name, reason in getattr(module, "NOT_OURS", {}).items():
            assert name in all_ids() - tested, name
            assert len(reason.split()) >= 5, name


def test_every_case_has_a_test_or_a_reason() -> None:
    answered = {
        name for module in _modules() for name in (*_tested(module), *getattr(module, "NOT_OURS", {}))
    }

    assert all_ids() - answered == set()
