"""The official tool's own file: what its current context says, and every way a foreign YAML can be wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nemo_jobs_cli.core.errors import ExitCode, NemoJobsError, SettingsError
from nemo_jobs_cli.settings import _nemo_config, resolve
from nemo_jobs_cli.settings.model import DEFAULT_HOST, Credential, Flags
from nemo_jobs_cli.settings.sources import Source

SECRET = "eyJhbGciOiJub25lIn0"  # what must not show in any message

PLATFORM = f"""
current_context: staging
clusters:
  - {{name: main, base_url: https://nmp.example.com/, certificate_authority: /etc/ca.pem}}
  - {{name: lab, base_url: "https://lab.example.com/prefix//"}}
users:
  - {{name: me, type: oauth, token: {SECRET}, refresh_token: {SECRET}R}}
  - {{name: anyone, type: no-auth, token: {SECRET}}}
  - {{name: typeless, token: {SECRET}}}
  - {{name: nulltype, type: , token: {SECRET}}}
  - {{name: later, type: something-new, token: {SECRET}}}
  - {{name: tokenless, type: oauth}}
  - {{name: emptied, type: oauth, token: ""}}
contexts:
  - {{name: staging, cluster: main, user: me, workspace: research, default_model: m, preferences: {{truncate: true}}}}
  - {{name: lab, cluster: lab, user: anyone}}
  - {{name: typeless, cluster: lab, user: typeless}}
  - {{name: nulltype, cluster: lab, user: nulltype}}
  - {{name: later, cluster: lab, user: later}}
  - {{name: tokenless, cluster: lab, user: tokenless}}
  - {{name: emptied, cluster: lab, user: emptied}}
  - {{name: clusterless, user: me, workspace: ""}}
  - {{name: bare}}
local_services: {{data_dir: /var/x}}
telemetry_enabled: false
"""

# What a newer tool adds must not break what we read: expiry, a broker, and keys nobody knows yet.
HELIX = f"""
version: 2
current_context: prod
clusters: [{{name: c, base_url: https://nhx.example.com, region: eu}}]
users:
  - name: me
    type: oauth
    token: {SECRET}
    refresh_token: {SECRET}R
    expires_at: 2031-01-01T00:00:00Z
    token_broker_url: https://broker.example.com
contexts: [{{name: prod, cluster: c, user: me, workspace: ml}}]
"""


@pytest.fixture
def file(tmp_path):
    """Return a function that writes the official file and returns its path."""
    path = tmp_path / "config.yaml"

    def write(content):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def load(path, context=None, product="nmp", *, must_exist=True):
    """Return what the file says."""
    return _nemo_config.load(path, product, context, must_exist=must_exist)


def failure(path, context=None, *, must_exist=True):
    """Return the error that reading the file ends in."""
    with pytest.raises(SettingsError) as caught:
        load(path, context, must_exist=must_exist)
    assert caught.value.exit_code == ExitCode.SETTINGS
    assert SECRET not in f"{caught.value.message}{caught.value.hint}{caught.value!r}{caught.value.facts}"
    assert (caught.value.message + caught.value.hint).isprintable()
    return caught.value


def plain(source):
    """Return the values without their origins."""
    return {name: value.value for name, value in source.values.items()}


def test_the_current_context_says_where_and_as_whom(file):
    """A cluster, a user and a workspace; the slash at the end goes; the token is bound to the cluster."""
    path = file(PLATFORM)
    source = load(path)
    assert plain(source) == {
        "host": "https://nmp.example.com",
        "workspace": "research",
        "ca_file": "/etc/ca.pem",
    }
    origin = f"context staging ({path})"
    assert {value.source for value in source.values.values()} == {origin}
    assert source.credential == Credential("token", SECRET, origin, "https://nmp.example.com", "nmp")


def test_the_newer_product_adds_keys_of_its_own(file):
    """They are passed over."""
    source = load(file(HELIX), product="nhx")
    assert plain(source) == {"host": "https://nhx.example.com", "workspace": "ml"}
    assert source.credential[:2] == ("token", SECRET)
    assert source.credential.bound_to == "https://nhx.example.com"
    assert source.credential.product == "nhx"


@pytest.mark.parametrize("context", ["lab", "typeless", "nulltype", "later", "tokenless", "emptied"])
def test_only_a_login_has_a_token(file, context):
    """No-auth, no type, one that we don't know, or nothing there: no token is sent, whatever stands there."""
    source = load(file(PLATFORM), context)
    assert source.credential is None
    assert plain(source) == {"host": "https://lab.example.com/prefix"}


def test_a_named_context_goes_before_the_current_one(file):
    """As the official tool's own variable does; an empty name is none."""
    path = file(PLATFORM)
    assert load(path, "lab").values["host"].source == f"context lab ({path})"
    assert load(path, "").values["host"].source == f"context staging ({path})"


def test_a_context_without_a_cluster_leaves_the_default_host(file):
    """Its token goes nowhere else, and an empty workspace is none."""
    source = load(file(PLATFORM), "clusterless")
    assert plain(source) == {}
    assert source.credential.bound_to == DEFAULT_HOST


@pytest.mark.parametrize(
    "content",
    [
        "",
        "# nothing\n",
        "---\n",
        "null",
        "{}",
        "current_context:",
        'current_context: ""',
        "clusters: []",
        "unknown: true",
        PLATFORM.replace("current_context: staging", ""),
        PLATFORM.replace("current_context: staging", "current_context: bare"),
    ],
)
def test_a_file_without_a_current_context_says_nothing(file, content):
    """Nobody has logged in yet, or has logged out."""
    assert load(file(content)) == Source()


@pytest.mark.parametrize(
    ("content", "context", "why"),
    [
        (PLATFORM, "nowhere", "no context 'nowhere'"),
        ("current_context: gone", None, "no context 'gone'"),
        ('current_context: "a\\e[31m\\nb"', None, "no context 'a\\\\x1b[31m\\\\nb'"),
        (
            "contexts: [{name: a, cluster: gone}]",
            "a",
            "context 'a' names a missing cluster 'gone'",
        ),
        (
            PLATFORM.replace("user: me,", 'user: "gone\\e[31m",'),
            None,
            "context 'staging' names a missing user 'gone\\\\x1b[31m'",
        ),
    ],
)
def test_a_name_that_leads_nowhere_is_an_error(file, content, context, why):
    """Guessing would send a login to the default host."""
    path = file(content)
    error = failure(path, context)
    assert error.message == f"cannot use the official configuration file {path}: {why}"
    assert error.hint == "correct it with: nemo config; or pass --host, -w and --token-file"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[1]", "not a mapping"),
        ("hello", "not a mapping"),
        (SECRET, "not a mapping"),
        ("3", "not a mapping"),
        (f"current_context: [{SECRET}]", "current_context: Input should be a valid string"),
        ("current_context: 3", "current_context: Input should be a valid string"),
        ("clusters: 3", "clusters: Input should be a valid list"),
        ("clusters: {main: x}", "clusters: Input should be a valid list"),
        ("contexts: [staging]", "contexts.0: Input should be a valid dictionary"),
        ("contexts: [{cluster: x}]", "contexts.0.name: Field required"),
        ("clusters: [{name: a}, {name: [b]}]", "clusters.1.name: Input should be a valid string"),
        ("clusters: [{name: a, base_url: 3}]", "clusters.0.base_url: Input should be a valid string"),
        (f"users: [{{name: a, type: oauth, token: [{SECRET}]}}]", "users.0.token: Input should be a valid string"),
        (f"users: [{{name: a, type: oauth, token: {{{SECRET}: 1}}}}]", "users.0.token: Input should be a valid string"),
        ("users: [{name: a, type: {}}]", "users.0.type: Input should be a valid string"),
        ("contexts: &a [*a]", "contexts.0: Input should be a valid dictionary"),
        ("&a contexts: *a", "contexts: Input should be a valid list"),
    ],
)
def test_a_wrong_shape_is_located(file, content, why):
    """By its place, never by its value: it may be a token."""
    assert f": {why}" in failure(file(content)).message


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (f"token: '{SECRET}", "invalid YAML at line 1, column "),
        (f"a: [{SECRET}", "invalid YAML at line 1, column "),
        ("a: b: c", "invalid YAML at line 1, column 5"),
        (f"\t{SECRET}", "invalid YAML at line 1, column 1"),
        ("a: 1\n---\nb: 2\n", "invalid YAML at line 2, column 1"),
        ("? [a, b]\n: c\n", "invalid YAML at line 1, column 3"),
        ("a: *nowhere", "invalid YAML at line 1, column 4"),
        ("a: \x00", "invalid YAML"),
        ("\x1b[31m: 1", "invalid YAML"),
        (f"a: {SECRET} \xff".encode("latin-1"), "not UTF-8 text"),
        (b"\xff\xfea\x00", "not UTF-8 text"),
    ],
)
def test_what_is_not_yaml_is_located(file, content, why):
    """With its place, without the text there."""
    assert f": {why}" in failure(file(content)).message


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.mkdir [PLACE]",
        "!!python/object/new:os.mkdir [PLACE]",
        "!!python/name:os.system",
        "!!python/module:os",
        "!unknown x",
        '!!int ""',
        "!!int x",
        "!!float x",
        "!!bool x",
        "!!timestamp x",
        '!!binary "€"',
        "!!omap [x]",
        "2024-13-45",
        "9" * 5000,
    ],
)
@pytest.mark.parametrize("key", ["current_context", "ignored"])
def test_tags_run_nothing_and_break_nothing(file, tmp_path, key, value):
    """A file can only say what something is, not have it made; nonsense is an error, not a crash."""
    place = tmp_path / "made"
    assert "invalid YAML" in failure(file(f"{key}: {value.replace('PLACE', str(place))}")).message
    assert not place.exists()


BOMB = "a0: &a0 [x]\n" + "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n" for level in range(1, 30)
)


@pytest.mark.parametrize(
    "content",
    [
        BOMB + "current_context: *a29",
        BOMB + "contexts: *a29",
        BOMB + "clusters: [{name: *a29}]",
        "[" * 100_000,
        "{a: " * 100_000,
        "- " * 100_000,
        "\n".join(" " * depth + "a:" for depth in range(1300)),
        "a" * 2_000_000,
        "#" * 2_000_000,
    ],
)
def test_a_bomb_does_not_go_off(file, content):
    """Aliases that would be 10^29 entries, a nesting without end, a file that is no settings: an error, and soon."""
    path = file(content)
    started = time.process_time()
    failure(path)
    assert time.process_time() - started < 10


def test_aliases_are_used_as_they_are_meant(file):
    """Also a bomb beside them is harmless as long as nobody asks for it."""
    content = "clusters: [&c {name: main, base_url: https://h}]\ncontexts: [{name: main, cluster: main}]\n"
    assert plain(load(file(BOMB + content + "x: *c\n"), "main")) == {"host": "https://h"}


@pytest.mark.parametrize("below", [False, True])
def test_no_file_is_fine_unless_a_variable_names_it(file, tmp_path, below):
    """As the official tool has it."""
    path = file("") / "config.yaml" if below else tmp_path / "none.yaml"
    assert load(path, must_exist=False) == Source()
    error = failure(path)
    assert error.message == f"cannot read {path}, which a *_CONFIG_FILE variable names: no such file"


def test_what_can_not_be_read_is_said_so(tmp_path):
    """The system's own word; root may read every file, but no folder and no circle."""
    assert "Is a directory" in failure(tmp_path, must_exist=False).message
    (tmp_path / "a").symlink_to(tmp_path / "a")
    assert "Too many levels of symbolic links" in failure(tmp_path / "a", must_exist=False).message


def test_a_file_without_end_is_not_read_to_its_end():
    """Somebody names a device."""
    assert "File too large" in failure(Path("/dev/zero")).message


def test_a_token_never_shows(file):
    """Neither in what is read nor in the model of it."""
    path = file(PLATFORM)
    source = load(path)
    assert SECRET not in repr(source) + str(source) + repr(source.credential)
    model = _nemo_config.OfficialConfig.model_validate(
        {"users": [{"name": "me", "type": "oauth", "token": SECRET, "refresh_token": SECRET}]}
    )
    assert SECRET not in repr(model) + str(model) + model.model_dump_json()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nmp.example.com", "is not a base URL"),
        ("https://me:hunter2@nmp.example.com", "password"),
        ('"https://h\\e[31m"', "is not a base URL"),
    ],
)
def test_a_base_url_that_is_none_is_an_error_of_its_context(file, url, message):
    """The same check as for any other source, and it says which."""
    path = file(f"current_context: a\nclusters: [{{name: a, base_url: {url}}}]\ncontexts: [{{name: a, cluster: a}}]\n")
    with pytest.raises(SettingsError, match=message) as caught:
        resolve.load_settings(Flags(), {"NMP_CONFIG_FILE": str(path)})
    assert "context a" in caught.value.message
    assert "hunter2" not in caught.value.message + caught.value.hint
    assert caught.value.message.isprintable()


def test_the_file_is_never_written(file):
    """It is somebody else's; a refreshed token that isn't written back would break their login."""
    path = file(PLATFORM)
    path.chmod(0o400)
    before = path.stat()
    load(path)
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ino, after.st_mode) == (before.st_mtime_ns, before.st_ino, before.st_mode)
    assert list(path.parent.iterdir()) == [path]


def resolved(**environ):
    """Return the settings of an environment."""
    return resolve.load_settings(Flags(), environ)


@pytest.mark.parametrize("prefix", ["NMP", "NHX"])
def test_variables_choose_the_file_and_the_context(file, prefix):
    """Both products have the same two, with their own prefix."""
    path = str(file(PLATFORM.replace(", certificate_authority: /etc/ca.pem", "")))
    assert resolved(**{f"{prefix}_CONFIG_FILE": path}).host.value == "https://nmp.example.com"
    found = resolved(**{f"{prefix}_CONFIG_FILE": path, f"{prefix}_CURRENT_CONTEXT": "lab"})
    assert found.host.value == "https://lab.example.com/prefix"


@pytest.mark.parametrize("prefix", ["NMP", "NHX"])
def test_a_missing_file_that_a_variable_names_is_an_error(tmp_path, prefix):
    """Exit code 3, whichever product's."""
    with pytest.raises(NemoJobsError, match="CONFIG_FILE") as caught:
        resolved(**{f"{prefix}_CONFIG_FILE": str(tmp_path / "none.yaml")})
    assert caught.value.exit_code == ExitCode.SETTINGS


def test_the_newer_product_goes_first_and_the_other_fills_the_gaps(tmp_path):
    """Each value and the credential on their own; a token stays bound to the host of its own context."""
    for product, content in (
        (
            "nhx",
            "current_context: a\nclusters: [{name: a, base_url: https://nhx}]\ncontexts: [{name: a, cluster: a}]\n",
        ),
        ("nmp", PLATFORM.replace(", certificate_authority: /etc/ca.pem", "")),
    ):
        path = tmp_path / ".config" / product / "config.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(content)
    found = resolved(HOME=str(tmp_path))
    assert (found.host.value, found.workspace.value) == ("https://nhx", "research")
    assert (found.credential.product, found.credential.bound_to) == ("nmp", "https://nmp.example.com")


def test_an_unknown_context_that_a_variable_names_is_an_error(file):
    """The default file has no such one."""
    with pytest.raises(SettingsError, match="no context 'gone'"):
        resolved(NMP_CONFIG_FILE=str(file(PLATFORM)), NMP_CURRENT_CONTEXT="gone")
