"""replicator keeps the container registries of several regions in line with each other."""

__version__ = "0.1.0"
