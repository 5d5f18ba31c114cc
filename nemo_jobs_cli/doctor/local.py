"""Check this machine: settings, files, token, rank, outbox."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.api.session import auth_headers
from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.core import clock, names
from nemo_jobs_cli.core.errors import NemoJobsError, SettingsError
from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.delivery import listing as stored
from nemo_jobs_cli.delivery import policy
from nemo_jobs_cli.doctor import _assess
from nemo_jobs_cli.doctor.check import Check
from nemo_jobs_cli.output import settings_view
from nemo_jobs_cli.run import launcher
from nemo_jobs_cli.settings import profiles, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nemo_jobs_cli.delivery.outbox import Outbox
    from nemo_jobs_cli.doctor.check import Diagnosis

# Settings that are always shown; others only if they are set, and some have checks of their own.
_ALWAYS_SHOWN = frozenset({"host", "workspace", "job"})
_OWN_CHECK = frozenset({"token", "outbox", "outbox_dir"})
_NOT_SET = frozenset({"default", "not set"})

_UNKNOWN = "unknown: the settings cannot be used"

# Time limit for the outbox's folder, in seconds: it may be on a network file system that is down.
OUTBOX_LIMIT = 3.0


def settings(diagnosis: Diagnosis) -> Iterator[Check]:
    """Check the settings, and show them with their sources."""
    if diagnosis.error is not None:
        yield Check.fail("settings", diagnosis.error)
    for name, value, source in settings_view.settings_rows(diagnosis.settings):
        if name in _OWN_CHECK or (name not in _ALWAYS_SHOWN and source in _NOT_SET):
            continue
        check = _setting(diagnosis, name, value, source)
        yield diagnosis.block_auth(check) if name == "workspace" and check.level != "ok" else check


def _setting(diagnosis: Diagnosis, name: str, value: str, source: str) -> Check:
    if diagnosis.error is not None and source in _NOT_SET:
        return Check.skip(name, _UNKNOWN)
    if name == "job" and not value:
        return Check.skip(name, "not set: name it per command, or export NEMO_JOBS_JOB=JOB")
    try:
        if name == "workspace":
            names.check_workspace(value, source)
        elif name == "job":
            names.check_job(value, source)
    except NemoJobsError as error:
        return Check.fail(name, error)
    return Check.ok(name, one_line(f"{value} ({source})", 300), value=value, origin=source)


def files(diagnosis: Diagnosis) -> Iterator[Check]:
    """Check the files of the settings; one that holds a token must be private."""
    path = resolve.config_path(diagnosis.environ)
    yield Check.skip("config", "no home folder for a config file") if path is None else _config(path)
    credential = diagnosis.settings.credential
    if credential is not None and credential.kind in {"file", "workload"} and credential.secret != "-":  # noqa: S105
        token_file = Path(credential.secret)
        bits = _mode(token_file)
        if bits is not None:  # otherwise the check of the token says why
            yield _assess.mode("token_file", display_path(token_file), shlex.quote(str(token_file)), bits)


def _config(path: Path) -> Check:
    bits = _mode(path)
    if bits is None:
        return Check.ok("config", f"no file ({display_path(path)})", path=str(path))
    try:
        document = profiles.load(path, must_exist=False)
    except NemoJobsError:
        return Check.skip("config", f"cannot use {display_path(path)}: see settings")
    if any("token" in values for values in document.get("profiles", {}).values()):
        return _assess.mode("config", display_path(path), shlex.quote(str(path)), bits)
    return Check.ok("config", display_path(path), path=str(path))


def _mode(path: Path) -> int | None:
    """Return the mode of a regular file, or None."""
    try:
        return path.expanduser().stat().st_mode if path.expanduser().is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def token(diagnosis: Diagnosis) -> Iterator[Check]:
    """Read the credential, and check that it may go to the host."""
    credential = diagnosis.settings.credential
    if credential is None and diagnosis.error is not None and not diagnosis.anonymous:
        yield diagnosis.block_auth(Check.skip("token", _UNKNOWN))
        return
    if credential is None:
        diagnosis.headers = {}
        yield Check.ok("token", "no token is sent (--anonymous)" if diagnosis.anonymous else "no token is set")
        return
    rows = {name: f"{value} ({source})" for name, value, source in settings_view.settings_rows(diagnosis.settings)}
    message = one_line(rows["token"], 300)
    if diagnosis.host_blocked:
        yield Check.skip("token", f"{message}, not read: {diagnosis.host_blocked}")
        return
    try:
        credentials.check_target(diagnosis.settings, credential)
        if credential.kind != "workload":
            diagnosis.headers = auth_headers(diagnosis.settings, diagnosis.deadline)
    except NemoJobsError as error:
        yield diagnosis.block_auth(Check.fail("token", error))
    else:
        yield Check.ok("token", message)


def surroundings(diagnosis: Diagnosis) -> Iterator[Check]:
    """Check whether this process leaves reporting to another one."""
    rank = launcher.find_silent_rank(diagnosis.environ)
    if rank is not None:
        message = f"{rank}: run and stream report only on rank 0"
        yield Check.warn("rank", message, "report on every rank: --all-ranks", rank=rank.number, of=rank.size)
    channel = diagnosis.settings.channel
    if channel is not None:
        yield Check.ok("channel", f"updates go through the enclosing nemo-jobs run ({channel.source})")


def outbox(diagnosis: Diagnosis) -> Iterator[Check]:
    """Check the outbox without changing it."""
    enabled, source = diagnosis.settings.outbox
    folder = diagnosis.settings.outbox_dir
    if folder is None and not enabled:
        yield Check.skip("outbox", "off, and no home folder for one")
        return
    try:
        box = policy.open_outbox(diagnosis.settings)
        contents, problem = clock.run_within(OUTBOX_LIMIT, lambda: _inspect(box, diagnosis.settings.host.value))
    except NemoJobsError as error:
        yield Check.fail("outbox", error) if enabled else Check.warn("outbox", error.message, error.hint)
    except TimeoutError:  # fails even if the outbox is off: commands would hang
        yield _unusable(display_path(box.folder), f"no response within {OUTBOX_LIMIT:g} s")
    else:
        if problem and enabled:
            yield _unusable(display_path(box.folder), problem)
        else:
            switch = f"{'on' if enabled else 'off'} ({source})"
            yield _assess.outbox(display_path(box.folder), contents, time.time(), switch)


def _unusable(folder: str, reason: str) -> Check:
    message = f"cannot store updates in {one_line(folder, 200)}: {reason}"
    return Check.fail("outbox", SettingsError(message, "fix it, or use another folder: --outbox-dir DIR"))


def _inspect(box: Outbox, host: str) -> tuple[dict[str, Any], str]:
    """Return the counts of an outbox, and why it is not writable or ""."""
    entries, own = box.names(), box.names(host)
    return {
        "waiting": len(own),
        "elsewhere": len(entries) - len(own),
        "rejected": box.count(stored.REJECTED),
        "aside": box.count(stored.SET_ASIDE),
        "broken": box.count(stored.BROKEN),
        "oldest": _created(entries[0]) if entries else None,
    }, _write_problem(box.folder)


def _created(name: str) -> float | None:
    """Return an entry's time from its name, in seconds since 1970."""
    nanoseconds = name.partition("-")[0]
    return int(nanoseconds) / 1e9 if nanoseconds.isascii() and nanoseconds.isdigit() else None


def _write_problem(folder: Path) -> str:
    """Return why a folder cannot be created or written, or ""."""
    nearest = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    for path in (nearest, folder / stored.PENDING):
        if not os.path.lexists(path):
            continue
        if not path.is_dir():
            return f"{one_line(str(path), 200)} is not a folder"
        if not os.access(path, os.W_OK | os.X_OK):
            return f"{one_line(str(path), 200)} is not writable"
    return ""
