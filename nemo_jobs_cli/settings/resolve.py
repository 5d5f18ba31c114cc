"""Resolve settings from flags, variables, profiles and official logins.

The only module that reads the environment. The first source that has a value wins: flag, --profile, NEMO_JOBS_*, the
profile of NEMO_JOBS_PROFILE, the job's and the official variables, the default profile, the official tool's context.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nemo_jobs_cli.core import dirs, known_keys, names, times
from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.core.files import exists, is_dir
from nemo_jobs_cli.settings import _ca_file, _headers, profiles, proxies, sources, urls
from nemo_jobs_cli.settings.model import (
    DEFAULT_DEADLINE,
    DEFAULT_HOST,
    DEFAULT_WORKSPACE,
    Credential,
    Flags,
    Product,
    Settings,
    Sourced,
)
from nemo_jobs_cli.settings.sources import Source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nemo_jobs_cli.core.outcome import Target


_JOB_STORAGE = "NEMO_JOB_PERSISTENT_JOB_STORAGE_PATH"


def environment(*, secrets: bool = True) -> dict[str, str]:
    """Return the process environment, without tokens if not `secrets`."""
    return {name: value for name, value in os.environ.items() if secrets or name not in sources.SECRETS}


def load_settings(
    flags: Flags, environ: Mapping[str, str] | None = None, deadline: float = DEFAULT_DEADLINE
) -> Settings:
    """Resolve the settings of a command, or raise an error."""
    environ = environment() if environ is None else environ
    all_sources = _sources(flags, environ)

    def get(name: str, default: object) -> Sourced[Any]:
        return sources.first(all_sources, name) or Sourced(default, "default")

    host = get("host", DEFAULT_HOST)
    host = Sourced(urls.base_url(host.value, host.source), host.source)
    limit, run = get("deadline", deadline), get("run", {})
    workspace, is_job_host = get("workspace", DEFAULT_WORKSPACE), _is_job_host(host.value, environ)
    credential = _first_credential(all_sources)
    return Settings(
        host=host,
        workspace=workspace,
        job=sources.first(all_sources, "job"),
        credential=None if flags.anonymous else credential,
        ca_file=_ca_file.find(all_sources, host.value, environ),
        headers=_headers.parse_headers(flags.header),
        allow_http=_allow_http(all_sources, credential),
        host_from_job=is_job_host,
        # Another host may have a job of the same name.
        attempt=sources.own_attempt(environ, workspace.value) if is_job_host else None,
        cache_dir=_job_folder(environ) or dirs.app_dir(environ, "cache", sys.platform),
        deadline=Sourced(_seconds(limit.value, limit.source), limit.source),
        numbers=_numbers(flags, all_sources),
        api=sources.check_choice(get("api", "auto"), profiles.CHOICES["api"]),
        proxy=proxies.proxy_for(host.value, environ),
        channel=sources.first(all_sources, "channel"),
        outbox=get("outbox", default=False),
        outbox_dir=sources.first(all_sources, "outbox_dir") or _outbox_dir(environ),
        max_entries=flags.max_entries,
        best_effort=get("best_effort", default=False),
        stamp=sources.first(all_sources, "stamp"),
        profile=flags.profile or environ.get("NEMO_JOBS_PROFILE") or None,
        run_keys=Sourced(run.value.get("keys", {}), run.source),
        anonymous=flags.anonymous,
        flags=flags,
    )


def require_job(word: str | None, job: Sourced[str] | None, example: str) -> str:
    """Return the job of the command line (`word`) or the settings."""
    if word is not None:
        return names.check_job(word, "JOB")
    if job is not None:
        return names.check_job(job.value, job.source)
    raise UsageError(
        "no job given",
        f"name a job (see nemo-jobs list): {example}; or export NEMO_JOBS_JOB=JOB",
    )


def require_workspace(settings: Settings) -> str:
    """Return the workspace; raise UsageError if its name is invalid."""
    return names.check_workspace(settings.workspace.value, settings.workspace.source)


def require_target(word: str | None, settings: Settings, example: str) -> Target:
    """Return the workspace and the job, or raise UsageError."""
    from nemo_jobs_cli.core.outcome import Target

    return Target(require_workspace(settings), require_job(word, settings.job, example))


def _first_credential(all_sources: Sequence[Source]) -> Credential | None:
    return next((source.credential for source in all_sources if source.credential is not None), None)


def _allow_http(all_sources: Sequence[Source], credential: Credential | None) -> Sourced[bool]:
    """Return whether plain http is allowed, by the source of a bound token."""
    is_bound = credential is not None and credential.bound_to is not None
    owners = [source for source in all_sources if is_bound and source.credential is credential]
    return sources.first(owners or all_sources, "allow_http") or Sourced(False, "default")


def _is_job_host(host: str, environ: Mapping[str, str]) -> bool:
    """Return whether `host` is that of the running job."""
    job_host = sources.from_official_variables(environ).values.get("host")
    return sources.is_in_job(environ) and job_host is not None and job_host.value.rstrip("/") == host


def check_setting(key: str, value: Any) -> None:
    """Raise an error if `value` is not valid for the setting `key`."""
    if key == "host":
        urls.base_url(value, key)
    elif key == "workspace":
        names.check_workspace(value, key)
    elif key == "deadline":
        _seconds(value, key)


def config_path(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the path of our config file, or None without a home folder."""
    environ = environment() if environ is None else environ
    if environ.get("NEMO_JOBS_CONFIG"):
        return Path(environ["NEMO_JOBS_CONFIG"])
    folder = dirs.app_path(environ, "config")
    return None if folder is None else folder / "config.toml"


def require_config_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return the path of our config file, or raise SettingsError."""
    path = config_path(environ)
    if path is None:
        raise SettingsError(
            "cannot locate the config file: no home folder", "name a file: export NEMO_JOBS_CONFIG=FILE"
        )
    return path


def _job_folder(environ: Mapping[str, str]) -> str | None:
    """Return our folder in the storage of the running job, or None.

    A job has no home, or one that ends with its container; its storage survives.
    """
    storage = environ.get(_JOB_STORAGE)
    return f"{storage}/nemo-jobs" if storage and sources.is_in_job(environ) else None


def _outbox_dir(environ: Mapping[str, str]) -> Sourced[str] | None:
    """Return the default folder of the outbox, or None without a home folder."""
    job_folder = _job_folder(environ)
    if job_folder is not None:
        return Sourced(f"{job_folder}/outbox", _JOB_STORAGE)
    folder = dirs.app_path(environ, "state")
    return None if folder is None else Sourced(str(folder / "outbox"), "default")


def _sources(flags: Flags, environ: Mapping[str, str]) -> list[Source]:
    """Return the sources that can matter, strongest first."""
    config = config_path(environ)
    must_exist = bool(environ.get("NEMO_JOBS_CONFIG"))
    path = config or Path("~/.config/nemo-jobs/config.toml")  # without a home folder, only for messages
    limit = _read_limit(flags, environ)
    is_there = config and (must_exist or exists(config))
    document = profiles.load(path, must_exist=must_exist, limit=limit) if is_there else {}
    profiles.check_name(flags.profile)

    def named(name: str | None, source: str) -> Source:
        profile = profiles.select(document, name, path, source) if name else None
        return Source() if profile is None else sources.from_profile(profile)

    official = sources.from_official_variables(environ)
    result = [
        _from_flags(flags),
        named(flags.profile, "--profile"),
        sources.from_own_variables(environ),
        named(environ.get("NEMO_JOBS_PROFILE"), "NEMO_JOBS_PROFILE"),
        official,
        named(profiles.default_name(document), "default_profile"),
    ]
    credential = _first_credential(result)
    # Without a base URL, a token of the official variables is bound to the host of the official tool's context.
    is_unbound = credential is not None and credential is official.credential and "host" not in official.values
    is_complete = all(sources.first(result, name) for name in ("host", "workspace"))
    if is_complete and (flags.anonymous or (credential is not None and not is_unbound)):
        return result
    contexts = _contexts(environ, limit)
    if is_unbound:
        host = contexts.get(sources.product(environ), Source()).values.get("host")
        result[result.index(official)] = sources.from_official_variables(environ, host.value if host else None)
    for context in contexts.values():
        # A cluster's CA file is only for that cluster, not for a host from another source.
        has_host = sources.first(result, "host") is not None
        values = {name: value for name, value in context.values.items() if not (has_host and name == "ca_file")}
        result.append(context._replace(values=values))
    return result


def _read_limit(flags: Flags, environ: Mapping[str, str]) -> float:
    """Return the seconds for reading a config file, which may be a pipe."""
    text = flags.deadline or environ.get("NEMO_JOBS_DEADLINE") or "0"
    try:
        return times.parse_duration(text, "") or profiles.LONGEST_READ
    except UsageError:  # raised again with its source, unless a profile is stronger
        return profiles.LONGEST_READ


def _contexts(environ: Mapping[str, str], limit: float) -> dict[Product, Source]:
    """Return the official tool's current contexts, the newer product first."""
    contexts: dict[Product, Source] = {}
    for product in cast("tuple[Product, ...]", ("nhx", "nmp")):
        prefix = product.upper()
        file = environ.get(f"{prefix}_CONFIG_FILE")
        path = Path(file) if file else _nemo_config_path(product, environ)
        if path is not None and (file or exists(path)):
            from nemo_jobs_cli.settings import _nemo_config

            context = environ.get(f"{prefix}_CURRENT_CONTEXT")
            contexts[product] = _nemo_config.load(path, product, context, must_exist=bool(file), limit=limit)
    return contexts


def _nemo_config_path(product: Product, environ: Mapping[str, str]) -> Path | None:
    """Return the path of the official tool's file."""
    xdg = environ.get("XDG_CONFIG_HOME")
    if xdg and is_dir(Path(xdg, product)):
        return Path(xdg, product, "config.yaml")
    home = Path(environ.get("HOME", ""))
    return home / ".config" / product / "config.yaml" if home.is_absolute() else None


def _from_flags(flags: Flags) -> Source:
    options = {
        "host": (flags.host, "--host"),
        "workspace": (flags.workspace, "--workspace"),
        "ca_file": (flags.ca_file, "--ca-file"),
        "deadline": (flags.deadline, "--deadline"),
        "outbox": (flags.outbox, "--outbox" if flags.outbox else "--no-outbox"),
        "outbox_dir": (flags.outbox_dir, "--outbox-dir"),
        "best_effort": (flags.best_effort, "--best-effort" if flags.best_effort else "--no-best-effort"),
        "stamp": (flags.stamp, "--stamp" if flags.stamp else "--no-stamp"),
    }
    values = {name: Sourced(value, source) for name, (value, source) in options.items() if value is not None}
    return Source(values, None if flags.token_file is None else Credential("file", flags.token_file, "--token-file"))


def _numbers(flags: Flags, all_sources: Sequence[Source]) -> Sourced[frozenset[str]]:
    """Return the known numeric keys and those that any source adds."""
    settings = [source.values["numbers"] for source in all_sources if "numbers" in source.values]
    lists = (setting.value.split(",") if isinstance(setting.value, str) else setting.value for setting in settings)
    added = set(flags.number) | ({key.strip() for keys in lists for key in keys} - {""})
    labels = [*(["--number"] if flags.number else []), *(setting.source for setting in settings)]
    return Sourced(known_keys.NUMBERS | added, ", ".join(dict.fromkeys(labels)) or "default")


def _seconds(value: object, source: str) -> float:
    """Return the seconds of a duration as text or as a TOML number."""
    is_seconds = isinstance(value, int | float) and 0 <= value < 1e9  # noqa: PLR2004 - the limit of the text form
    return float(cast("float", value)) if is_seconds else times.parse_duration(str(value), source)
