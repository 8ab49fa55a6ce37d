"""Harbor's glob dialect."""

import fnmatch


def glob_match(pattern: str, name: str) -> bool:
    """Whether `pattern` matches the whole of `name`."""
    return fnmatch.fnmatchcase(name, pattern)


def check_glob(pattern: str) -> None:
    """Raises ValueError for a bad pattern."""
