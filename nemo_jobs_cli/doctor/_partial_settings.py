"""Resolve partly broken settings, so that the rest can be checked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nemo_jobs_cli.core.errors import NemoJobsError
from nemo_jobs_cli.settings import resolve as settings_resolve
from nemo_jobs_cli.settings import sources
from nemo_jobs_cli.settings.model import Flags, Settings, Sourced

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

# The variables that say only where the outbox is.
_OUTBOX_VARIABLES = frozenset({"XDG_STATE_HOME", "NEMO_JOBS_OUTBOX", "NEMO_JOBS_OUTBOX_DIR", "NEMO_JOBS_CONFIG"})


@dataclass(frozen=True, slots=True)
class PartialSettings:
    """Settings, and the error that makes them partial.

    Host and workspace are the defaults if the broken source could have overridden them. If the host is not known,
    no request may be sent: the token would go to a host that the user did not choose.
    """

    settings: Settings
    error: NemoJobsError | None = None
    is_host_known: bool = True


def resolve(flags: Flags, environ: Mapping[str, str]) -> PartialSettings:
    """Resolve the settings, from fewer sources if all together are invalid."""
    try:
        return PartialSettings(settings_resolve.load_settings(flags, environ))
    except NemoJobsError as caught:
        error = caught
    for fewer_flags, fewer_variables in _fewer_sources(flags, environ):
        try:
            settings = settings_resolve.load_settings(fewer_flags, fewer_variables)
        except NemoJobsError:
            continue
        if not _overrides(settings.workspace, flags, environ):
            settings = settings._replace(workspace=Settings().workspace)
        is_host_known = _overrides(settings.host, flags, environ)
        return PartialSettings(
            settings if is_host_known else settings._replace(host=Settings().host), error, is_host_known
        )
    return PartialSettings(Settings(), error, is_host_known=False)


def _overrides(setting: Sourced[str], flags: Flags, environ: Mapping[str, str]) -> bool:
    """Return whether a setting's source overrides the broken one.

    A profile is stronger if it is named by a flag or a variable; a context is the weakest source.
    """
    if setting.source.startswith("--"):
        return True
    if flags.profile is not None:
        return False
    if setting.source.startswith("NEMO_JOBS_"):
        return True
    official = sources.from_official_variables(environ).values.values()
    return not environ.get("NEMO_JOBS_PROFILE") and setting.source in {value.source for value in official}


def _fewer_sources(flags: Flags, environ: Mapping[str, str]) -> Iterator[tuple[Flags, dict[str, str]]]:
    """Yield flags and variables with fewer and fewer sources."""
    variables = {name: value for name, value in environ.items() if name != "NEMO_JOBS_PROFILE"}
    variables["NEMO_JOBS_CONFIG"] = os.devnull
    flags = flags._replace(profile=None)
    yield flags, variables
    if environ.get("HOME"):
        variables.setdefault("XDG_STATE_HOME", os.path.join(environ["HOME"], ".local/state"))  # noqa: PTH118 - text for the environment
    for name in ("HOME", "XDG_CONFIG_HOME", "NHX_CONFIG_FILE", "NMP_CONFIG_FILE"):
        variables.pop(name, None)
    yield flags, variables
    outbox_flags = Flags(outbox=flags.outbox, outbox_dir=flags.outbox_dir, anonymous=True)
    yield outbox_flags, {name: value for name, value in variables.items() if name in _OUTBOX_VARIABLES}
