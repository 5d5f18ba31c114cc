"""Find the CA file of a host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from nemo_jobs_cli.core.errors import SettingsError
from nemo_jobs_cli.core.files import exists, is_dir
from nemo_jobs_cli.core.text import one_line
from nemo_jobs_cli.settings import sources
from nemo_jobs_cli.settings.model import Sourced

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nemo_jobs_cli.settings.sources import Source


def find(all_sources: Sequence[Source], host: str, environ: Mapping[str, str]) -> Sourced[str] | None:
    """Return the CA file (for https also SSL_CERT_FILE), or raise an error."""
    ca_file = sources.first(all_sources, "ca_file")
    if ca_file is None and host.lower().startswith("https:"):
        folders = environ.get("SSL_CERT_DIR")
        if folders and not any(map(is_dir, folders.split(os.pathsep))):  # OpenSSL itself searches them
            raise SettingsError(
                f"cannot find the CA folder {one_line(folders, 200)} (SSL_CERT_DIR)",
                "correct its path, or unset SSL_CERT_DIR",
            )
        if environ.get("SSL_CERT_FILE"):
            ca_file = Sourced(environ["SSL_CERT_FILE"], "SSL_CERT_FILE")
    if ca_file is not None and (not exists(ca_file.value) or is_dir(ca_file.value)):
        raise SettingsError(
            f"cannot find the CA file {one_line(ca_file.value, 200)} ({ca_file.source})",
            "correct its path: --ca-file FILE",
        )
    return ca_file
