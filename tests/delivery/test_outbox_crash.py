"""Test that stored updates arrive although processes are killed, and with many writers and flushes at once."""

from __future__ import annotations

import multiprocessing
import os
import random
import sys

import pytest
import writers

from nemo_jobs_cli.delivery import outbox

RUNS = 200

pytestmark = pytest.mark.slow

# Each run is a process: forked by a server that has imported everything and has no threads.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["writers"])


@pytest.fixture
def start(start_sandbox):
    """Return a function that starts a sandbox."""
    return lambda port=0, *faults: start_sandbox(*faults, port=port, seed=1)


@pytest.fixture(autouse=True)
def _locks(tmp_path, monkeypatch):
    """Use lock files of the test, and do not run pytest's main module in the children."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)


def killed(folder, host, run, rows, seconds):
    """Start a process that stores and delivers, kill it after some rows and seconds, and return the rows."""
    reader, writer = CONTEXT.Pipe(duplex=False)
    with reader:
        with writer:
            child = CONTEXT.Process(target=writers.store_and_flush, args=(str(folder), host, run, writer))
            child.start()
        data = b""
        while data.count(b"\n") < rows and (more := os.read(reader.fileno(), 65536)):
            data += more
        child.join(seconds)
        child.kill()
        child.join()
        while more := os.read(reader.fileno(), 65536):
            data += more
    assert child.exitcode == -9
    return [row.split() for row in data.decode().splitlines()]


def test_stored_updates_arrive_although_every_process_is_killed(tmp_path, start):
    """In 200 runs, some on a full disk: each key of each job ends at its newest value, and no file is half-written."""
    server, folder, randomness = start(), tmp_path / "o", random.Random()
    rows = []
    for run in range(RUNS):
        rows += killed(folder, server.url, run, randomness.randrange(1, 12), randomness.random() * 0.02)
    box = outbox.Outbox(folder)
    writers.flush(box, server.url)  # the claims of killed processes are void
    assert [box.count(kind) for kind in ("pending", "claimed", "rejected", "broken")] == [0, 0, 0, 0]
    by_word = {word: {(job, key): set() for _, job, key, _ in rows} for word in ("begun", "kept", "failed")}
    for word, job, key, number in rows:
        by_word[word][job, key].add(int(number))
    assert sum(map(len, by_word["kept"].values())) > RUNS
    assert any(by_word["failed"].values())
    for (job, key), kept in by_word["kept"].items():
        if kept:
            # The last one may have been stored by a process that was killed before it could write that.
            unknown = by_word["begun"][job, key] - kept - by_word["failed"][job, key]
            newest = {max(kept)} | {number for number in unknown if number > max(kept)}
            assert server.jobs["default", job].details[key] in newest


def run_all(*processes):
    """Start processes and wait until all have ended without an error."""
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def test_many_writers_and_four_flushes_leave_the_coalesced_state(tmp_path, start, unused_port):
    """20 processes store 50 updates each while the server is away; four flushes then deliver all of them in order."""
    host, folder = f"http://127.0.0.1:{unused_port}", tmp_path / "o"
    run_all(*[CONTEXT.Process(target=writers.update_many, args=(str(folder), host, 50)) for _ in range(20)])
    box = outbox.Outbox(folder)
    stored = [box.read(name) for name in box.names(host)]
    assert len(stored) == 1000
    expected = {}
    for entry in stored:
        expected.setdefault(entry.job, {}).update(entry.fields)
    server = start(unused_port, "conflict:0.3")
    run_all(*[CONTEXT.Process(target=writers.flush_all, args=(str(folder), host)) for _ in range(4)])
    assert {job: server.jobs["default", job].details for job in expected} == expected
    assert [box.count(kind) for kind in ("pending", "claimed", "rejected", "set-aside", "broken")] == [0] * 5
