"""Measure the memory that the package keeps."""

from __future__ import annotations

import tracemalloc


def traced_bytes() -> int:
    """Return the size of what code of the package and of tests has allocated since `tracemalloc.start()`.

    A thread that an earlier test has left behind may still import a library.
    """
    own = [tracemalloc.Filter(True, pattern) for pattern in ("*/nemo_jobs_cli/*", "*/tests/*")]
    return sum(trace.size for trace in tracemalloc.take_snapshot().filter_traces(own).traces)
