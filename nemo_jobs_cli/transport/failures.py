"""Turn what the network did into an error that people can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nemo_jobs_cli.core.errors import NemoJobsError, NotDeliveredError, SettingsError
from nemo_jobs_cli.core.text import one_line

if TYPE_CHECKING:
    from nemo_jobs_cli.settings.model import Sourced
    from nemo_jobs_cli.transport.messages import Failure


def explain(failure: Failure, base: Sourced[str], tries: str, *, proxied: bool = False) -> NemoJobsError:
    """Return the error for a request to `base` without an HTTP answer; `tries` says how often."""
    host, source = one_line(base.value, 200), base.source
    detail = one_line(failure.detail, 200)
    if failure.kind == "refused" and base.is_default:
        return SettingsError(
            f"no host is set, and nothing listens on the default {host}",
            "set the platform's address: nemo-jobs init, --host URL, or NEMO_JOBS_HOST=URL; or try: nemo-jobs sandbox",
        )
    if failure.kind == "tls":
        plain = "WRONG_VERSION_NUMBER" in detail or "wrong version number" in detail  # no TLS at all, says OpenSSL
        ca_file = "give the CA that signed it: --ca-file FILE"
        return SettingsError(
            f"the TLS certificate or handshake of {host} can't be trusted: {detail}",
            f"is the host plain http://? else {ca_file}" if plain else f"{ca_file}; or is the host plain http://?",
        )
    if failure.kind == "proxy-settings":
        return SettingsError(
            f"the proxy variables (HTTPS_PROXY, ALL_PROXY, ...) or the CA file can't be used ({detail})",
            "correct them, or exempt the host: NO_PROXY=HOST",
        )
    said, hint = {
        "dns": (
            f"the name of {'the proxy, or of ' if proxied else ''}{host} can't be looked up: {detail}",
            f"check {'HTTPS_PROXY, ' if proxied else ''}the host's name ({source}) and the network",
        ),
        "refused": (
            f"nothing listens on {'the proxy, or on ' if proxied else ''}{host}: {detail}",
            f"is the platform running? check {'HTTPS_PROXY, and ' if proxied else ''}the host ({source})",
        ),
        "timeout": (
            f"no answer from {host} in time: {detail}",
            "wait longer: --deadline 60; an update that was sent may still land",
        ),
        "proxy": (
            f"the proxy does not let us through to {host}: {detail}",
            "check HTTPS_PROXY, or set NO_PROXY=HOST",
        ),
        "protocol": (f"{host} does not speak HTTP: {detail}", f"check the host ({source}) and its port"),
    }.get(
        failure.kind,
        (
            f"the connection to {host} broke: {detail}",
            f"check the network and the host ({source}), then repeat",
        ),
    )
    return NotDeliveredError(f"{said} ({tries})", hint)
