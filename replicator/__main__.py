"""`replicator` and `python -m replicator`: the command line, from its first moment on."""

import sys


def main() -> None:
    """Run the command line. Loading it takes a second, in which Ctrl-C ends as quietly as it does later."""
    try:
        from replicator.cli import main as run  # noqa: PLC0415 - only here can an interrupt of it be caught

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
