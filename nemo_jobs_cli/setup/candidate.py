"""Try the settings that a profile is to hold on the platform, before they are written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from nemo_jobs_cli.api import jobs
from nemo_jobs_cli.api.session import Session, open_session
from nemo_jobs_cli.auth import credentials
from nemo_jobs_cli.core.clock import SYSTEM_CLOCK
from nemo_jobs_cli.core.errors import AuthError, NemoJobsError, NotFoundError, SettingsError
from nemo_jobs_cli.settings import profiles, resolve, sources, urls
from nemo_jobs_cli.settings.model import Credential, Flags, Settings, Sourced
from nemo_jobs_cli.setup.questions import Offer, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from nemo_jobs_cli.setup.questions import Answers
    from nemo_jobs_cli.transport.messages import Failure, Response


class Place(NamedTuple):
    """The profile that is to be written: the file, what it holds now, and the profile's name."""

    path: Path
    document: Mapping[str, Any]
    name: str

    @property
    def own(self) -> Mapping[str, Any]:
        """Return what the profile says now; nothing where it is new."""
        found: Mapping[str, Any] = self.document.get("profiles", {}).get(self.name, {})
        return found

    @property
    def is_there(self) -> bool:
        """Tell whether there is such a profile already."""
        return self.name in self.document.get("profiles", {})

    @property
    def default(self) -> str | None:
        """Return the name of the default profile; None where the one that is named isn't there."""
        name = profiles.default_name(self.document)
        return name if name in self.document.get("profiles", {}) else None

    def __repr__(self) -> str:
        """Return nothing that the file holds."""
        return f"Place({self.name!r})"


def place(flags: Flags, environ: Mapping[str, str]) -> Place:
    """Return where a profile goes: the named one, else the one that holds now, made where there is none."""
    path = resolve.file_to_change(environ)
    document = profiles.load(path, must_exist=False)
    profiles.check_name(flags.profile)
    name = flags.profile or environ.get("NEMO_JOBS_PROFILE") or profiles.default_name(document) or profiles.DEFAULT
    profiles.check_name(name, "NEMO_JOBS_PROFILE")
    return Place(path, document, name)


def origin(where: Place) -> str:
    """Return where a value comes from that stands in the profile, as `config list` says it."""
    return f"profile {profiles.named(where.name)} ({profiles.shown(where.path)})"


def present(where: Place, flags: Flags, environ: Mapping[str, str]) -> Settings:
    """Return the settings that would hold with this profile as it is now; raise SettingsError or UsageError."""
    around = {name: value for name, value in environ.items() if name != "NEMO_JOBS_PROFILE"}
    if not where.is_there and where.default is None:
        around["NEMO_JOBS_CONFIG"] = os.devnull  # nothing there holds, and it may not even be there
    said = flags._replace(profile=where.name if where.is_there else None, token_file=None, anonymous=False)
    return resolve.resolve(said, around)


def candidate(
    where: Place, answers: Answers, flags: Flags, environ: Mapping[str, str], *, allow_http: bool
) -> Settings:
    """Return the settings that will hold with this profile when it says what was answered."""
    host, workspace, token = answers
    asked = flags._replace(host=host.value, workspace=workspace.value)
    found = present(where, asked, environ)._replace(host=host, workspace=workspace)
    if token.kind == "none":
        found = found._replace(credential=None)
    elif token.kind != "present":
        kind = "token" if token.kind == "text" else token.kind
        allowed = Sourced(bool(where.own.get("allow_http")), f"profile {profiles.named(where.name)}")
        found = found._replace(
            credential=Credential(kind, token.secret, token.source, bound_to=host.value), allow_http=allowed
        )
    return found._replace(allow_http=Sourced(True, "--allow-http")) if allow_http else found


def offer(found: Settings, where: Place) -> Offer:
    """Return what it means to give no token, with the settings that `candidate` finds for the one at present."""
    credential = found.credential
    if credential is None:
        return Offer(Token("none"), "none")
    own = not where.own.keys().isdisjoint(sources.PROFILE_TOKENS)
    try:
        credentials.check_target(found, credential)
    except NemoJobsError as error:
        if not own:
            return Offer(Token("none"), "none")
        return Offer(Token("none"), f"none, and the one of {urls.origin_of(credential.bound_to or '')} goes", error)
    if own:
        return Offer(Token("present"), "the one that is there")
    return Offer(Token("present"), f"none of its own, there is the {credentials.describe(credential)}")


def check(found: Settings) -> None:
    """Raise SettingsError where the token must not go to the host."""
    if found.credential is None:
        return
    try:
        credentials.check_target(found, found.credential)
    except SettingsError as error:
        if "belongs_to" not in error.facts:
            error.hint = "use https://; where the network is trusted: --allow-http; or send none: --no-token"
        raise


def attempt(found: Settings, notice: Callable[[Response | Failure, float], None] | None = None) -> Session:
    """Return the conversation in which the platform let the workspace's jobs be read; raise why it did not."""
    session = open_session(found, SYSTEM_CLOCK.now(), on_retry=notice)
    try:
        next(jobs.jobs(session, found.workspace.value, most_pages=1), None)
    except NotFoundError as error:
        raise jobs.missing_workspace(session, found.workspace.value, error) from None
    except AuthError as error:
        if error.facts.get("status") == 401:  # noqa: PLR2004 - a 403 is no matter of the token alone
            error.hint = "give one that holds: --token-file FILE, or --token-command 'nemo auth token'"
        raise
    return session


def overruled(where: Place, now: Settings, *, token: bool) -> list[str]:
    """Return warnings on what does not come from the profile although it says it; `now` are the settings that hold."""
    of_profile = origin(where)
    found = [("host", now.host.source), ("workspace", now.workspace.source)]
    if token and now.credential is not None:
        found.append(("token", now.credential.source))
    told = [f"the {name} of {source} wins over the profile's" for name, source in found if source != of_profile]
    try:
        check(now)
    except NemoJobsError as error:
        told.append(f"{error.message}; {error.hint}")
    return told
