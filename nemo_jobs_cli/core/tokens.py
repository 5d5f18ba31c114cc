"""Check the text of a bearer token."""

from __future__ import annotations

import re

from nemo_jobs_cli.core.errors import SettingsError

LONGEST_TOKEN = 64 * 1024

_TOKEN = re.compile(r"[\x21-\x7e]+")


def clean(text: str, source: str) -> str:
    """Return a token without the space around it; raise SettingsError for what can't be one, without quoting it."""
    token = text.strip()
    if not token:
        raise SettingsError(f"the token from {source} is empty", "put a token there, or send none: --anonymous")
    if len(token) > LONGEST_TOKEN:
        raise SettingsError(
            f"the token from {source} is no token: it has more than {LONGEST_TOKEN} characters",
            "look whether it is the right file or variable",
        )
    if not _TOKEN.fullmatch(token):
        raise SettingsError(
            f"the token from {source} is no token: {len(token)} characters, with spaces or others that no token has",
            "look whether it is the right file or variable; a token is one word",
        )
    return token
