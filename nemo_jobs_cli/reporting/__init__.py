"""A flow of updates of one job: read, match, coalesce, send."""
