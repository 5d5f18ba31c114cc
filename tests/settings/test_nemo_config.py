"""The official tool's config file: its current context and its errors."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from nemo_jobs_cli.core import schema
from nemo_jobs_cli.core.errors import ExitCode, SettingsError
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
    """Return the settings of the file."""
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


def test_the_current_context_gives_host_workspace_and_token(file):
    """Trailing slashes are removed; the token is bound to the cluster."""
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


def test_unknown_keys_are_ignored(file):
    """A newer tool may add some."""
    source = load(file(HELIX), product="nhx")
    assert plain(source) == {"host": "https://nhx.example.com", "workspace": "ml"}
    assert source.credential[:2] == ("token", SECRET)
    assert source.credential.bound_to == "https://nhx.example.com"
    assert source.credential.product == "nhx"


@pytest.mark.parametrize("context", ["lab", "typeless", "nulltype", "later", "tokenless", "emptied"])
def test_only_a_login_has_a_token(file, context):
    """Only a user of the type oauth with a token; any other type sends none."""
    source = load(file(PLATFORM), context)
    assert source.credential is None
    assert plain(source) == {"host": "https://lab.example.com/prefix"}


@pytest.mark.parametrize(
    ("user", "token"),
    [
        ("type: api-key, api_key: ' k3y '", "k3y"),
        ("api_key: k3y", "k3y"),
        ("type: oauth, token: t0p, api_key: k3y", "k3y"),
        ("type: api-key, token: t0p", None),
        ("type: api-key, api_key: ' '", None),
        ("type: no-auth, token: t0p", None),
    ],
)
def test_an_api_key_is_a_bearer_token(file, user, token):
    """The old form of a login; the official tool reads it so."""
    user = f"users: [{{name: u, {user}}}]\ncontexts: [{{name: c, user: u}}]"
    credential = load(file(user), "c").credential
    assert (credential and credential.secret) == token


@pytest.mark.parametrize(
    ("written", "expires_at"),
    [("1795788140", 1795788140.0), ("1795788140.5", 1795788140.5), ("null", None), ("soon", None), ("[1]", None)],
)
def test_the_expiry_of_a_login_is_read(file, written, expires_at):
    """NeMo Helix writes it beside a token, which need not be a JWT; anything else is ignored."""
    content = f"users: [{{name: u, type: oauth, token: t, expires_at: {written}}}]\ncontexts: [{{name: c, user: u}}]"
    assert load(file(content), "c").credential.expires_at == expires_at


def test_a_named_context_overrides_the_current_one(file):
    """An empty name counts as unset."""
    path = file(PLATFORM)
    assert load(path, "lab").values["host"].source == f"context lab ({path})"
    assert load(path, "").values["host"].source == f"context staging ({path})"


def test_a_context_without_a_cluster_has_the_default_host(file):
    """Its token is bound to that host, and an empty workspace counts as unset."""
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
def test_a_file_without_a_current_context_gives_no_settings(file, content):
    """Before the first login, or after a logout."""
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
def test_a_dangling_reference_is_an_error(file, content, context, why):
    """A guess would send a login to the default host."""
    path = file(content)
    error = failure(path, context)
    assert error.message == f"cannot use the official config file {path}: {why}"
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
def test_an_invalid_shape_is_located(file, content, why):
    """The error names the place, never the value, which may be a token."""
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
def test_invalid_yaml_is_located(file, content, why):
    """The error has line and column, never the text, which may be a token."""
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
def test_yaml_tags_run_no_code(file, tmp_path, key, value):
    """A tag that creates objects, or does not fit its value, is an error."""
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
        "[" * 20_000,
        "{a: " * 20_000,
        "- " * 20_000,
        "\n".join(" " * depth + "a:" for depth in range(1300)),
        "a" * 2_000_000,
        "#" * 2_000_000,
    ],
)
def test_a_yaml_bomb_is_refused_quickly(file, content):
    """Aliases for 10^29 entries, deep nesting and huge files are errors."""
    path = file(content)
    started = time.process_time()
    failure(path)
    assert time.process_time() - started < 10


def test_aliases_are_resolved(file):
    """An unused bomb in the same file is harmless."""
    content = "clusters: [&c {name: main, base_url: https://h}]\ncontexts: [{name: main, cluster: main}]\n"
    assert plain(load(file(BOMB + content + "x: *c\n"), "main")) == {"host": "https://h"}


@pytest.mark.parametrize("below", [False, True])
def test_the_file_may_be_missing_unless_a_variable_names_it(file, tmp_path, below):
    """Also below a path that is not a folder."""
    path = file("") / "config.yaml" if below else tmp_path / "none.yaml"
    assert load(path, must_exist=False) == Source()
    error = failure(path)
    assert error.message == f"cannot read {path}, which a *_CONFIG_FILE variable names: no such file"


def test_an_unreadable_file_is_an_error_with_the_systems_reason(tmp_path):
    """Also for root; an endless device is read up to a limit."""
    assert "Is a directory" in failure(tmp_path, must_exist=False).message
    assert "File too large" in failure(Path("/dev/zero")).message


def test_a_repr_never_shows_a_token(file):
    """Neither of the source nor of a user in the file."""
    path = file(PLATFORM)
    source = load(path)
    assert SECRET not in repr(source) + str(source) + repr(source.credential)
    user = {"name": "me", "type": "oauth", "token": SECRET, "api_key": SECRET, "refresh_token": SECRET}
    assert SECRET not in repr(schema.parse(_nemo_config.OfficialConfig, {"users": [user]}))


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nmp.example.com", "invalid URL in "),
        ("https://me:hunter2@nmp.example.com", "password"),
        ('"https://h\\e[31m"', "invalid URL in "),
    ],
)
def test_an_invalid_base_url_is_an_error_that_names_the_context(file, url, message):
    """The check is the same as for other sources."""
    path = file(f"current_context: a\nclusters: [{{name: a, base_url: {url}}}]\ncontexts: [{{name: a, cluster: a}}]\n")
    with pytest.raises(SettingsError, match=message) as caught:
        resolve.load_settings(Flags(), {"NMP_CONFIG_FILE": str(path)})
    assert "context a" in caught.value.message
    assert "hunter2" not in caught.value.message + caught.value.hint
    assert caught.value.message.isprintable()


def test_the_file_is_never_written(file):
    """It belongs to the official tool."""
    path = file(PLATFORM)
    path.chmod(0o400)
    before = path.stat()
    load(path)
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ino, after.st_mode) == (before.st_mtime_ns, before.st_ino, before.st_mode)
    assert list(path.parent.iterdir()) == [path]


def resolved(**environ):
    """Return the settings for these variables."""
    return resolve.load_settings(Flags(), environ)


@pytest.mark.parametrize("prefix", ["NMP", "NHX"])
def test_variables_select_the_file_and_the_context(file, prefix):
    """Each product has its own prefix; what a variable names must exist."""
    path = str(file(PLATFORM.replace(", certificate_authority: /etc/ca.pem", "")))
    assert resolved(**{f"{prefix}_CONFIG_FILE": path}).host.value == "https://nmp.example.com"
    settings = resolved(**{f"{prefix}_CONFIG_FILE": path, f"{prefix}_CURRENT_CONTEXT": "lab"})
    assert settings.host.value == "https://lab.example.com/prefix"
    with pytest.raises(SettingsError, match="CONFIG_FILE"):
        resolved(**{f"{prefix}_CONFIG_FILE": f"{path}.none"})
    with pytest.raises(SettingsError, match="no context 'gone'"):
        resolved(**{f"{prefix}_CONFIG_FILE": path, f"{prefix}_CURRENT_CONTEXT": "gone"})


def test_the_newer_product_is_first_and_the_other_fills_gaps(tmp_path):
    """A token stays bound to the host of its own context."""
    for product, content in (
        (
            "nhx",
            "current_context: a\nclusters: [{name: a, base_url: https://nhx}]\ncontexts: [{name: a, cluster: a}]\n",
        ),
        ("nmp", PLATFORM.replace(", certificate_authority: /etc/ca.pem", "")),
    ):
        path = tmp_path / ".config" / product / "config.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(content, encoding="utf-8")
    settings = resolved(HOME=str(tmp_path))
    assert (settings.host.value, settings.workspace.value) == ("https://nhx", "research")
    assert (settings.credential.product, settings.credential.bound_to) == ("nmp", "https://nmp.example.com")
