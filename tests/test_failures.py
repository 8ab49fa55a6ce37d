"""Every failure and every attack is tested under its ID, or a module says where else or why not."""

import importlib
import inspect
import re
from pathlib import Path
from types import ModuleType

from tests.failures import all_ids

HERE = Path(__file__).parent
PLACES = ("chaos", "security")
_TEST = re.compile(r"test_([rqcdas]\d+)_")


def _modules() -> list[ModuleType]:
    paths = sorted(path for place in PLACES for path in (HERE / place).glob("test_*.py"))
    return [importlib.import_module(f"tests.{path.parent.name}.{path.stem}") for path in paths]


def _tested(module: ModuleType) -> set[str]:
    names = [name for name, _ in inspect.getmembers(module, inspect.isfunction)]
    return {found[1].upper() for name in names if (found := _TEST.match(name))}


def _said(name: str) -> dict[str, str]:
    return {key: value for module in _modules() for key, value in getattr(module, name, {}).items()}


def test_no_test_carries_an_id_that_is_none() -> None:
    assert {name for module in _modules() for name in _tested(module)} <= all_ids()


def test_what_another_test_shows_names_a_test_that_exists() -> None:
    for name, place in _said("ELSEWHERE").items():
        path, _, test = place.partition("::")
        text = (HERE.parent / path).read_text()
        assert name in all_ids()
        assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE), f"{name}: {place}"


def test_what_is_not_ours_has_a_reason_and_no_test() -> None:
    tested = {name for module in _modules() for name in _tested(module)}

    for name, reason in _said("NOT_OURS").items():
        assert name in all_ids() - tested, name
        assert len(reason.split()) >= 5, name


def test_every_failure_has_a_test_or_a_word_on_why_not() -> None:
    tested = {name for module in _modules() for name in _tested(module)}

    assert all_ids() - tested - _said("ELSEWHERE").keys() - _said("NOT_OURS").keys() == set()
