"""The Celery side: the process that runs jobs, and the loops that feed it. What is done is decided in `replicator`."""
