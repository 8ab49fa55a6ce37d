"""Tables for people. No name in them is cut or folded: whoever reads it may want to copy it, or to pipe it on."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

_WIDE = 1000


def print_table(columns: Iterable[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a line for the headings and one for each row, however wide."""
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console(width=_WIDE).print(table)
