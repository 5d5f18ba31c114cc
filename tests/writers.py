"""Processes that store and deliver updates until they are killed, and write to a pipe what they have done."""

from __future__ import annotations

import os
import random
import resource
import time
from pathlib import Path

from nemo_jobs_cli.api.session import open_session
from nemo_jobs_cli.core import known_keys, times
from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.outcome import Kept, Update
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.delivery.entry import Entry
from nemo_jobs_cli.delivery.flush import FlushTask, flush_job, pending_jobs
from nemo_jobs_cli.delivery.outbox import Outbox
from nemo_jobs_cli.settings.model import Settings, Sourced


def settings(host, folder):
    """Return settings that store what one attempt does not deliver."""
    return Settings(
        host=Sourced(host, "--host"),
        outbox=Sourced(True, "--outbox"),
        outbox_dir=Sourced(str(folder), "--outbox-dir"),
        deadline=Sourced(0.0, "--deadline"),
    )


def flush(box, host, jobs=None):
    """Deliver the entries of these jobs, or of all."""
    configured = settings(host, box.folder)._replace(deadline=Sourced(10.0, "--deadline"))
    for update in pending_jobs(box, host) if jobs is None else [Update("default", job, {}) for job in jobs]:
        session = open_session(configured, time.monotonic())
        flush_job(FlushTask(box, session, update, time.time(), float("inf")))


def store_and_flush(folder, host, run, pipe):
    """Store updates and deliver some, for ever; each third run has a disk without room for a large file."""
    randomness = random.Random(run)
    if run % 3 == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, resource.RLIM_INFINITY))
    box = Outbox(Path(folder))
    number = run * 1_000_000
    while True:
        number += 1
        job, key = f"train-{randomness.randrange(4)}", f"k{randomness.randrange(3)}"
        now = time.time()
        fields = {key: number, "pad": "x" * randomness.randrange(600), known_keys.STAMP: times.format_timestamp(now)}
        os.write(pipe.fileno(), f"begun {job} {key} {number}\n".encode())
        try:
            box.store(Entry(host, "default", job, fields, now))
        except SettingsError:
            word = "failed"
        else:
            word = "kept"
        os.write(pipe.fileno(), f"{word} {job} {key} {number}\n".encode())
        if randomness.random() < 0.2:
            flush(box, host, [job])


def update_many(folder, host, count):
    """Report updates to a server that is down, as `nemo-jobs update --outbox` does."""
    configured = settings(host, folder)
    for number in range(count):
        fields = {f"k{number % 7}": f"{os.getpid()}-{number}", known_keys.STAMP: times.format_timestamp(time.time())}
        update = Update("default", f"train-{number % 5}", fields)
        result = policy.deliver(update, configured, lambda: open_session(configured, time.monotonic()))
        assert isinstance(result.outcome, Kept)


def flush_all(folder, host):
    """Deliver all entries."""
    flush(Outbox(Path(folder)), host)
