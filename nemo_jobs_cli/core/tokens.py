"""Check the text of a bearer token."""

from __future__ import annotations

import re

from nemo_jobs_cli.core.errors import SettingsError

LONGEST_TOKEN = 64 * 1024

_TOKEN = re.compile(r"[\x21-\x7e]+")


def clean(text: str, source: str) -> str:
    """Return a token without surrounding whitespace, or raise SettingsError.

    The error never quotes the token.
    """
    token = text.strip()
    if not token:
        raise SettingsError(f"the token from {source} is empty", "put a token there, or send none: --anonymous")
    if len(token) <= LONGEST_TOKEN and _TOKEN.fullmatch(token):
        return token
    reason = f"more than {LONGEST_TOKEN}" if len(token) > LONGEST_TOKEN else "spaces or other invalid"
    raise SettingsError(
        f"invalid token from {source}: {reason} characters (length {len(token)})",
        "check that it is the right file or variable; a token is a single word",
    )
