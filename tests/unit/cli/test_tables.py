"""Tables as they are printed."""

import pytest

from replicator.cli.tables import print_table

NAME = "a-rule-of-which-nobody-can-say-that-its-name-is-short" * 3


def test_a_row_is_a_line_however_long(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["rule", "lag"], [(NAME, "0.0 s"), ("short", "1.0 s")])

    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines == [["rule", "lag"], [NAME, "0.0", "s"], ["short", "1.0", "s"]]
