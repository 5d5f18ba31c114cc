"""Settings from all sources together, and the path of our config file."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.errors import NemoJobsError, SettingsError, UsageError
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import (
    DEFAULT_DEADLINE,
    DEFAULT_HOST,
    DEFAULT_WORKSPACE,
    Attempt,
    Credential,
    Flags,
    Proxy,
    Settings,
    Sourced,
)

SECRET = "hunter2"

# Every source, strongest first, and the settings that it can have.
PROFILE = {"host", "workspace", "token", "ca_file", "deadline", "api"}
SETTINGS_OF = {
    "flags": {"host", "workspace", "token", "ca_file", "deadline"},
    "chosen": PROFILE,
    "own": {*PROFILE, "job"},
    "named": PROFILE,
    "job": {"workspace", "job"},
    "NHX": {"host", "workspace", "token", "ca_file"},
    "NMP": {"host", "workspace", "token", "ca_file"},
    "default": PROFILE,
    "nhx": {"host", "workspace", "token", "ca_file"},
    "nmp": {"host", "workspace", "token", "ca_file"},
}
PLACES = list(SETTINGS_OF)
VARIABLES = {"host": "BASE_URL", "workspace": "WORKSPACE", "token": "ACCESS_TOKEN", "ca_file": "CLIENT_SSL_CERT_FILE"}
APIS = ("jobs", "attempts", "auto")


class World:
    """A home folder and an environment whose sources each have their own values."""

    def __init__(self, folder, places):
        self.home = Path(folder)
        self.places = {
            place: {name: self.value(place, name) for name in sorted(names)} for place, names in places.items()
        }
        self.toml = self.home / ".config/nemo-jobs/config.toml"
        self.environ = {"HOME": str(self.home)}
        self.flags = self._flags()
        self._own()
        self._official()
        self._profiles()
        self._contexts()

    def value(self, place, name):
        """Return a value that identifies its place."""
        if name == "host":
            return f"https://{place.lower()}.example"
        if name == "ca_file":
            (self.home / f"{place}.pem").touch()
            return str(self.home / f"{place}.pem")
        return {"deadline": f"{PLACES.index(place) + 1}s", "api": APIS[PLACES.index(place) % 3]}.get(
            name, f"{place}-{name}"
        )

    def _flags(self):
        options = dict(self.places.get("flags", {}))
        if "token" in options:
            options["token_file"] = options.pop("token")
        return Flags(**options, profile="chosen" if "chosen" in self.places else None)

    def _own(self):
        for name, value in self.places.get("own", {}).items():
            self.environ[f"NEMO_JOBS_{name.upper()}"] = value
        if "named" in self.places:
            self.environ["NEMO_JOBS_PROFILE"] = "named"

    def _official(self):
        for name, value in self.places.get("job", {}).items():
            self.environ["NEMO_JOB_ID" if name == "job" else "NEMO_JOB_WORKSPACE"] = value
        for prefix in ("NHX", "NMP"):
            for name, value in self.places.get(prefix, {}).items():
                self.environ[f"{prefix}_{VARIABLES[name]}"] = value

    def _profiles(self):
        rows = []
        for place in ("chosen", "named", "default"):
            if place in self.places:
                rows.append(f"[profiles.{place}]")
                rows += [f"{name} = {json.dumps(value)}" for name, value in self.places[place].items()]
        if rows:
            self.toml.parent.mkdir(parents=True)
            self.toml.write_text("\n".join(rows), encoding="utf-8")

    def _contexts(self):
        for place in ("nhx", "nmp"):
            if place not in self.places:
                continue
            values = self.places[place]
            cluster = {"name": "c", "base_url": values.get("host"), "certificate_authority": values.get("ca_file")}
            user = {"name": "u", "type": "oauth", "token": values.get("token")}
            here = {"name": "here", "cluster": "c", "user": "u", "workspace": values.get("workspace")}
            path = self.context_file(place)
            path.parent.mkdir(parents=True)
            whole = {"current_context": "here", "clusters": [cluster], "users": [user], "contexts": [here]}
            path.write_text(json.dumps(whole), encoding="utf-8")  # JSON is YAML

    def context_file(self, place):
        """Return the path of the official tool's file."""
        return self.home / ".config" / place / "config.yaml"

    def origin(self, place, name):
        """Return the source of a setting as Sourced names it."""
        if place in {"chosen", "named", "default"}:
            return f"profile {place} ({self.toml})"
        if place in {"nhx", "nmp"}:
            return f"context here ({self.context_file(place)})"
        if place == "flags":
            return {"token": "--token-file", "ca_file": "--ca-file"}.get(name, f"--{name}")
        if place == "own":
            return f"NEMO_JOBS_{name.upper()}"
        if place == "job":
            return {"job": "NEMO_JOB_ID", "workspace": "NEMO_JOB_WORKSPACE"}[name]
        return f"{place}_{VARIABLES[name]}"

    def order(self):
        """Return the places in use, strongest first, with only one of the official sets."""
        official = {prefix: set(self.places.get(prefix, ())) for prefix in ("NHX", "NMP")}
        helix = official["NHX"] - {"ca_file"} or (official["NHX"] and not official["NMP"])
        return [place for place in self.places if place != ("NMP" if helix else "NHX")]

    def expected(self, name, otherwise):
        """Return the value of a setting and its source in the order of the contract."""
        for place in self.order():
            if name in self.places[place]:
                if name == "ca_file" and place in {"nhx", "nmp"} and self._host_stands_before(place):
                    continue
                return Sourced(self.places[place][name], self.origin(place, name))
        return otherwise

    def _host_stands_before(self, place):
        order = self.order()
        return any("host" in self.places[stronger] for stronger in order[: order.index(place)])

    def bound_to(self, place):
        """Return the host to which a token of a place is bound."""
        if place in {"flags", "own"}:
            return None
        context = self.places.get(place.lower(), {}) if place in {"NHX", "NMP"} else {}
        return self.places[place].get("host") or context.get("host") or DEFAULT_HOST


@st.composite
def draw_places(draw):
    """Draw some places and the settings that each has."""
    present = draw(st.lists(st.sampled_from(PLACES), unique=True))
    places = {}
    for place in PLACES:
        if place in present:
            places[place] = draw(st.sets(st.sampled_from(sorted(SETTINGS_OF[place])), min_size=1))
    return places


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Return a folder for many homes."""
    return tmp_path_factory.mktemp("homes")


@given(places=draw_places())
def test_the_strongest_source_of_a_setting_wins(base, places):
    """Flag, --profile, NEMO_JOBS_*, named profile, one official set, default profile, contexts, default."""
    with tempfile.TemporaryDirectory(dir=base) as folder:
        world = World(folder, places)
        settings = resolve.load_settings(world.flags, world.environ)
        anonymous = resolve.load_settings(world.flags._replace(anonymous=True), world.environ)
    assert settings.host == world.expected("host", (DEFAULT_HOST, "default"))
    assert settings.workspace == world.expected("workspace", (DEFAULT_WORKSPACE, "default"))
    assert settings.job == world.expected("job", None)
    assert settings.ca_file == world.expected("ca_file", None)
    assert settings.api == world.expected("api", ("auto", "default"))
    deadline = world.expected("deadline", Sourced(f"{DEFAULT_DEADLINE:g}s", "default"))
    assert settings.deadline == (float(deadline.value[:-1]), deadline.source)
    token = world.expected("token", None)
    if token is None:
        assert settings.credential is None
    else:
        place = next(place for place in world.order() if "token" in places[place])
        credential = settings.credential
        assert (credential.secret, credential.source, credential.bound_to) == (
            token.value,
            token.source,
            world.bound_to(place),
        )
        assert credential.kind == ("file" if place == "flags" else "token")
        assert credential.from_job == (place in {"NHX", "NMP"} and "job" in places.get("job", ()))
    official = settings.host.source.startswith(("NHX_", "NMP_"))
    assert settings.host_from_job == (official and "job" in places.get("job", ()))
    assert anonymous._replace(flags=settings.flags) == settings._replace(credential=None, anonymous=True)


@given(places=draw_places())
def test_an_empty_variable_counts_as_unset(base, places):
    """For every variable."""
    names = [
        f"NEMO_JOBS_{name.upper()}" for name in ("token_file", "profile", "config", "numbers", *SETTINGS_OF["own"])
    ]
    names += ["NEMO_JOB_ID", "NEMO_JOB_WORKSPACE", "XDG_CONFIG_HOME", "https_proxy", "ALL_PROXY"]
    for prefix in ("NHX", "NMP"):
        names += [f"{prefix}_{name}" for name in (*VARIABLES.values(), "JOBS_URL", "PRINCIPAL", "CONFIG_FILE")]
        names += [f"{prefix}_CURRENT_CONTEXT", f"{prefix}_WORKLOAD_IDENTITY_TOKEN_FILE"]
    with tempfile.TemporaryDirectory(dir=base) as folder:
        world = World(folder, places)
        padded = {**dict.fromkeys(names, ""), **world.environ}
        assert resolve.load_settings(world.flags, padded) == resolve.load_settings(world.flags, world.environ)


def test_without_any_source_the_defaults_apply(tmp_path):
    """As on a new machine."""
    outbox = Sourced(str(tmp_path / ".local/state/nemo-jobs/outbox"), "default")
    expected = Settings(outbox_dir=outbox, cache_dir=str(tmp_path / ".cache/nemo-jobs"))
    assert resolve.load_settings(Flags(), {"HOME": str(tmp_path)}) == expected
    assert resolve.load_settings(Flags(), {}) == Settings()
    assert resolve.load_settings(Flags())._replace(outbox_dir=None, cache_dir=None) == Settings()
    assert Settings().host.is_default
    assert not Sourced(DEFAULT_HOST, "--host").is_default


def test_the_default_environment_is_that_of_the_process(monkeypatch):
    """As every command uses it."""
    monkeypatch.setenv("NEMO_JOBS_HOST", "https://h/")
    monkeypatch.setenv("NEMO_JOBS_OUTPUT", "json")
    monkeypatch.setenv("NEMO_JOBS_CONFIG", "/x/y.toml")
    assert resolve.config_path() == Path("/x/y.toml")
    monkeypatch.delenv("NEMO_JOBS_CONFIG")
    assert resolve.load_settings(Flags()).host == ("https://h", "NEMO_JOBS_HOST")


def test_an_environment_can_exclude_secrets(monkeypatch):
    """As for a token command; everything else stays."""
    secrets = ("NEMO_JOBS_TOKEN", "NHX_ACCESS_TOKEN", "NMP_ACCESS_TOKEN")
    for name in (*secrets, "NEMO_JOBS_TOKEN_FILE", "NMP_BASE_URL"):
        monkeypatch.setenv(name, SECRET)
    whole, bare = resolve.environment(), resolve.environment(secrets=False)
    assert whole == dict(os.environ)
    assert whole.keys() - bare.keys() == set(secrets)
    assert bare == {name: value for name, value in whole.items() if name not in secrets}
    whole["NEMO_JOBS_TOKEN"] = "changed"
    assert os.environ["NEMO_JOBS_TOKEN"] == SECRET


def test_a_token_of_a_variable_stays_bound_to_its_context(tmp_path):
    """Also if workspace and host are given."""
    places = {"NMP": {"token"}, "nmp": {"host", "ca_file"}, "flags": {"host", "workspace"}}
    world = World(tmp_path, {place: places[place] for place in PLACES if place in places})
    whole = resolve.load_settings(world.flags, world.environ)
    part = resolve.load_settings(world.flags._replace(workspace=None), world.environ)
    assert whole.credential == part.credential
    assert whole.credential.bound_to == "https://nmp.example"
    assert (whole.ca_file, part.ca_file) == (None, None)


def test_a_token_of_one_product_is_not_bound_to_the_context_of_the_other(tmp_path):
    """The two sets are never mixed."""
    world = World(tmp_path, {"NMP": {"token"}, "nhx": {"host"}, "nmp": {"host"}})
    settings = resolve.load_settings(world.flags, world.environ)
    assert (settings.host.value, settings.credential.bound_to) == ("https://nhx.example", "https://nmp.example")


def test_files_that_cannot_change_the_result_are_not_opened(tmp_path):
    """With host, workspace and token from variables, YAML is not imported."""
    world = World(tmp_path, {"own": {"host", "workspace", "token"}, "nmp": {"host"}})
    world.context_file("nmp").write_text("{broken", encoding="utf-8")
    assert resolve.load_settings(world.flags, world.environ).host.source == "NEMO_JOBS_HOST"
    del world.environ["NEMO_JOBS_TOKEN"]
    assert resolve.load_settings(Flags(anonymous=True), world.environ).credential is None
    with pytest.raises(SettingsError):
        resolve.load_settings(Flags(), world.environ)


def test_a_job_needs_no_home(monkeypatch, tmp_path):
    """The platform's jobs have no HOME; files in the working directory are not read."""
    (tmp_path / "config.toml").write_text("[model]\nlayers = 3\n", encoding="utf-8")
    (tmp_path / ".config/nemo-jobs").mkdir(parents=True)
    (tmp_path / ".config/nemo-jobs/config.toml").write_text(
        "[profiles.default]\nhost = 'https://evil.example'\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    job = {"NEMO_JOB_ID": "train-x", "NEMO_JOB_WORKSPACE": "ws", "NMP_BASE_URL": "http://nmp:8080"}
    for home in ({}, {"HOME": ""}, {"HOME": "."}):
        assert resolve.config_path(home) is None
        settings = resolve.load_settings(Flags(), {**job, **home})
        assert (settings.job, settings.workspace.value, settings.host.value) == (
            ("train-x", "NEMO_JOB_ID"),
            "ws",
            "http://nmp:8080",
        )
        assert resolve.load_settings(Flags(), home) == Settings()
        with pytest.raises(SettingsError, match="no profile 'lab'"):
            resolve.load_settings(Flags(profile="lab"), home)


STORAGE = "NEMO_JOB_PERSISTENT_JOB_STORAGE_PATH"
STEP = {
    "NEMO_JOB_ID": "train-x",
    "NEMO_JOB_WORKSPACE": "ws",
    "NEMO_JOB_ATTEMPT_ID": "platform-job-attempt-1",
    "NMP_BASE_URL": "http://nmp:8080",
}


@pytest.mark.parametrize(
    ("changes", "attempt"),
    [
        ({}, Attempt("ws", "train-x", "platform-job-attempt-1")),
        ({"NMP_BASE_URL": "http://nmp:8080/"}, Attempt("ws", "train-x", "platform-job-attempt-1")),
        ({"NEMO_JOB_WORKSPACE": ""}, Attempt("default", "train-x", "platform-job-attempt-1")),
        ({"NEMO_JOBS_WORKSPACE": "other"}, Attempt("ws", "train-x", "platform-job-attempt-1")),
        ({"NEMO_JOBS_HOST": "http://other"}, None),
        ({"NEMO_JOB_ATTEMPT_ID": ""}, None),
        ({"NEMO_JOB_ATTEMPT_ID": "unknown-attempt-id"}, None),
        ({"NEMO_JOB_ID": "unknown-job-id"}, None),
        ({"NEMO_JOB_ID": ""}, None),
    ],
)
def test_the_own_attempt_is_that_of_the_job_on_its_own_host(changes, attempt):
    """Another host may have a job of the same name, with other attempts."""
    assert resolve.load_settings(Flags(), STEP | changes).attempt == attempt


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"HOME": "/h"}, "/h/.cache/nemo-jobs"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/c"}, "/c/nemo-jobs"),
        ({}, None),
        (STEP | {STORAGE: "/job"}, "/job/nemo-jobs"),
        (STEP | {STORAGE: "/job", "HOME": "/h"}, "/job/nemo-jobs"),
        (STEP | {"HOME": "/h"}, "/h/.cache/nemo-jobs"),
        ({STORAGE: "/job", "HOME": "/h"}, "/h/.cache/nemo-jobs"),
    ],
)
def test_the_cache_of_routes_is_in_the_storage_of_a_job(environ, folder):
    """A job has no home, but many processes that need the route."""
    assert resolve.load_settings(Flags(), environ).cache_dir == folder


def test_an_inaccessible_home_is_ignored():
    """Containers may run as any user, with the HOME of root."""
    environ = {"HOME": "/" + "x" * 5000, "XDG_CONFIG_HOME": "/" + "y" * 5000}
    assert resolve.load_settings(Flags(), environ)._replace(outbox_dir=None, cache_dir=None) == Settings()
    with pytest.raises(SettingsError, match="cannot find the CA file"):
        resolve.load_settings(Flags(ca_file="/" + "z" * 5000), environ)


IN_JOB = {"NEMO_JOB_ID": "train-x", STORAGE: "/job"}


@pytest.mark.parametrize(
    ("flag", "environ", "stamp"),
    [
        (None, {}, None),
        (None, {"NEMO_JOBS_STAMP": ""}, None),
        (None, {"NEMO_JOBS_STAMP": "yes"}, (True, "NEMO_JOBS_STAMP")),
        (None, {"NEMO_JOBS_STAMP": "0"}, (False, "NEMO_JOBS_STAMP")),
        (False, {"NEMO_JOBS_STAMP": "1"}, (False, "--no-stamp")),
        (True, {"NEMO_JOBS_STAMP": "0"}, (True, "--stamp")),
    ],
)
def test_the_stamp_is_a_setting_without_a_default(flag, environ, stamp):
    """Each command has its own."""
    assert resolve.load_settings(Flags(stamp=flag), environ).stamp == stamp


@pytest.mark.parametrize(
    ("flags", "environ", "outbox", "folder", "best_effort"),
    [
        ({}, {}, (False, "default"), None, (False, "default")),
        ({}, {"XDG_STATE_HOME": "/s"}, (False, "default"), ("/s/nemo-jobs/outbox", "default"), (False, "default")),
        ({}, {"XDG_STATE_HOME": "s"}, (False, "default"), None, (False, "default")),
        (
            {},
            {"NEMO_JOBS_OUTBOX": "1", "NEMO_JOBS_OUTBOX_DIR": "/o", "NEMO_JOBS_BEST_EFFORT": "Yes"},
            (True, "NEMO_JOBS_OUTBOX"),
            ("/o", "NEMO_JOBS_OUTBOX_DIR"),
            (True, "NEMO_JOBS_BEST_EFFORT"),
        ),
        (
            {"outbox": False, "outbox_dir": "f", "best_effort": False},
            {"NEMO_JOBS_OUTBOX": "on", "NEMO_JOBS_OUTBOX_DIR": "/o", "NEMO_JOBS_BEST_EFFORT": "true"},
            (False, "--no-outbox"),
            ("f", "--outbox-dir"),
            (False, "--no-best-effort"),
        ),
        ({"outbox": True}, {"NEMO_JOBS_OUTBOX": "0"}, (True, "--outbox"), None, (False, "default")),
        ({}, IN_JOB, (False, "default"), ("/job/nemo-jobs/outbox", STORAGE), (False, "default")),
        ({}, IN_JOB | {"HOME": "/h"}, (False, "default"), ("/job/nemo-jobs/outbox", STORAGE), (False, "default")),
        ({}, IN_JOB | {STORAGE: ""}, (False, "default"), None, (False, "default")),
        ({}, IN_JOB | {"NEMO_JOB_ID": "unknown-job-id"}, (False, "default"), None, (False, "default")),
        ({"best_effort": True}, {}, (False, "default"), None, (True, "--best-effort")),
    ],
)
def test_outbox_and_best_effort_are_settings_like_others(flags, environ, outbox, folder, best_effort):
    """Flag, variable, default; the default folder is in the job's storage, else in the state folder."""
    settings = resolve.load_settings(Flags(**flags), environ)
    assert (settings.outbox, settings.outbox_dir, settings.best_effort) == (outbox, folder, best_effort)


@pytest.mark.parametrize("name", ["NEMO_JOBS_OUTBOX", "NEMO_JOBS_BEST_EFFORT", "NEMO_JOBS_STAMP"])
def test_an_invalid_switch_is_an_error(name):
    """A typing error must not lose updates."""
    with pytest.raises(UsageError, match=f"invalid {name} 'maybe': use 1, true, yes, on, 0, false, no or off"):
        resolve.load_settings(Flags(), {name: "maybe"})


def test_a_profile_can_set_switches(tmp_path):
    """The folder's path may start with ~."""
    file = tmp_path / "c.toml"
    file.write_text(
        '[profiles.lab]\nhost = "http://h"\noutbox = true\noutbox_dir = "~/o"\nbest_effort = true\nstamp = true\n',
        encoding="utf-8",
    )
    environ = {"NEMO_JOBS_CONFIG": str(file), "NEMO_JOBS_PROFILE": "lab", "HOME": str(tmp_path)}
    settings = resolve.load_settings(Flags(), environ)
    assert (settings.outbox.value, settings.best_effort.value, settings.profile) == (True, True, "lab")
    assert settings.stamp == (True, settings.outbox.source)
    assert settings.outbox_dir.value.endswith("/o")


@pytest.mark.parametrize("variable", ["NEMO_JOBS_CONFIG", "NMP_CONFIG_FILE"])
@pytest.mark.parametrize("deadline", ["0.1s", "flag"])
def test_a_pipe_without_a_writer_ends_with_the_deadline(tmp_path, variable, deadline):
    """Instead of waiting for a writer for ever; a pipe with a writer is read: NEMO_JOBS_CONFIG=<(...)."""
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    flags = Flags(deadline="0.1s") if deadline == "flag" else Flags()
    environ = {variable: str(fifo), "NEMO_JOBS_DEADLINE": "1h" if deadline == "flag" else deadline}
    with pytest.raises(SettingsError, match="pipe: timed out"):
        resolve.load_settings(flags, environ)
    fifo.write_text("", encoding="utf-8")  # lets the thread that waits for a writer end


def test_a_named_file_replaces_the_default_one(tmp_path):
    """With every type of value."""
    world = World(tmp_path, {"default": {"host"}})
    mine = tmp_path / "mine.toml"
    mine.write_text(
        "[profiles.default]\nallow_http = true\ndeadline = 0.5\nnumbers = ['gpu', 'mfu']\n", encoding="utf-8"
    )
    settings = resolve.load_settings(Flags(), {**world.environ, "NEMO_JOBS_CONFIG": str(mine)})
    origin = f"profile default ({mine})"
    assert settings.host.is_default
    assert settings.allow_http == (True, origin)
    assert settings.deadline == (0.5, origin)
    assert settings.numbers == (known_keys.NUMBERS | {"gpu", "mfu"}, origin)


def test_numbers_of_all_sources_are_combined(tmp_path):
    """Every source may add some."""
    world = World(tmp_path, {"default": {"host"}})
    world.toml.write_text("[profiles.default]\nnumbers = ['loss_a', ' b ']\n", encoding="utf-8")
    environ = {**world.environ, "NEMO_JOBS_NUMBERS": "c, d,,"}
    settings = resolve.load_settings(Flags(number=("e",), profile="default"), environ).numbers
    assert settings.value == known_keys.NUMBERS | {"loss_a", "b", "c", "d", "e"}
    assert settings.source == f"--number, profile default ({world.toml}), NEMO_JOBS_NUMBERS"


@pytest.mark.parametrize("environ", [{}, {"NEMO_JOBS_PROFILE": "lab"}])
def test_an_empty_profile_name_is_an_error(environ):
    """An unset shell variable must not select the default profile."""
    with pytest.raises(UsageError, match="--profile is empty"):
        resolve.load_settings(Flags(profile=""), environ)


@pytest.mark.parametrize(
    ("flags", "environ", "code", "message"),
    [
        (Flags(host="h"), {}, 3, "invalid URL in --host: 'h'"),
        (Flags(host=""), {"NEMO_JOBS_HOST": "https://h"}, 3, "invalid URL in --host: ''"),
        (Flags(), {"NEMO_JOBS_HOST": "h"}, 3, "invalid URL in NEMO_JOBS_HOST: 'h'"),
        (Flags(), {"NMP_JOBS_URL": "h"}, 3, "invalid URL in NMP_JOBS_URL: 'h'"),
        (Flags(), {"NMP_BASE_URL": f"https://me:{SECRET}@h"}, 3, "NMP_BASE_URL"),
        (Flags(ca_file="/no/ca.pem"), {}, 3, "cannot find the CA file /no/ca.pem (--ca-file)"),
        (Flags(ca_file=""), {}, 3, "(--ca-file)"),
        (Flags(ca_file="/"), {}, 3, "cannot find the CA file / (--ca-file)"),
        (Flags(host="https://h"), {"SSL_CERT_FILE": "/no/c"}, 3, "cannot find the CA file /no/c (SSL_CERT_FILE)"),
        (Flags(host="https://h"), {"SSL_CERT_DIR": "/no:/x"}, 3, "cannot find the CA folder /no:/x (SSL_CERT_DIR)"),
        (Flags(), {"NEMO_JOBS_CA_FILE": "/no"}, 3, "(NEMO_JOBS_CA_FILE)"),
        (Flags(), {"NHX_CLIENT_SSL_CERT_FILE": "/no"}, 3, "(NHX_CLIENT_SSL_CERT_FILE)"),
        (Flags(deadline="soon"), {}, 2, "invalid duration in --deadline: 'soon'"),
        (Flags(deadline=""), {}, 2, "invalid duration in --deadline: ''"),
        (Flags(deadline="-1"), {}, 2, "--deadline"),
        (Flags(), {"NEMO_JOBS_DEADLINE": "nan"}, 2, "NEMO_JOBS_DEADLINE"),
        (Flags(), {"NEMO_JOBS_API": "v2"}, 2, "invalid NEMO_JOBS_API 'v2': use auto, jobs or attempts"),
        (Flags(), {"NEMO_JOBS_OUTBOX": "maybe"}, 2, "invalid NEMO_JOBS_OUTBOX 'maybe': use 1, true, yes, on,"),
        (Flags(header=("X",)), {}, 2, "--header"),
        (Flags(profile="lab"), {"NEMO_JOBS_CONFIG": "/dev/null"}, 3, "(--profile)"),
        (Flags(), {"NEMO_JOBS_PROFILE": "lab", "NEMO_JOBS_CONFIG": "/dev/null"}, 3, "(NEMO_JOBS_PROFILE)"),
        (Flags(host="https://h"), {"NEMO_JOBS_CONFIG": "/lab.toml"}, 3, "config file /lab.toml: no such file"),
    ],
)
def test_an_invalid_setting_is_refused_with_its_source(flags, environ, code, message):
    """Also a hint, and never a password."""
    with pytest.raises(NemoJobsError) as caught:
        resolve.load_settings(flags, environ)
    error = caught.value
    assert error.exit_code == code
    assert message in error.message
    assert error.hint
    assert error.hint not in error.message  # the next step is more than the sentence again
    assert SECRET not in f"{error.message}{error.hint}{error.pointer}"


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("deadline = -1", "'-1'"),
        ("deadline = 1e9", "'1000000000.0'"),
        ("deadline = nan", "'nan'"),
        ("deadline = inf", "'inf'"),
        ("deadline = 'soon'", "'soon'"),
    ],
)
def test_a_number_in_a_profile_has_the_limits_of_its_text_form(tmp_path, toml, message):
    """TOML also allows negative and infinite numbers."""
    mine = tmp_path / "mine.toml"
    mine.write_text(f"[profiles.default]\n{toml}\n", encoding="utf-8")
    with pytest.raises(UsageError, match="profile default") as caught:
        resolve.load_settings(Flags(), {"NEMO_JOBS_CONFIG": str(mine)})
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("host", ["https://h/x"], ["h", ""]),
        ("workspace", ["ws"], ["", "W S"]),
        ("deadline", ["10", "2m", 5, 0.5], ["soon", "", -1]),
        ("token", ["anything", ""], []),
    ],
)
def test_a_setting_can_be_checked_alone(key, good, bad):
    """Before it is written to a profile."""
    for value in good:
        resolve.check_setting(key, value)
    for value in bad:
        with pytest.raises((SettingsError, UsageError), match=key):
            resolve.check_setting(key, value)


def test_ca_variables_of_openssl_apply_to_https_without_a_ca_file(tmp_path):
    """SSL_CERT_FILE is a CA file as any other; SSL_CERT_DIR is left to OpenSSL. An unused variable stops nothing."""
    file = tmp_path / "ca.pem"
    file.touch()
    missing = {"SSL_CERT_FILE": "/no/such", "SSL_CERT_DIR": "/no/such"}
    there = {"SSL_CERT_FILE": str(file), "SSL_CERT_DIR": f"/no/such:{tmp_path}"}
    assert resolve.load_settings(Flags(host="http://h"), missing).ca_file is None
    assert resolve.load_settings(Flags(host="https://h"), there).ca_file == Sourced(str(file), "SSL_CERT_FILE")
    given = resolve.load_settings(Flags(host="https://h", ca_file=str(file)), missing)
    assert given.ca_file == Sourced(str(file), "--ca-file")


def test_flags_of_the_request_are_resolved(tmp_path):
    """Headers, proxies and the token file."""
    flags = Flags(host="https://h", header=("X-A: 1", "X-B:2"), token_file="/t")
    settings = resolve.load_settings(flags, {"HTTPS_PROXY": "http://p"})
    assert settings.headers == (("X-A", "1"), ("X-B", "2"))
    assert settings.proxy == Proxy("http://p", "HTTPS_PROXY")
    assert settings.credential == Credential("file", "/t", "--token-file")
    assert resolve.load_settings(flags, {}).proxy is None


ABSOLUTE = st.text("abc ./~", max_size=8).map("/h{}".format)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere we ask platformdirs itself")
@given(home=ABSOLUTE, xdg=st.one_of(st.none(), st.sampled_from(["", " "]), ABSOLUTE.map(str.rstrip)))
def test_the_config_path_matches_platformdirs(home, xdg):
    """Our own code only saves the import.

    Of the versions of platformdirs that pyproject.toml allows, some cut spaces at the end of the variable, others do not.
    """
    environ = {"HOME": home} | ({} if xdg is None else {"XDG_CONFIG_HOME": xdg})
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("XDG_CONFIG_HOME", raising=False)
        for name, value in environ.items():
            patch.setenv(name, value)
        expected = platformdirs.user_config_path("nemo-jobs")
        assert resolve.config_path() == expected / "config.toml"
    assert resolve.config_path(environ) == expected / "config.toml"


def test_a_relative_xdg_folder_counts_as_unset():
    """The XDG specification requires it."""
    assert resolve.config_path({"HOME": "/h", "XDG_CONFIG_HOME": "x"}) == Path("/h/.config/nemo-jobs/config.toml")


def test_other_systems_use_platformdirs(monkeypatch):
    """It may find no home either."""
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(sysname="Darwin"))
    assert resolve.config_path({}) == platformdirs.user_config_path("nemo-jobs") / "config.toml"

    def homeless(_name):
        raise RuntimeError

    monkeypatch.setattr(platformdirs, "user_config_path", homeless)
    assert resolve.config_path({}) is None
    assert resolve.config_path({"NEMO_JOBS_CONFIG": "/f"}) == Path("/f")


@pytest.mark.parametrize(
    ("document", "environ", "allowed"),
    [
        ('[profiles.default]\nallow_http = true\n[profiles.lab]\nhost = "http://h"\ntoken = "t"', {}, False),
        ('[profiles.lab]\nallow_http = true\nhost = "http://h"\ntoken = "t"', {}, True),
        ('[profiles.default]\nallow_http = true\n[profiles.lab]\nhost = "http://h"', {"NEMO_JOBS_TOKEN": "t"}, True),
    ],
)
def test_plain_http_needs_the_consent_of_the_tokens_profile(tmp_path, document, environ, allowed):
    """Not of another profile; for an unbound token, any source may allow it."""
    file = tmp_path / "c.toml"
    file.write_text(document, encoding="utf-8")
    settings = resolve.load_settings(Flags(profile="lab"), {"NEMO_JOBS_CONFIG": str(file), **environ})
    assert settings.allow_http.value is allowed


def test_the_official_file_moves_to_xdg_config_home_with_its_folder(tmp_path):
    """Without a home there is none."""
    home, xdg = tmp_path / "home", tmp_path / "xdg"
    environ = {"HOME": str(home), "XDG_CONFIG_HOME": str(xdg)}
    for folder, workspace in ((home / ".config", "of-home"), (xdg, "of-xdg")):
        (folder / "nmp").mkdir(parents=True)
        (folder / "nmp/config.yaml").write_text(
            f"current_context: c\ncontexts: [{{name: c, workspace: {workspace}}}]\n", encoding="utf-8"
        )
        assert resolve.load_settings(Flags(), environ).workspace.value == workspace
    assert resolve.load_settings(Flags(), {"HOME": "relative"}).workspace.is_default
