"""Reading and formatting the cache, and reading the profiles of the config file."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import nearly

from nemo_jobs_cli.completion import _cache as cache
from nemo_jobs_cli.core import known_keys
from nemo_jobs_cli.core.identifiers import is_key, is_name, is_value
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Flags


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('[profiles.lab]\nhost = "http://h"\n[profiles.prod.run.keys]\n[profiles.prod]\n', ["lab", "prod"]),
        ('[ profiles . "lab-2" ]\n', ["lab-2"]),
        ('profiles = {lab = {host = "http://h"}, Prod_1 = {}}\n', ["lab", "Prod_1"]),
        ('[profiles]\nlab.host = "http://h"\n', ["lab"]),
        ('[profiles."$(reboot)"]\n[profiles."a b"]\n[profiles.ok]\n', ["ok"]),
        ('default_profile = "x"\n', []),
        ("profiles = broken", []),
        ("profiles = 3", []),
        ("", []),
    ],
)
def test_profiles_are_found(tmp_path, text, names):
    """In every form of TOML, except names that need quotes in a shell."""
    file = tmp_path / "config.toml"
    file.write_text(text, encoding="utf-8")
    assert cache.read_profiles({"NEMO_JOBS_CONFIG": str(file)}, "linux") == names


def test_there_are_no_profiles_without_a_config_file(tmp_path):
    """Nor without a home folder."""
    assert cache.read_profiles({"HOME": str(tmp_path)}, "linux") == []
    assert cache.read_profiles({}, "linux") == []


def test_an_index_is_read_back(tmp_path):
    """Rows with a file in another folder or with an invalid workspace are skipped."""
    rows = [("('', '')", "http://h", "research", "abc"), ("(1,)", "https://g", "default", "def")]
    (tmp_path / "index").write_text(cache.format_index(rows), encoding="utf-8")
    assert cache.read_index(str(tmp_path)) == rows
    for row in (("s", "h", "research", "../../etc/passwd"), ("s", "h", "$(x)", "abc")):
        (tmp_path / "index").write_text(cache.format_index([row]), encoding="utf-8")
        assert cache.read_index(str(tmp_path)) == []
    (tmp_path / "index").write_text("nemo-jobs index 2\na\tb\tdefault\td\n", encoding="utf-8")
    assert cache.read_index(str(tmp_path)) == []


def fingerprint(environ, **options):
    """Return the fingerprint of an environment and options."""
    return cache.fingerprint(environ, "linux", **{"host": "", "workspace": "", "profile": "", **options})


def test_a_fingerprint_is_one_line_and_changes_with_its_sources(tmp_path):
    """Variables, options and config files."""
    environ = {"HOME": str(tmp_path)}
    fingerprints = [
        fingerprint(environ),
        fingerprint({**environ, "NEMO_JOBS_HOST": "http://h"}),
        fingerprint({**environ, "NMP_BASE_URL": "a\nb\tc"}),
        fingerprint({**environ, "NMP_ACCESS_TOKEN": "x"}),
        fingerprint(environ, host="http://h"),
        fingerprint(environ, workspace="w"),
        fingerprint(environ, profile="p"),
    ]
    file = tmp_path / ".config" / "nmp" / "config.yaml"
    file.parent.mkdir(parents=True)
    for text in ("workspace: a\n", "workspace: b\n"):
        file.write_text(text, encoding="utf-8")
        fingerprints.append(fingerprint(environ))
    assert len(set(fingerprints)) == 9
    assert all(line.isprintable() and line.isascii() for line in fingerprints)
    assert fingerprint(environ, host="http://h/") == fingerprint(environ, host="http://h")


def test_a_renewed_token_does_not_change_the_fingerprint(tmp_path):
    """The official tool often renews it."""
    environ = {"HOME": str(tmp_path)}
    file = tmp_path / ".config" / "nmp" / "config.yaml"
    file.parent.mkdir(parents=True)
    text = "users:\n- name: me\n  token: {}\n  refresh_token: {}\n  expires_at: {}\nclusters:\n- base_url: https://token.{}\n"
    file.write_text(text.format("a", "b", 1, "h"), encoding="utf-8")
    before = fingerprint(environ)
    file.write_text(text.format("c", "d", 2, "h"), encoding="utf-8")
    assert fingerprint(environ) == before
    file.write_text(text.format("c", "d", 2, "other"), encoding="utf-8")
    assert fingerprint(environ) != before


def test_a_workspace_option_is_looked_up_on_the_host_of_the_settings(tmp_path):
    """Also if the workspace was used there with other settings."""
    environ = {"HOME": str(tmp_path)}
    rows = [
        (fingerprint({**environ, "NEMO_JOBS_WORKSPACE": "research"}), "http://g", "research", "f1"),
        (fingerprint({"NMP_WORKSPACE": "research"}), "http://h", "research", "f2"),
        (fingerprint(environ), "http://h", "default", "f3"),
    ]

    def find(**options):
        return cache.find_file(rows, environ, "linux", **{"host": "", "workspace": "", "profile": "", **options})

    assert [find(), find(workspace="research"), find(workspace="other")] == ["f3", "f2", None]
    assert find(workspace="research", host="http://new") is None


class RecordingEnviron(dict):
    """An environment that records the names of the variables that are read."""

    def __init__(self, values):
        super().__init__(values)
        self.names = set()

    def get(self, name, default=None):
        """Record the name."""
        self.names.add(name)
        return super().get(name, default)

    def __getitem__(self, name):
        """Record the name."""
        self.names.add(name)
        return super().__getitem__(name)


def test_every_variable_of_the_settings_is_in_the_fingerprint(tmp_path):
    """Except those that affect neither host nor workspace."""
    suffixes = "TOKEN TOKEN_FILE JOB CA_FILE DEADLINE NUMBERS API OUTPUT CHANNEL OUTBOX OUTBOX_DIR BEST_EFFORT STAMP"
    unrelated = {f"NEMO_JOBS_{name}" for name in suffixes.split()}
    unrelated |= {"NEMO_JOB_ID", "HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"}  # the fingerprint has their files instead
    unrelated |= {"http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "XDG_CACHE_HOME"}
    unrelated |= {"NEMO_JOB_PERSISTENT_JOB_STORAGE_PATH", "NEMO_JOB_ATTEMPT_ID"}
    for product in ("nhx", "nmp"):
        file = tmp_path / ".config" / product / "config.yaml"
        file.parent.mkdir(parents=True)
        file.write_text("contexts: []\n", encoding="utf-8")
    names = set()
    for values in ({}, {"NHX_BASE_URL": "http://h"}, {"NMP_BASE_URL": "http://h", "NEMO_JOB_ID": "train-x"}):
        environ = RecordingEnviron({"HOME": str(tmp_path), **values})
        resolve.load_settings(Flags(), environ)
        names |= environ.names
    environ = RecordingEnviron({"HOME": str(tmp_path)})
    fingerprint(environ)
    assert names - unrelated == environ.names - unrelated


NOW = 1_800_000_000.0
DAY = 86400.0
DETAILS = {
    "status": "running",
    "progress": 45,
    "bleu": 31.5,
    "resumed": True,
    "tags": ["a"],
    "note": None,
    "message": "batch 3 of 10",
}
VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=70), st.lists(st.integers()))
NAMES = st.one_of(st.from_regex(r"[a-z][a-z0-9]{1,5}", fullmatch=True), st.text(max_size=70))


def merged(details, *, state="active", before=None, now=NOW):
    """Return a cached job with more details."""
    return cache.merge(before, state, details, numbers=known_keys.NUMBERS, now=now)


def test_a_detail_is_cached_as_the_field_that_sets_it():
    """A number that `key=` would send as text is JSON; values with blanks are not offered."""
    job = merged(DETAILS)
    assert job[:2] == (int(NOW), "active")
    assert cache.job_fields(job) == {
        "status=": ("running",), "progress=": (), "bleu:=": (), "resumed:=": ("true", "false"), "tags:=": (),
        "note:=": (), "message=": (),
    }  # fmt: skip


def test_values_are_newest_first_and_older_keys_stay():
    """Five values at most; an update with fewer keys removes none."""
    job = None
    for word in "abcdefg":
        job = merged({"phase": word, "tags": []}, before=job)
    job = merged({"phase": "e", "tags": "plain"}, state="", before=job)
    assert job[1] == "active"
    assert cache.job_fields(job) == {"phase=": ("e", "g", "f", "d", "c"), "tags=": ("plain",)}


def test_fields_and_values_of_all_jobs_are_unique():
    """Those of the newest job come first; `phase=` does not match `my_phase=` or `phase2=`."""
    jobs = {"b": merged({"my_phase": "x", "phase": "late", "phase2": "y"}), "a": merged({"phase": "early", "tags": []})}
    assert cache.all_fields(jobs) == ["my_phase=", "phase=", "phase2=", "tags:="]
    assert cache.all_values(jobs, "phase=") == ["late", "early"]
    assert cache.all_values(jobs, "tags=") == []


def test_old_jobs_are_skipped():
    """And jobs from the far future, too."""
    for then, expected in (
        (NOW - cache.MAX_AGE + 60, True),
        (NOW - cache.MAX_AGE, False),
        (NOW + 2 * cache.MAX_AGE, False),
    ):
        assert bool(cache.parse_jobs(cache.format_jobs({"train-x": merged(DETAILS, now=then)}), NOW)) is expected


@given(st.dictionaries(NAMES, st.tuples(st.text(max_size=70), st.dictionaries(NAMES, VALUES, max_size=4)), max_size=4))
def test_jobs_are_read_back(seen):
    """With any names, states, keys and values from the server."""
    jobs = {name: merged(details, state=state) for name, (state, details) in seen.items()}
    assert cache.parse_jobs(cache.format_jobs(jobs), NOW) == {name: job for name, job in jobs.items() if is_name(name)}


ROWS = nearly(
    "1800000000\ttrain-x\tactive\tstatus=running,testing\ttags:=",
    "1800000000\ttrain-y\t\tmessage=a",
    more=st.text("x\t=,;$`:\n -", max_size=3) | st.text(max_size=1),
)


@given(st.text() | st.lists(ROWS).map(lambda rows: "\n".join([cache.format_jobs({}).rstrip(), *rows])))
def test_any_file_yields_only_harmless_words(text):
    """Another program may have written it."""
    jobs = cache.parse_jobs(text, NOW)
    for name, job in jobs.items():
        assert is_name(name)
        assert job[1] == "" or is_value(job[1])
        for field, values in [*cache.job_fields(job).items(), *((field, ()) for field in cache.all_fields(jobs))]:
            assert field[-1] == "="
            assert is_key(field[:-1].removesuffix(":"))
            assert all(map(is_value, [*values, *cache.all_values(jobs, field)]))


def test_the_size_of_a_file_is_limited():
    """To 500 jobs, 64 fields each and 256 KiB; the first, which are the newest, stay."""
    jobs = {f"job{number}": merged({}) for number in range(600)}
    assert list(cache.parse_jobs(cache.format_jobs(jobs), NOW)) == list(jobs)[: cache.MAX_JOBS]
    large = {f"{'k' * 50}{number}": "v" * 60 for number in range(100)}
    jobs = {f"job{number}": merged(large) for number in range(100)}
    assert len(cache.job_fields(jobs["job1"])) == cache.MAX_FIELDS
    text = cache.format_jobs(jobs)
    assert len(text) <= cache.MAX_BYTES
    assert 20 < len(cache.parse_jobs(text, NOW)) < 100


def test_a_full_file_is_not_checked_word_by_word(monkeypatch):
    """That would take longer than starting Python at each TAB; the offered words are checked."""
    jobs = {f"job{number}": merged({f"key{key}": f"v{number}" for key in range(60)}) for number in range(500)}
    text = cache.format_jobs(jobs)
    checked = []
    for name in ("is_key", "is_value", "is_name"):
        check = getattr(cache, name)
        monkeypatch.setattr(cache, name, lambda word, check=check: checked.append(word) or check(word))
    parsed = cache.parse_jobs(text, NOW)
    assert len(cache.job_fields(parsed["job9"])) == 60
    assert len(cache.all_fields(parsed)) == 60
    assert len(cache.all_values(parsed, "key7=")) > 100
    assert len(checked) < 2000
