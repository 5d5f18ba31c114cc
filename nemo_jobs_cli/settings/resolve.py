"""Resolve settings: flags, variables, profiles and the official tool's login, each value with its origin.

The only module that reads the environment. The first source that has a value wins:
flag, --profile, NEMO_JOBS_*, the profile that NEMO_JOBS_PROFILE names, the job's and the official variables,
the default profile, the official tool's current context, the default.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from nemo_jobs_cli.core import dirs, known_keys, names, times
from nemo_jobs_cli.core.errors import SettingsError, UsageError
from nemo_jobs_cli.core.files import exists, is_dir
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings import _headers, profiles, sources, urls
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


def environment(*, secrets: bool = True) -> dict[str, str]:
    """Return a copy of this process's environment; without `secrets`, no variable that holds a token is in it."""
    return {name: value for name, value in os.environ.items() if secrets or name not in sources.SECRETS}


def load_settings(flags: Flags, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings that hold for one command; raise SettingsError or UsageError where they make no sense."""
    environ = environment() if environ is None else environ
    found = _sources(flags, environ)
    default: Sourced[Any] = Sourced(None, "default")

    def get(name: str, otherwise: object) -> Sourced[Any]:
        return sources.first(found, name) or Sourced(otherwise, default.source)

    host = get("host", DEFAULT_HOST)
    host = Sourced(urls.base_url(host.value, host.source), host.source)
    deadline = get("deadline", DEFAULT_DEADLINE)
    credential = next((source.credential for source in found if source.credential is not None), None)
    ca_file = sources.first(found, "ca_file")
    if ca_file is not None and (not exists(ca_file.value) or is_dir(ca_file.value)):
        raise SettingsError(
            f"the CA file {one_line(ca_file.value, 200)} is not there ({ca_file.source})",
            "correct its path: --ca-file FILE",
        )
    return Settings(
        host=host,
        workspace=get("workspace", DEFAULT_WORKSPACE),
        job=sources.first(found, "job"),
        credential=None if flags.anonymous else credential,
        ca_file=ca_file,
        headers=_headers.parse_headers(flags.header),
        allow_http=_allow_http(found, credential),
        host_from_job=_is_the_jobs(host.value, environ),
        deadline=Sourced(_seconds(deadline.value, deadline.source), deadline.source),
        numbers=_numbers(flags, found),
        api=sources.check_choice(get("api", "auto"), profiles.CHOICES["api"]),
        proxies=sources.needs_proxy(host.value, environ),
        channel=sources.first(found, "channel"),
        outbox=get("outbox", otherwise=False),
        outbox_dir=sources.first(found, "outbox_dir") or _outbox_dir(environ),
        max_entries=flags.max_entries,
        best_effort=get("best_effort", otherwise=False),
        profile=flags.profile or environ.get("NEMO_JOBS_PROFILE") or None,
        run_keys=_run_keys(get("run", {})),
        anonymous=flags.anonymous,
    )


def require_job(word: str | None, job: Sourced[str] | None, example: str) -> str:
    """Return the job that is meant: the word, else that of the settings; raise UsageError where there is none."""
    if word is not None:
        return names.check_job(word, "JOB")
    if job is not None:
        return names.check_job(job.value, job.source)
    raise UsageError(
        "which job? none was named, and this is not inside one",
        f"name it: {example}; or export NEMO_JOBS_JOB=JOB; see them all: nemo-jobs list",
    )


def require_workspace(settings: Settings) -> str:
    """Return the workspace; raise UsageError if its name is invalid."""
    return names.check_workspace(settings.workspace.value, f"workspace ({settings.workspace.source})")


def require_target(word: str | None, settings: Settings, example: str) -> Target:
    """Return the workspace and the job to report to; raise UsageError if either is missing or invalid."""
    from nemo_jobs_cli.core.outcome import Target

    return Target(require_workspace(settings), require_job(word, settings.job, example))


def _allow_http(found: Sequence[Source], credential: Credential | None) -> Sourced[bool]:
    """Return whether plain http is allowed: where a profile holds the token, only that very profile may say so."""
    holders = [source for source in found if source.credential is not None and source.credential is credential]
    of_profile = [source for source in holders if credential is not None and credential.bound_to is not None]
    return sources.first(of_profile or found, "allow_http") or Sourced(False, "default")


def _is_the_jobs(host: str, environ: Mapping[str, str]) -> bool:
    """Tell whether `host` is the one that the running job was given, whoever else names it as well."""
    own = sources.from_official_variables(environ).values.get("host")
    return sources.is_in_job(environ) and own is not None and own.value.rstrip("/") == host


def _run_keys(run: Sourced[Any]) -> Sourced[Any]:
    return Sourced(run.value.get("keys", {}), run.source)


def check_setting(key: str, value: Any) -> None:
    """Raise SettingsError or UsageError where `value` could not be used as the setting `key`."""
    if key == "host":
        urls.base_url(value, key)
    elif key == "workspace":
        names.check_workspace(value, key)
    elif key == "deadline":
        _seconds(value, key)


def config_path(environ: Mapping[str, str] | None = None) -> Path | None:
    """Return where our own configuration file is or would be; None where there is no home."""
    environ = environment() if environ is None else environ
    if environ.get("NEMO_JOBS_CONFIG"):
        return Path(environ["NEMO_JOBS_CONFIG"])
    folder = dirs.app_path(environ, "config")
    return None if folder is None else folder / "config.toml"


def require_config_path(environ: Mapping[str, str] | None = None) -> Path:
    """Return where our own configuration file is or would be; raise SettingsError where there is no home for one."""
    path = config_path(environ)
    if path is None:
        raise SettingsError(
            "there is no home folder to keep a configuration in", "name a file: export NEMO_JOBS_CONFIG=FILE"
        )
    return path


def _outbox_dir(environ: Mapping[str, str]) -> Sourced[str] | None:
    """Return where undelivered updates are kept; None where there is no home."""
    folder = dirs.app_path(environ, "state")
    return None if folder is None else Sourced(str(folder / "outbox"), "default")


def _sources(flags: Flags, environ: Mapping[str, str]) -> list[Source]:
    """Return the sources in order, strongest first; those that can't matter any more are not opened."""
    path = config_path(environ)
    named_file = bool(environ.get("NEMO_JOBS_CONFIG"))
    place = path or Path("~/.config/nemo-jobs/config.toml")  # without a home it only stands in messages
    there = path is not None and (named_file or exists(path))
    document = profiles.load(place, must_exist=named_file) if there else {}
    profiles.check_name(flags.profile)
    chosen = _profile(document, flags.profile, place, "--profile")
    named = _profile(document, environ.get("NEMO_JOBS_PROFILE"), place, "NEMO_JOBS_PROFILE")
    usual = profiles.select(document, None, place) if document else None
    official = sources.from_official_variables(environ)
    found = [
        _of_flags(flags),
        *_as_sources(chosen),
        sources.from_own_variables(environ),
        *_as_sources(named),
        official,
        *_as_sources(usual),
    ]
    credential = next((source.credential for source in found if source.credential is not None), None)
    # A token of the official variables without their base URL belongs where the official tool's own context is.
    unbound = credential is not None and credential is official.credential and "host" not in official.values
    complete = all(sources.first(found, name) for name in ("host", "workspace"))
    if complete and (flags.anonymous or (credential is not None and not unbound)):
        return found
    contexts = _contexts(environ)
    if unbound:
        fallback = contexts.get(sources.product(environ), Source()).values.get("host")
        found[found.index(official)] = sources.from_official_variables(environ, fallback.value if fallback else None)
    for context in contexts.values():
        # The CA file of a cluster is for that cluster: not for a host that is named elsewhere.
        elsewhere = sources.first(found, "host") is not None
        kept = {name: value for name, value in context.values.items() if not (elsewhere and name == "ca_file")}
        found.append(context._replace(values=kept))
    return found


def _contexts(environ: Mapping[str, str]) -> dict[Product, Source]:
    """Return the official tool's current contexts, those of the newer product first."""
    found: dict[Product, Source] = {}
    products: tuple[Product, ...] = ("nhx", "nmp")
    for product in products:
        prefix = product.upper()
        named = environ.get(f"{prefix}_CONFIG_FILE")
        path = Path(named) if named else _nemo_config_path(product, environ)
        if path is not None and (named or exists(path)):
            from nemo_jobs_cli.settings import _nemo_config

            context = environ.get(f"{prefix}_CURRENT_CONTEXT")
            found[product] = _nemo_config.load(path, product, context, must_exist=bool(named))
    return found


def _nemo_config_path(product: Product, environ: Mapping[str, str]) -> Path | None:
    """Return the path of the official tool's file: in XDG_CONFIG_HOME if its folder is there, else in ~/.config."""
    xdg = environ.get("XDG_CONFIG_HOME")
    if xdg and is_dir(Path(xdg, product)):
        return Path(xdg, product, "config.yaml")
    home = Path(environ.get("HOME", ""))
    return home / ".config" / product / "config.yaml" if home.is_absolute() else None


def _profile(document: dict[str, Any], name: str | None, path: Path, asked_by: str) -> profiles.Profile | None:
    return profiles.select(document, name, path, asked_by) if name else None


def _as_sources(profile: profiles.Profile | None) -> list[Source]:
    return [] if profile is None else [sources.from_profile(profile)]


def _of_flags(flags: Flags) -> Source:
    said = {
        "host": (flags.host, "--host"),
        "workspace": (flags.workspace, "--workspace"),
        "ca_file": (flags.ca_file, "--ca-file"),
        "deadline": (flags.deadline, "--deadline"),
        "outbox": (flags.outbox, "--outbox" if flags.outbox else "--no-outbox"),
        "outbox_dir": (flags.outbox_dir, "--outbox-dir"),
        "best_effort": (flags.best_effort, "--best-effort" if flags.best_effort else "--no-best-effort"),
    }
    values = {name: Sourced(value, source) for name, (value, source) in said.items() if value is not None}
    credential = None
    if flags.token_file is not None:
        credential = Credential("file", flags.token_file, "--token-file")
    return Source(values, credential)


def _numbers(flags: Flags, found: Sequence[Source]) -> Sourced[frozenset[str]]:
    """Return the well-known numbers together with what every source adds to them."""
    added = set(flags.number)
    asked = [source.values["numbers"] for source in found if "numbers" in source.values]
    for numbers in asked:
        listed = numbers.value.split(",") if isinstance(numbers.value, str) else numbers.value
        added |= {entry.strip() for entry in listed} - {""}
    names = [*(["--number"] if flags.number else []), *(numbers.source for numbers in asked)]
    return Sourced(known_keys.NUMBERS | added, ", ".join(dict.fromkeys(names)) or "default")


def _seconds(value: object, source: str) -> float:
    """Return a span of time that a text, or a number of TOML, means."""
    plain = isinstance(value, int | float) and 0 <= value < 1e9  # noqa: PLR2004 - what the text form can say, too
    return float(cast("float", value)) if plain else times.parse_duration(str(value), source)
