"""What was reported as kept arrives: whoever is killed at whatever moment, however many write and deliver at once."""

from __future__ import annotations

import multiprocessing
import os
import random
import socket
import sys

import pytest
import writers

from nemo_jobs_cli.delivery import outbox
from nemo_jobs_cli.sandbox import faults as sandbox_faults
from nemo_jobs_cli.sandbox import server as sandbox

RUNS = 200

# A process of its own for each run, as fast as a fork: from a server that has imported everything and has no threads.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["writers"])


@pytest.fixture
def start():
    """Return a function that starts a sandbox."""
    servers = []

    def started(port=0, *faults):
        servers.append(sandbox.start(sandbox.Options(port=port, faults=sandbox_faults.parse(faults), seed=1)))
        return servers[-1]

    yield started
    for server in servers:
        sandbox.stop(server)


@pytest.fixture(autouse=True)
def _locks(tmp_path, monkeypatch):
    """Keep the locks of the tests apart from the user's, and pytest's own start out of the children."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)


def killed(folder, host, run, seconds):
    """Let a process keep and deliver, kill it, and return what it has told."""
    mine, its = CONTEXT.Pipe(duplex=False)
    with mine:
        with its:
            child = CONTEXT.Process(target=writers.keep_and_flush, args=(str(folder), host, run, its))
            child.start()
        data = os.read(mine.fileno(), 65536)  # it has begun
        child.join(seconds)
        child.kill()
        child.join()
        while more := os.read(mine.fileno(), 65536):
            data += more
    assert child.exitcode == -9
    return [row.split() for row in data.decode().splitlines()]


def test_what_was_reported_as_kept_arrives_although_everybody_is_killed(tmp_path, start):
    """In 200 runs, some on a full disk: each key of each job ends at its newest value, and no file is half-written."""
    server, folder, dice = start(), tmp_path / "o", random.Random()
    told = [row for run in range(RUNS) for row in killed(folder, server.url, run, dice.random() * 0.06)]
    box = writers.outbox(folder, RUNS)
    writers.flush(box, server.url, RUNS)
    assert [box.count(kind) for kind in ("pending", "claimed", "rejected", "broken")] == [0, 0, 0, 0]
    by_word = {word: {(job, key): set() for _, job, key, _ in told} for word in ("begun", "kept", "failed")}
    for word, job, key, number in told:
        by_word[word][job, key].add(int(number))
    assert sum(map(len, by_word["kept"].values())) > RUNS
    assert any(by_word["failed"].values())
    for (job, key), kept in by_word["kept"].items():
        if kept:
            found = server.jobs["default", job].details[key]
            # The last one may have been kept by somebody who was killed before he could say so.
            unsaid = by_word["begun"][job, key] - kept - by_word["failed"][job, key]
            assert found in {max(kept)} | {number for number in unsaid if number > max(kept)}


def ended_well(*processes):
    """Start processes, and wait until all have ended without an error."""
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def test_many_writers_and_four_flushes_at_once_leave_the_fold(tmp_path, start):
    """20 processes x 50 updates while the server is away; then all of it, in order, whoever delivers which part."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    host, folder = f"http://127.0.0.1:{port}", tmp_path / "o"
    ended_well(*[CONTEXT.Process(target=writers.update_many, args=(str(folder), host, 50)) for _ in range(20)])
    box = outbox.Outbox(folder)
    kept = [box.read(name) for name in box.names(host)]
    assert len(kept) == 1000
    folds = {}
    for entry in kept:
        folds.setdefault(entry.job, {}).update(entry.fields)
    server = start(port, "conflict:0.3")
    ended_well(*[CONTEXT.Process(target=writers.flush_all, args=(str(folder), host)) for _ in range(4)])
    assert {job: server.jobs["default", job].details for job in folds} == folds
    assert [box.count(kind) for kind in ("pending", "claimed", "rejected", "set-aside", "broken")] == [0] * 5
