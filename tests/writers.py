"""Processes that keep and deliver updates until somebody kills them; they tell through a pipe what they have done."""

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

# What the runs of the crash test are apart, in seconds: the claims of the dead are over when the next one begins.
APART = 1000.0


def settings(host, folder):
    """Return settings that keep what one attempt does not deliver."""
    return Settings(
        host=Sourced(host, "--host"),
        outbox=Sourced(True, "--outbox"),
        outbox_dir=Sourced(str(folder), "--outbox-dir"),
        deadline=Sourced(0.0, "--deadline"),
    )


def outbox(folder, run):
    """Return the outbox as the run with this number sees it."""
    return Outbox(Path(folder), clock=lambda: time.time() + run * APART)


def flush(box, host, run, jobs=None):
    """Deliver what waits of these jobs, or of all."""
    where = settings(host, box.folder)
    for update in pending_jobs(box, host) if jobs is None else [Update("default", job, {}) for job in jobs]:
        talk = open_session(where._replace(deadline=Sourced(10.0, "--deadline")), time.monotonic())
        flush_job(FlushTask(box, talk, update, time.time() + run * APART, float("inf")))


def keep_and_flush(folder, host, run, told):
    """Keep updates and deliver some, for ever; each third run has a disk on which no large file fits."""
    dice = random.Random(run)
    if run % 3 == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600, resource.RLIM_INFINITY))
    box = outbox(folder, run)
    number = run * 1_000_000
    while True:
        number += 1
        job, key = f"train-{dice.randrange(4)}", f"k{dice.randrange(3)}"
        now = time.time() + run * APART
        fields = {key: number, "pad": "x" * dice.randrange(600), known_keys.STAMP: times.format_timestamp(now)}
        os.write(told.fileno(), f"begun {job} {key} {number}\n".encode())
        try:
            box.store(Entry(host, "default", job, fields, now))
        except SettingsError:
            word = "failed"
        else:
            word = "kept"
        os.write(told.fileno(), f"{word} {job} {key} {number}\n".encode())
        if dice.random() < 0.2:
            flush(box, host, run, [job])


def update_many(folder, host, count):
    """Report updates to a server that is away, as `nemo-jobs update --outbox` does."""
    where = settings(host, folder)
    for number in range(count):
        fields = {f"k{number % 7}": f"{os.getpid()}-{number}", known_keys.STAMP: times.format_timestamp(time.time())}
        update = Update("default", f"train-{number % 5}", fields)
        ended = policy.deliver(update, where, lambda: open_session(where, time.monotonic()))
        assert isinstance(ended.outcome, Kept)


def flush_all(folder, host):
    """Deliver everything."""
    flush(Outbox(Path(folder)), host, 0)
