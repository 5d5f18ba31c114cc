"""Resolve and verify the settings of a profile before it is written."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.api.session import Session, open_session
from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import AuthError, NemoJobsError, NotFoundError, SettingsError
from nemo_jobs_cli.core.files import display_path
from nemo_jobs_cli.delivery import deliver
from nemo_jobs_cli.settings import profiles, resolve, sources, urls
from nemo_jobs_cli.settings.model import Credential, Flags, Settings, Sourced
from nemo_jobs_cli.setup.interview import Token, TokenDefault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from nemo_jobs_cli.setup.interview import Answers
    from nemo_jobs_cli.transport.messages import Failure, Response


@dataclass(frozen=True, slots=True)
class TargetProfile:
    """The profile to write: its name, its file, and the file's content."""

    path: Path
    document: Mapping[str, Any] = field(repr=False)  # may hold tokens
    name: str

    @property
    def values(self) -> Mapping[str, Any]:
        """Return the current values of the profile; none if it is new."""
        values: Mapping[str, Any] = self.document.get("profiles", {}).get(self.name, {})
        return values

    @property
    def exists(self) -> bool:
        """Return whether the file has this profile."""
        return self.name in self.document.get("profiles", {})

    @property
    def default(self) -> str | None:
        """Return the name of the default profile, None if it is missing."""
        name = profiles.default_name(self.document)
        return name if name in self.document.get("profiles", {}) else None

    @property
    def source(self) -> str:
        """Return the profile as a setting's source, as in `config list`."""
        return f"profile {profiles.display_name(self.name)} ({display_path(self.path)})"


def target_profile(flags: Flags, environ: Mapping[str, str]) -> TargetProfile:
    """Return the named profile, or else the default one; it may be new."""
    path = resolve.require_config_path(environ)
    document = profiles.load(path, must_exist=False)
    profiles.check_name(flags.profile)
    name = flags.profile or environ.get("NEMO_JOBS_PROFILE") or profiles.default_name(document) or profiles.DEFAULT
    profiles.check_name(name, "NEMO_JOBS_PROFILE")
    return TargetProfile(path, document, name)


def current_settings(profile: TargetProfile, flags: Flags, environ: Mapping[str, str]) -> Settings:
    """Resolve the settings with the profile as it is now."""
    environ = {name: value for name, value in environ.items() if name != "NEMO_JOBS_PROFILE"}
    if not profile.exists and profile.default is None:
        environ["NEMO_JOBS_CONFIG"] = os.devnull  # the file has no usable profile, or does not exist
    name = profile.name if profile.exists else None
    return resolve.load_settings(flags._replace(profile=name, token_file=None, anonymous=False), environ)


def candidate_settings(
    profile: TargetProfile, answers: Answers, flags: Flags, environ: Mapping[str, str], *, allow_http: bool
) -> Settings:
    """Resolve the settings as if the profile held the answers."""
    host, workspace, token = answers.host, answers.workspace, answers.token
    flags = flags._replace(host=host.value, workspace=workspace.value)
    settings = current_settings(profile, flags, environ)._replace(host=host, workspace=workspace)
    if token.kind == "none":
        settings = settings._replace(credential=None)
    elif token.kind != "current":
        kind = "token" if token.kind == "text" else token.kind
        settings = settings._replace(
            credential=Credential(kind, token.secret, token.source, bound_to=host.value),
            allow_http=Sourced(bool(profile.values.get("allow_http")), profile.source),
        )
    return settings._replace(allow_http=Sourced(True, "--allow-http")) if allow_http else settings


def token_default(settings: Settings, profile: TargetProfile) -> TokenDefault:
    """Return the token that an empty answer means."""
    credential = settings.credential
    if credential is None:
        return TokenDefault(Token("none"), "none")
    own = not profile.values.keys().isdisjoint(sources.PROFILE_TOKENS)
    try:
        credentials.check_target(settings, credential)
    except NemoJobsError as error:
        if not own:
            return TokenDefault(Token("none"), "none")
        origin = urls.origin_of(credential.bound_to or "")
        return TokenDefault(Token("none"), f"none; the token for {origin} is removed", error)
    if own:
        return TokenDefault(Token("current"), "keep the current one")
    return TokenDefault(Token("current"), f"none in the profile; use the {credentials.describe(credential)}")


def check(settings: Settings) -> None:
    """Raise SettingsError if the token must not go to the host."""
    if settings.credential is None:
        return
    try:
        credentials.check_target(settings, settings.credential)
    except SettingsError as error:
        if "belongs_to" not in error.facts:
            error.hint = "use https://, or on a trusted network --allow-http, or --no-token"
        raise


def verify(settings: Settings, on_retry: Callable[[Response | Failure, float], None] | None = None) -> Session:
    """Read the jobs of the workspace; return the session, or raise the reason."""
    session = open_session(settings, SYSTEM_CLOCK.now(), on_retry=on_retry)
    try:
        next(jobs.list_jobs(session, settings.workspace.value, limit=1), None)
    except (AuthError, NotFoundError) as error:
        if error.facts.get("status") == 401:  # noqa: PLR2004 - a 403 is not about the token alone
            error.hint = "pass a valid token: --token-file FILE, or --token-command 'nemo auth token'"
        raise jobs.with_similar_workspaces(error, session, settings.workspace.value) from None
    return session


def read_only_warning(session: Session) -> str | None:
    """Return a warning if jobs can be read but not updated, or None."""
    result, _, kind = deliver.probe(session)
    if kind != "forbidden":
        return None
    error = session.explain(result, None)
    if isinstance(error, AuthError):
        error = jobs.with_similar_workspaces(error, session, session.settings.workspace.value)
    return f"jobs can be read but not updated: {error.message}; {error.hint}"


def override_warnings(profile: TargetProfile) -> list[str]:
    """Return warnings about settings that override the profile's."""
    try:
        settings = resolve.load_settings(Flags(profile=None if profile.default == profile.name else profile.name))
    except NemoJobsError as error:
        return [f"{error.message}; {error.hint}"]
    sourced = [("host", settings.host.source), ("workspace", settings.workspace.source)]
    if settings.credential is not None and not profile.values.keys().isdisjoint(sources.PROFILE_TOKENS):
        sourced.append(("token", settings.credential.source))
    warnings = [
        f"the {name} from {source} overrides the profile's" for name, source in sourced if source != profile.source
    ]
    try:
        check(settings)
    except NemoJobsError as error:
        warnings.append(f"{error.message}; {error.hint}")
    return warnings
