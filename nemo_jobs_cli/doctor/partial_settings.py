"""Resolve settings that are broken in part: a check-up tells the fault and goes on with what can be known."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from nemo_jobs_cli.core.errors import NemoJobsError
from nemo_jobs_cli.settings import resolve as config
from nemo_jobs_cli.settings import sources
from nemo_jobs_cli.settings.model import Flags, Settings, Sourced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# What says where the outbox is, and nothing about where requests go.
_OF_THE_OUTBOX = ("XDG_STATE_HOME", "NEMO_JOBS_OUTBOX", "NEMO_JOBS_OUTBOX_DIR")


class Salvaged(NamedTuple):
    """Settings, and what is wrong with them, None where nothing is.

    Host and workspace are the default where a weaker source than what is broken names them: it might have named
    others. Where the host is not known, no request may be sent: a token would go to a host that the user never meant.
    """

    settings: Settings
    fault: NemoJobsError | None = None
    knows_host: bool = True


def resolve(flags: Flags, environ: Mapping[str, str]) -> Salvaged:
    """Return the settings, those of fewer sources where all together make no sense."""
    try:
        return Salvaged(config.resolve(flags, environ))
    except NemoJobsError as error:
        fault = error
    for fewer, remaining in _fewer(flags, environ):
        try:
            found = config.resolve(fewer, remaining)
        except NemoJobsError:
            continue
        if not _outranks(found.workspace, flags, environ):
            found = found._replace(workspace=Settings().workspace)
        knows_host = _outranks(found.host, flags, environ)
        return Salvaged(found if knows_host else found._replace(host=Settings().host), fault, knows_host)
    return Salvaged(Settings(), fault, knows_host=False)


def _outranks(said: Sourced[str], flags: Flags, environ: Mapping[str, str]) -> bool:
    """Tell whether a setting comes from a source that wins whatever the broken one says.

    That is a profile, where it is asked for by name the stronger, or a context, the weakest of all.
    """
    if said.source.startswith("--"):
        return True
    if flags.profile is not None:
        return False
    if said.source.startswith("NEMO_JOBS_"):
        return True
    official = sources.of_official_variables(environ).values.values()
    return not environ.get("NEMO_JOBS_PROFILE") and said.source in {value.source for value in official}


def _fewer(flags: Flags, environ: Mapping[str, str]) -> Iterator[tuple[Flags, dict[str, str]]]:
    """Yield the flags and variables without our file, then without the official ones, then for the outbox alone."""
    own = {name: value for name, value in environ.items() if name != "NEMO_JOBS_PROFILE"}
    own["NEMO_JOBS_CONFIG"] = os.devnull
    flags = flags._replace(profile=None)
    yield flags, own
    state = {"XDG_STATE_HOME": os.path.join(environ["HOME"], ".local/state")} if environ.get("HOME") else {}  # noqa: PTH118
    official = {"HOME", "XDG_CONFIG_HOME", "NHX_CONFIG_FILE", "NMP_CONFIG_FILE"}
    without = state | {name: value for name, value in own.items() if name not in official}
    yield flags, without
    of_the_outbox = {name: value for name, value in without.items() if name in {*_OF_THE_OUTBOX, "NEMO_JOBS_CONFIG"}}
    yield Flags(outbox=flags.outbox, outbox_dir=flags.outbox_dir, anonymous=True), of_the_outbox
