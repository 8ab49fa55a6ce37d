"""Local registries of our own and what `replicator demo` does with them."""
