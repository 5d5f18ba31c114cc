"""Read and format the cache of names, keys and values; trust no file.

Resolving the host and workspace of a command line means reading TOML and YAML: too slow for a TAB. So each command
that fills the cache writes a fingerprint of the settings' sources, with the host and workspace, to an index. A TAB
with the same fingerprint looks them up.

A file has one line for each job, newest first: the seconds since 1970, the name, the platform's state, and the fields
of its details with recent values (`status=running,testing`, `tags:=`), separated by tabs. Before the fields,
`/prepare,train` holds the names of its steps, if they are known. Words that need quotes in a shell are neither read nor
written.
"""

from __future__ import annotations

import os
import stat

from nemo_jobs_cli.core import dirs, known_keys
from nemo_jobs_cli.core.identifiers import is_key, is_name, is_value

TYPE_CHECKING = False  # `typing` would take a third of the time of a TAB
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from typing import Any

    # The fingerprint, its host and workspace, and the file with their jobs.
    IndexRow = tuple[str, str, str, str]
    # The time, the state, and the fields as text: parsing them for all jobs would take longer than starting Python.
    CachedJob = tuple[int, str, str]
    Jobs = dict[str, CachedJob]

INDEX = "index"
_INDEX_HEAD = "nemo-jobs index 1"
_JOBS_HEAD = "nemo-jobs seen 1"
MAX_ROWS = 100
MAX_JOBS = 500
MAX_FIELDS = 64
_MAX_VALUES = 5
_STEPS = "/"  # begins no key
_MAX_OFFERED = 200  # fields or values of all jobs
MAX_AGE = 30 * 86400  # seconds
MAX_BYTES = 256 * 1024  # of a file: it is read at each TAB

_VARIABLES = (
    "NEMO_JOBS_CONFIG", "NEMO_JOBS_PROFILE", "NEMO_JOBS_HOST", "NEMO_JOBS_WORKSPACE", "NEMO_JOB_WORKSPACE",
    "NHX_BASE_URL", "NHX_JOBS_URL", "NHX_WORKSPACE", "NHX_CURRENT_CONTEXT", "NHX_CONFIG_FILE",
    "NMP_BASE_URL", "NMP_JOBS_URL", "NMP_WORKSPACE", "NMP_CURRENT_CONTEXT", "NMP_CONFIG_FILE",
)  # fmt: skip
# The fingerprint contains only whether these are set.
_SECRETS = (
    "NHX_ACCESS_TOKEN", "NHX_PRINCIPAL", "NHX_WORKLOAD_IDENTITY_TOKEN_FILE", "NHX_CLIENT_SSL_CERT_FILE",
    "NMP_ACCESS_TOKEN", "NMP_PRINCIPAL", "NMP_WORKLOAD_IDENTITY_TOKEN_FILE", "NMP_CLIENT_SSL_CERT_FILE",
)  # fmt: skip


def fingerprint(environ: Mapping[str, str], system: str, host: str, workspace: str, profile: str) -> str:
    """Return a line that changes with any source of host or workspace.

    `host`, `workspace` and `profile` are the values of the options, or "".
    """
    values = [environ.get(name, "") for name in _VARIABLES]
    secrets = "".join("1" if environ.get(name) else "0" for name in _SECRETS)
    files = [_checksum(path) for path in _config_files(environ, system)]
    return ascii((host.rstrip("/"), workspace, profile, *values, secrets, *files))


def find_file(
    rows: Sequence[IndexRow], environ: Mapping[str, str], system: str, *, host: str, workspace: str, profile: str
) -> str | None:
    """Return the file with the jobs of a command line, or None.

    If `workspace` was never used with these settings, look for any row with it and the host of the settings.
    """
    current = fingerprint(environ, system, host, workspace, profile)
    file = next((row[3] for row in rows if row[0] == current), None)
    if file is None and workspace:
        default = fingerprint(environ, system, host, "", profile)
        default_host = next((row[1] for row in rows if row[0] == default), None)
        file = next((row[3] for row in rows if row[1:3] == (default_host, workspace)), None)
    return file


def read_index(folder: str) -> list[IndexRow]:
    """Return the rows of the index, newest first."""
    head, _, body = _read(f"{folder}/{INDEX}").partition("\n")
    cells = [line.split("\t") for line in body.split("\n")] if head == _INDEX_HEAD else []
    rows = [(row[0], row[1], row[2], row[3]) for row in cells if len(row) == 4]  # noqa: PLR2004 - the parts of a row
    return [row for row in rows if is_name(row[2]) and "/" not in row[3]][:MAX_ROWS]


def format_index(rows: Sequence[IndexRow]) -> str:
    """Return the text of the index: as many of the newest rows as fit."""
    return _join(_INDEX_HEAD, map("\t".join, rows[:MAX_ROWS]))


def read_jobs(folder: str, file: str, now: float) -> Jobs:
    """Return the jobs in a file of the cache."""
    return parse_jobs(_read(f"{folder}/{file}"), now)


def parse_jobs(text: str, now: float) -> Jobs:
    """Return the jobs in the text of a file; skip old and invalid lines."""
    head, _, body = text.partition("\n")
    if head != _JOBS_HEAD:
        return {}
    jobs: Jobs = {}
    for line in body.split("\n"):
        time, name, state, fields = [*line.split("\t", 3), "", "", "", ""][:4]
        if not (time.isascii() and time.isdigit()) or len(time) > 12 or not is_name(name) or name in jobs:  # noqa: PLR2004 - of year 33658
            continue
        if now - MAX_AGE < int(time) <= now + MAX_AGE:
            jobs[name] = (int(time), state if is_value(state) else "", fields)
    return jobs


def format_jobs(jobs: Mapping[str, CachedJob]) -> str:
    """Return the text of a file: as many of the newest jobs as fit."""
    rows = [(str(time), name, state, fields) for name, (time, state, fields) in [*jobs.items()][:MAX_JOBS]]
    return _join(_JOBS_HEAD, ("\t".join(row).rstrip("\t") for row in rows))


def job_fields(job: CachedJob) -> dict[str, tuple[str, ...]]:
    """Return the values of each field (`key=` or `key:=`) of a job."""
    fields = {}
    for cell in job[2].split("\t", MAX_FIELDS)[:MAX_FIELDS]:
        key, _, values = cell.partition("=")
        if is_key(key.removesuffix(":")):
            fields[f"{key}="] = tuple(filter(is_value, values.split(",")[:_MAX_VALUES]))
    return fields


def job_steps(job: CachedJob) -> list[str]:
    """Return the names of the steps of a job."""
    cell = job[2].partition("\t")[0]
    return list(filter(is_value, cell[1:].split(",")[:MAX_FIELDS])) if cell[:1] == _STEPS else []


def all_fields(jobs: Jobs) -> list[str]:
    """Return the fields of all jobs."""
    keys = dict.fromkeys(cell.partition("=")[0] for _, _, fields in jobs.values() for cell in fields.split("\t"))
    return [f"{key}=" for key in list(keys)[:_MAX_OFFERED] if is_key(key.removesuffix(":"))]


def all_values(jobs: Jobs, field: str) -> list[str]:
    """Return the values of a field in all jobs."""
    cells = [f"\t{fields}".partition(f"\t{field}")[2].partition("\t")[0] for _, _, fields in jobs.values()]
    values = dict.fromkeys(",".join(dict.fromkeys(cells)).split(","))
    return [value for value in list(values)[:_MAX_OFFERED] if is_value(value)]


def merge(
    job: CachedJob | None,
    state: str,
    details: Mapping[str, Any],
    *,
    steps: Sequence[str] = (),
    numbers: Collection[str],
    now: float,
) -> CachedJob:
    """Return a cached job with newer details; `state` is "" if unknown.

    `steps` are all steps, () if unknown; `numbers` are the keys whose `key=value` sends a number.
    """
    known = job_fields(job) if job else {}
    new = {}
    for key, value in details.items():
        if is_key(key):
            field, values = _format_field(key, value, known_keys.is_number_key(key, numbers))
            new[field] = tuple(dict.fromkeys([*values, *known.get(field, ())]))[:_MAX_VALUES]
    old = {field: values for field, values in known.items() if field.rstrip(":=") not in details}
    names = ",".join(filter(is_value, steps)) or ",".join(job_steps(job) if job else ())
    cells = [_STEPS + names] if names else []
    cells += [field + ",".join(values) for field, values in [*new.items(), *old.items()][: MAX_FIELDS - len(cells)]]
    return int(now), state if is_value(state) else job[1] if job else "", "\t".join(cells)


def _format_field(key: str, value: Any, as_number: bool) -> tuple[str, tuple[str, ...]]:
    """Return the field that sets a detail, and the values to offer for it."""
    if isinstance(value, str):
        return f"{key}=", (value,) if is_value(value) else ()
    if isinstance(value, bool):
        return f"{key}:=", ("true", "false")
    return f"{key}=" if as_number and isinstance(value, int | float) else f"{key}:=", ()


def read_profiles(environ: Mapping[str, str], system: str) -> list[str]:
    """Return the profiles of the config file that need no quotes in a shell.

    A file with other forms than `[profiles.NAME]` is parsed as TOML, which is slower.
    """
    path = _config_files(environ, system)[0]
    text = _read(path) if path else ""
    heads = [line.strip() for line in text.split("\n") if line.strip().startswith("[profiles.")]
    names = [head.removeprefix("[profiles.").partition("]")[0].partition(".")[0].strip() for head in heads]
    if not all(map(is_value, names)) or (not names and "profiles" in text):
        import tomllib

        try:
            table = tomllib.loads(text).get("profiles")
        except (ValueError, RecursionError):
            table = None
        names = list(table) if isinstance(table, dict) else []
    return [name for name in dict.fromkeys(names) if is_value(name)]


def _config_files(environ: Mapping[str, str], system: str) -> list[str]:
    """Return the paths of all config files, our own first."""
    own = dirs.app_dir(environ, "config", system)
    paths = [environ.get("NEMO_JOBS_CONFIG") or (f"{own}/config.toml" if own else "")]
    home, config = environ.get("HOME", ""), environ.get("XDG_CONFIG_HOME", "")
    for product in ("nhx", "nmp"):
        paths.append(environ.get(f"{product.upper()}_CONFIG_FILE", ""))
        paths.append(f"{config}/{product}/config.yaml" if config else "")
        paths.append(f"{home}/.config/{product}/config.yaml" if home else "")
    return paths


def _checksum(path: str) -> str:
    """Return a checksum of a file without its tokens, which change often."""
    text = _read(path) if path else ""
    if not text:
        return ""
    import zlib

    keys = [(line.partition("=")[0].partition(":")[0], line) for line in text.split("\n")]
    lines = [line for key, line in keys if "token" not in key and "expires" not in key]
    return f"{zlib.crc32(repr(lines).encode()):x}"


def _read(path: str) -> str:
    """Return the text of a regular file of at most MAX_BYTES, else ""."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            return ""
        return os.read(handle, MAX_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""
    finally:
        os.close(handle)


def _join(head: str, lines: Iterable[str]) -> str:
    """Join the lines that fit into MAX_BYTES."""
    kept, space = [head], MAX_BYTES - len(head) - 1
    for line in lines:
        size = len(line.encode()) + 1
        if size <= space:
            kept.append(line)
            space -= size
    return "\n".join([*kept, ""])
