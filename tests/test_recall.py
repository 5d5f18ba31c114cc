"""What the cache's folder and the configuration file say, read in a hurry."""

from __future__ import annotations

import pytest

from nemo_jobs_cli import recall


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
    assert recall.profiles({"NEMO_JOBS_CONFIG": str(file)}, "linux") == found


def test_without_a_file_there_are_none(tmp_path):
    """Nor without a home."""
    assert recall.profiles({"HOME": str(tmp_path)}, "linux") == []
    assert recall.profiles({}, "linux") == []


def test_an_index_is_read_back_and_never_leads_outside(tmp_path):
    """Not to a file in another folder, not to a workspace that is none."""
    notes = [("('', '')", "http://h", "research", "abc"), ("(1,)", "https://g", "default", "def")]
    (tmp_path / "index").write_text(recall.index(notes))
    assert recall.notes(str(tmp_path)) == notes
    for evil in (("s", "h", "research", "../../etc/passwd"), ("s", "h", "$(x)", "abc")):
        (tmp_path / "index").write_text(recall.index([evil]))
        assert recall.notes(str(tmp_path)) == []
    (tmp_path / "index").write_text("nemo-jobs index 2\na\tb\tdefault\td\n")
    assert recall.notes(str(tmp_path)) == []


def test_a_situation_is_one_line_and_changes_with_what_it_depends_on(tmp_path):
    """Variables, options, and the files: their time, size and number."""
    environ = {"HOME": str(tmp_path)}

    def now(more=(), **said):
        return recall.situation(
            {**environ, **dict(more)}, "linux", **{"host": "", "workspace": "", "profile": "", **said}
        )

    first = now()
    others = [
        now({"NEMO_JOBS_HOST": "http://h"}),
        now({"NMP_BASE_URL": "a\nb\tc"}),
        now({"NMP_ACCESS_TOKEN": "x"}),
        now(host="http://h"),
        now(workspace="w"),
        now(profile="p"),
    ]
    file = tmp_path / ".config" / "nmp" / "config.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("a: 1")
    others.append(now())
    file.write_text("a: 12")
    others.append(now())
    assert len({first, *others}) == 9
    assert all(line.isprintable() and line.isascii() for line in others)
    assert now(host="http://h/") == now(host="http://h")
