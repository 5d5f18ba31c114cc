"""What the cache's folder and the configuration file say, read in a hurry."""

from __future__ import annotations

import pytest

from nemo_jobs_cli.completion import _cache as cache
from nemo_jobs_cli.settings import resolve
from nemo_jobs_cli.settings.model import Flags


@pytest.mark.parametrize(
    ("text", "found"),
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
def test_the_profiles_are_found(tmp_path, text, found):
    """In each form that TOML has; a name that a shell would not take as it is is not offered."""
    file = tmp_path / "config.toml"
    file.write_text(text)
    assert cache.read_profiles({"NEMO_JOBS_CONFIG": str(file)}, "linux") == found


def test_without_a_file_there_are_none(tmp_path):
    """Nor without a home."""
    assert cache.read_profiles({"HOME": str(tmp_path)}, "linux") == []
    assert cache.read_profiles({}, "linux") == []


def test_an_index_is_read_back_and_never_leads_outside(tmp_path):
    """Not to a file in another folder, not to a workspace that is none."""
    notes = [("('', '')", "http://h", "research", "abc"), ("(1,)", "https://g", "default", "def")]
    (tmp_path / "index").write_text(cache.format_index(notes))
    assert cache.read_index(str(tmp_path)) == notes
    for evil in (("s", "h", "research", "../../etc/passwd"), ("s", "h", "$(x)", "abc")):
        (tmp_path / "index").write_text(cache.format_index([evil]))
        assert cache.read_index(str(tmp_path)) == []
    (tmp_path / "index").write_text("nemo-jobs index 2\na\tb\tdefault\td\n")
    assert cache.read_index(str(tmp_path)) == []


def situation(environ, **said):
    """Return what decides about host and workspace."""
    return cache.fingerprint(environ, "linux", **{"host": "", "workspace": "", "profile": "", **said})


def test_a_situation_is_one_line_and_changes_with_what_it_depends_on(tmp_path):
    """Variables, options, and what the files say."""
    environ = {"HOME": str(tmp_path)}
    found = [
        situation(environ),
        situation({**environ, "NEMO_JOBS_HOST": "http://h"}),
        situation({**environ, "NMP_BASE_URL": "a\nb\tc"}),
        situation({**environ, "NMP_ACCESS_TOKEN": "x"}),
        situation(environ, host="http://h"),
        situation(environ, workspace="w"),
        situation(environ, profile="p"),
    ]
    file = tmp_path / ".config" / "nmp" / "config.yaml"
    file.parent.mkdir(parents=True)
    for text in ("workspace: a\n", "workspace: b\n"):
        file.write_text(text)
        found.append(situation(environ))
    assert len(set(found)) == 9
    assert all(line.isprintable() and line.isascii() for line in found)
    assert situation(environ, host="http://h/") == situation(environ, host="http://h")


def test_a_file_that_says_the_same_is_the_same(tmp_path):
    """Saved again, moved there and back, or with a renewed token, as the official tool does all the time."""
    environ = {"HOME": str(tmp_path)}
    file = tmp_path / ".config" / "nmp" / "config.yaml"
    file.parent.mkdir(parents=True)
    text = "users:\n- name: me\n  token: {}\n  refresh_token: {}\n  expires_at: {}\nclusters:\n- base_url: https://token.{}\n"
    file.write_text(text.format("a", "b", 1, "h"))
    before = situation(environ)
    file.write_text(text.format("c", "d", 2, "h"))
    assert situation(environ) == before
    file.write_text(text.format("c", "d", 2, "other"))
    assert situation(environ) != before


def test_a_workspace_that_is_named_is_found_on_the_host_that_is_meant(tmp_path):
    """However it was met there before."""
    environ = {"HOME": str(tmp_path)}
    notes = [
        (situation({**environ, "NEMO_JOBS_WORKSPACE": "research"}), "http://g", "research", "f1"),
        (situation({"NMP_WORKSPACE": "research"}), "http://h", "research", "f2"),
        (situation(environ), "http://h", "default", "f3"),
    ]

    def found(**said):
        return cache.find_file(notes, environ, "linux", **{"host": "", "workspace": "", "profile": "", **said})

    assert [found(), found(workspace="research"), found(workspace="other")] == ["f3", "f2", None]
    assert found(workspace="research", host="http://new") is None


class Asked(dict):
    """An environment that remembers which variables somebody has asked for."""

    def __init__(self, values):
        super().__init__(values)
        self.names = set()

    def get(self, name, otherwise=None):
        """Note the name."""
        self.names.add(name)
        return super().get(name, otherwise)

    def __getitem__(self, name):
        """Note the name."""
        self.names.add(name)
        return super().__getitem__(name)


def test_no_variable_that_settings_come_from_is_forgotten(tmp_path):
    """A new one must either be part of a situation or say nothing of host and workspace."""
    names = "TOKEN TOKEN_FILE JOB CA_FILE DEADLINE NUMBERS API OUTPUT CHANNEL OUTBOX OUTBOX_DIR BEST_EFFORT"
    silent = {f"NEMO_JOBS_{name}" for name in names.split()}
    silent |= {"NEMO_JOB_ID", "HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"}  # the folders: their files are looked at
    for product in ("nhx", "nmp"):
        file = tmp_path / ".config" / product / "config.yaml"
        file.parent.mkdir(parents=True)
        file.write_text("contexts: []\n")
    asked = set()
    for values in ({}, {"NHX_BASE_URL": "http://h"}, {"NMP_BASE_URL": "http://h", "NEMO_JOB_ID": "train-x"}):
        environ = Asked({"HOME": str(tmp_path), **values})
        resolve.load_settings(Flags(), environ)
        asked |= environ.names
    assert asked - silent == {*cache._VARIABLES, *cache._SECRETS}
