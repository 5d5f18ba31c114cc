"""Make the environment of a wrapped command, with the settings of `run`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.files import exists, is_file
from nemo_jobs_cli.settings import profiles, resolve

if TYPE_CHECKING:
    from nemo_jobs_cli.core.outcome import Target
    from nemo_jobs_cli.settings.model import Flags, Settings

_TOKENS = ("NEMO_JOBS_TOKEN", "NEMO_JOBS_TOKEN_FILE")
_OF_PROFILES = ("api", "deadline", "outbox", "outbox_dir", "best_effort", "stamp")


def check_flags(flags: Flags) -> None:
    """Raise the error of a mistake in the flags themselves."""
    profiles.check_name(flags.profile)
    resolve.require_workspace(resolve.load_settings(flags._replace(profile=None), {}))
    path = resolve.config_path()
    if flags.profile is None or path is None or not exists(path):
        return
    try:
        document = profiles.load(path, must_exist=False)
    except SettingsError:
        return  # of the file
    profiles.select(document, flags.profile, path)


def environment(settings: Settings, flags: Flags, target: Target) -> dict[str, str]:
    """Return our environment with the connection of the settings.

    No token is added. A variable that `flags` override is left out: its token is not for the host of `flags`.
    """
    environ = resolve.environment()
    used = None if settings.credential is None else settings.credential.source
    for name in _TOKENS:
        if name != used:
            environ.pop(name, None)
    if flags.profile is not None:
        environ["NEMO_JOBS_PROFILE"] = flags.profile  # weaker than the other variables, as a flag it is stronger
        for name in _OF_PROFILES:
            setting = getattr(settings, name)
            if setting is not None and setting.source.startswith("profile "):
                environ.pop(f"NEMO_JOBS_{name.upper()}", None)
    if settings.ca_file is not None:
        environ["NEMO_JOBS_CA_FILE"] = str(Path(settings.ca_file.value).absolute())
    # Not of a pipe, such as <(vault read ...): it can be read only once.
    token_file = os.path.expanduser(flags.token_file or "")  # noqa: PTH111 - Path.expanduser raises without a home
    if is_file(token_file):
        environ["NEMO_JOBS_TOKEN_FILE"] = str(Path(token_file).absolute())
    if flags.number:
        environ["NEMO_JOBS_NUMBERS"] = ",".join(filter(None, (environ.get("NEMO_JOBS_NUMBERS"), *flags.number)))
    return environ | {
        "NEMO_JOBS_HOST": settings.host.value,
        "NEMO_JOBS_JOB": target.job,
        "NEMO_JOBS_WORKSPACE": target.workspace,
    }
