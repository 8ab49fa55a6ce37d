"""`python -m replicator`: the command line, wherever its script is."""

from replicator.cli import main

main()
