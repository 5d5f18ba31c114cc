"""Check what lies on this machine: settings, files, the token, the outbox, a launch of many processes."""

from __future__ import annotations

import os
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli.api.session import auth_headers
from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.core import clock, names
from nemo_jobs_cli.core.errors import NemoJobsError
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.delivery import outbox, policy
from nemo_jobs_cli.doctor import assess, check
from nemo_jobs_cli.doctor.assess import Lying
from nemo_jobs_cli.output import settings_view
from nemo_jobs_cli.run import launcher
from nemo_jobs_cli.settings import profiles, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nemo_jobs_cli.doctor.check import Check
    from nemo_jobs_cli.doctor.checkup import Case

# The settings that are always told; of the others only those that somebody set. Some have checks of their own.
ALWAYS = frozenset({"host", "workspace", "job"})
_ELSEWHERE = frozenset({"token", "outbox", "outbox_dir"})
_NOBODY = frozenset({"default", "not set"})

_UNKNOWN = "unknown, as the settings can't be used"

# What the folder of the outbox may take, in seconds: it may lie on a server that is away.
LONGEST_LOOK = 3.0


def settings(case: Case) -> Iterator[Check]:
    """Tell the settings and where each comes from, and what is wrong with them."""
    if case.fault is not None:
        yield check.failed("settings", case.fault)
    for name, value, source in settings_view.settings_rows(case.settings):
        if name in _ELSEWHERE or (name not in ALWAYS and source in _NOBODY):
            continue
        yield _setting(case, name, value, source)


def _setting(case: Case, name: str, value: str, source: str) -> Check:
    if case.fault is not None and source in _NOBODY:
        made = check.skip(name, _UNKNOWN)
        return case.bar(made) if name == "workspace" else made
    if name == "job" and not value:
        return check.skip(name, "none is set: each command names its own (or export NEMO_JOBS_JOB=JOB)")
    try:
        if name == "workspace":
            names.check_workspace(value, f"workspace ({source})")
        elif name == "job":
            names.check_job(value, source)
    except NemoJobsError as error:
        made = check.failed(name, error)
        return case.bar(made) if name == "workspace" else made
    return check.ok(name, one_line(f"{value} ({source})", 300), value=value, origin=source)


def files(case: Case) -> Iterator[Check]:
    """Look at the files that the settings come from; one that holds a token is for its owner alone."""
    path = resolve.config_path(case.environ)
    if path is None:
        yield check.skip("config", "there is no home folder to keep a configuration in")
    else:
        yield _config(path)
    credential = case.settings.credential
    if credential is not None and credential.kind in {"file", "workload"} and credential.secret != "-":  # noqa: S105
        token_file = Path(credential.secret)
        bits = _mode(token_file)
        if bits is not None:  # else the check of the token says why
            yield assess.mode("token_file", profiles.shown(token_file), shlex.quote(str(token_file)), bits)


def _config(path: Path) -> Check:
    bits = _mode(path)
    if bits is None:
        return check.ok("config", f"none ({profiles.shown(path)})", path=str(path))
    try:
        document = profiles.load(path, must_exist=False)
    except NemoJobsError:
        return check.skip("config", f"{profiles.shown(path)} can't be used: see settings")
    tables = document.get("profiles", {}).values()
    if any("token" in table for table in tables):
        return assess.mode("config", profiles.shown(path), shlex.quote(str(path)), bits)
    return check.ok("config", profiles.shown(path), path=str(path))


def _mode(path: Path) -> int | None:
    """Return the mode of a regular file; None where there is none that can be looked at."""
    try:
        return path.expanduser().stat().st_mode if path.expanduser().is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def token(case: Case) -> Iterator[Check]:
    """Open the credential, and see whether it may go to the host. A workload's is exchanged later, by the platform."""
    credential = case.settings.credential
    told = {name: (value, source) for name, value, source in settings_view.settings_rows(case.settings)}
    said = one_line("{} ({})".format(*told["token"]), 300)
    if credential is None and case.fault is not None and not case.anonymous:
        yield case.bar(check.skip("token", _UNKNOWN))
        return
    if credential is None:
        case.auth = {}
        yield check.ok("token", "none is sent (--anonymous)" if case.anonymous else "none is sent: none is set")
        return
    if case.stopped:
        yield check.skip("token", f"{said}, not opened {case.stopped}")
        return
    try:
        credentials.check_target(case.settings, credential)
        if credential.kind != "workload":
            case.auth = auth_headers(case.settings, case.limit)
    except NemoJobsError as error:
        yield case.bar(check.failed("token", error))
    else:
        yield check.ok("token", said)


def launch(case: Case) -> Iterator[Check]:
    """Say where this process leaves the reporting to another one."""
    rank = launcher.find_silent_rank(case.environ)
    if rank is not None:
        says = f"this is rank {rank.number} of {rank.size} ({rank.variable}): run and stream leave it to rank 0"
        yield check.warn("rank", says, "to report from each: --all-ranks", rank=rank.number, of=rank.size)
    if case.settings.channel is not None:
        yield check.ok("channel", f"updates go through the nemo-jobs run around us ({case.settings.channel.source})")


def kept(case: Case) -> Iterator[Check]:
    """Look into the outbox without touching it."""
    wanted, source = case.settings.outbox
    if case.settings.outbox_dir is None and not wanted:
        yield check.skip("outbox", "off, and there is no home folder for one")
        return
    try:
        found = clock.run_within(LONGEST_LOOK, lambda: _lying(case))
    except NemoJobsError as error:
        yield check.failed("outbox", error) if wanted else check.warn("outbox", error.message, error.hint)
    except TimeoutError:
        late = Lying(
            profiles.shown(Path(case.settings.outbox_dir.value if case.settings.outbox_dir else "")),
            trouble=f"it did not answer within {LONGEST_LOOK:g} s",
        )
        yield assess.outbox(late, time.time(), wanted=True)  # a command would hang
    else:
        yield assess.outbox(found, time.time(), wanted=wanted, switch=f"{'on' if wanted else 'off'} ({source})")


def _lying(case: Case) -> Lying:
    box = policy.open_outbox(case.settings)
    every, own = box.names(), box.names(case.settings.host.value)
    return Lying(
        profiles.shown(box.folder),
        waiting=len(own),
        elsewhere=len(every) - len(own),
        rejected=box.count(outbox.REJECTED),
        aside=box.count(outbox.SET_ASIDE),
        broken=box.count(outbox.BROKEN),
        oldest=_made(every[0]) if every else None,
        trouble=_trouble(box.folder),
    )


def _made(name: str) -> float | None:
    """Return when an entry was made, in seconds since 1970: its name begins with that."""
    moment = name.partition("-")[0]
    return int(moment) / 1e9 if moment.isascii() and moment.isdigit() else None


def _trouble(folder: Path) -> str:
    """Return what is in the way of writing into a folder, or of making it, "" where nothing is; nothing is written."""
    nearest = next((place for place in (folder, *folder.parents) if os.path.lexists(place)), folder)
    for place in (nearest, folder / outbox.PENDING):
        if not os.path.lexists(place):
            continue
        if not place.is_dir():
            return f"{one_line(str(place), 200)} is no folder"
        if not os.access(place, os.W_OK | os.X_OK):
            return f"{one_line(str(place), 200)} can't be written"
    return ""
