"""What lies on this machine: settings, files, the token, the outbox, a launch."""

from __future__ import annotations

import threading
import time

import pytest

from nemo_jobs_cli.delivery.entry import Entry
from nemo_jobs_cli.delivery.outbox import BROKEN, REJECTED, SET_ASIDE, Outbox
from nemo_jobs_cli.doctor import checkup, local
from nemo_jobs_cli.settings.model import Flags

SECRET = "tok-123456789"
HOST = "https://nmp.example.com"


@pytest.fixture
def home(tmp_path):
    """Give a home with a folder for our file."""
    (tmp_path / "home/.config/nemo-jobs").mkdir(parents=True)
    return tmp_path / "home"


@pytest.fixture
def file(home):
    """Give the path of our configuration file."""
    return home / ".config/nemo-jobs/config.toml"


@pytest.fixture
def begin(home, monkeypatch):
    """Return a function that begins a case in this home."""

    def make(flags=Flags(), **variables):  # noqa: B008 - frozen
        return checkup.begin(flags, {"HOME": str(home), **variables}, time.monotonic())

    return make


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """Wait for the outbox on a busy machine, too."""
    monkeypatch.setattr(local, "LONGEST_LOOK", 60.0)


def lines(look, case):
    """Return what a check yields, by name."""
    found = list(look(case))
    assert len({one.name for one in found}) == len(found)
    assert SECRET not in str(found)
    return {one.name: one for one in found}


def test_settings_are_told_with_their_origins(begin):
    """The three that matter always, others where somebody set them; tokens and the outbox have lines of their own."""
    found = lines(local.settings, begin(Flags(host=HOST, deadline="5"), NEMO_JOBS_JOB="train-x", NEMO_JOBS_OUTBOX="1"))
    assert [(one.name, one.level, one.says) for one in found.values()] == [
        ("host", "ok", f"{HOST} (--host)"),
        ("workspace", "ok", "default (default)"),
        ("job", "ok", "train-x (NEMO_JOBS_JOB)"),
        ("deadline", "ok", "5 (--deadline)"),
    ]
    assert found["host"].facts == {"value": HOST, "origin": "--host"}


def test_no_job_is_no_trouble(begin):
    """Each command may name its own."""
    assert lines(local.settings, begin())["job"].level == "skip"


def test_names_that_no_job_or_workspace_has_fail(begin):
    """As with an update; nothing can be asked in such a workspace."""
    case = begin(Flags(workspace="My Team"), NEMO_JOBS_JOB="Train X")
    found = lines(local.settings, case)
    assert [(found[name].level, found[name].code) for name in ("workspace", "job")] == [("fail", 2)] * 2
    assert case.barred == "as workspace failed"


def test_a_broken_file_is_a_line_and_the_rest_goes_on(begin, file):
    """What may stand in the file is unknown, what was said elsewhere is known."""
    file.write_text("x = [")
    case = begin(Flags(workspace="research"))
    found = lines(local.settings, case)
    assert (found["settings"].level, found["settings"].code) == ("fail", 3)
    assert "is not TOML" in found["settings"].says
    assert (found["host"].level, found["workspace"].level, found["job"].level) == ("skip", "ok", "skip")
    assert lines(local.files, case)["config"].level == "skip"
    assert lines(local.token, case)["token"].level == "skip"
    assert lines(local.kept, case)["outbox"].level == "ok"


def test_with_a_broken_file_nobody_asks_as_nobody(begin, file):
    """The token may stand in it; who wants none says so."""
    file.write_text("x = [")
    case = begin(Flags(host=HOST, workspace="research"))
    assert lines(local.token, case)["token"].level == "skip"
    assert (case.barred, case.auth) == ("as token is not known", None)
    case = begin(Flags(host=HOST, workspace="research", anonymous=True))
    assert lines(local.token, case)["token"].says == "none is sent (--anonymous)"
    assert (case.barred, case.auth) == ("", {})


def test_with_a_broken_file_an_unsaid_workspace_is_unknown(begin, file):
    """Asking in `default` would tell of another workspace than the user's."""
    file.write_text("x = [")
    case = begin(Flags(host=HOST, anonymous=True))
    assert lines(local.settings, case)["workspace"].level == "skip"
    assert case.barred == "as workspace is not known"


@pytest.mark.parametrize(("bits", "level"), [(0o600, "ok"), (0o644, "warn"), (0o620, "warn")])
def test_a_file_with_a_token_is_for_its_owner_alone(begin, file, bits, level):
    """The fix is a command."""
    file.write_text(f'[profiles.default]\nhost = "{HOST}"\ntoken = "{SECRET}"\n')
    file.chmod(bits)
    made = lines(local.files, begin())["config"]
    assert (made.level, made.fix) == (level, f"chmod 600 {file}" if level == "warn" else "")


def test_a_file_without_a_token_may_be_open(begin, file):
    """It is often kept with other dotfiles."""
    file.write_text(f'[profiles.default]\nhost = "{HOST}"\n')
    file.chmod(0o644)
    assert lines(local.files, begin())["config"].level == "ok"


def test_no_file_and_no_home_are_no_trouble(begin):
    """Jobs have neither."""
    assert lines(local.files, begin())["config"].says.startswith("none (")
    assert next(local.files(checkup.begin(Flags(), {}, 0.0))).level == "skip"


def test_an_open_token_file_is_warned_of(begin, tmp_path):
    """Its path is quoted for the shell."""
    path = tmp_path / "my token"
    path.write_text(SECRET)
    path.chmod(0o640)
    made = lines(local.files, begin(Flags(token_file=str(path))))["token_file"]
    assert (made.level, made.fix) == ("warn", f"chmod 600 '{path}'")
    path.chmod(0o400)
    assert lines(local.files, begin(Flags(token_file=str(path))))["token_file"].level == "ok"
    for odd in ("/nonexistent", "~nobody-here/token", "a\0b", "-"):
        assert "token_file" not in lines(local.files, begin(Flags(token_file=odd)))


def test_a_token_is_opened_and_never_shown(begin, tmp_path):
    """What the file holds goes into the headers alone."""
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    case = begin(Flags(host=HOST, token_file=str(path)))
    assert lines(local.token, case)["token"].says == "file (--token-file)"
    assert case.auth == {"Authorization": f"Bearer {SECRET}"}


@pytest.mark.parametrize(
    ("flags", "variables", "words"),
    [
        (Flags(host="http://nmp.example.com"), {"NEMO_JOBS_TOKEN": SECRET}, "is not sent over plain http"),
        (Flags(host=HOST, token_file="/nonexistent"), {}, "can't be read"),
        (Flags(host=HOST), {"NMP_ACCESS_TOKEN": SECRET, "NMP_BASE_URL": "https://other"}, "is not sent to"),
        (Flags(host=HOST), {"NEMO_JOBS_TOKEN": f"{SECRET} x"}, "is no token"),
    ],
)
def test_a_token_that_is_not_sent_fails_and_bars_the_rest(begin, flags, variables, words):
    """An update would end here, with the same code."""
    case = begin(flags, **variables)
    made = lines(local.token, case)["token"]
    assert (made.level, made.code, words in made.says) == ("fail", 3, True)
    assert (case.barred, case.auth, case.stopped) == ("as token failed", None, "")


def test_a_workloads_token_is_exchanged_later(begin, tmp_path):
    """It needs the platform."""
    path = tmp_path / "identity"
    path.write_text(SECRET)
    case = begin(NMP_WORKLOAD_IDENTITY_TOKEN_FILE=str(path), NMP_BASE_URL=HOST)
    assert lines(local.token, case)["token"].level == "ok"
    assert case.auth is None


def test_no_token_is_told(begin):
    """Requests go as nobody."""
    case = begin()
    assert lines(local.token, case)["token"].says == "none is sent: none is set"
    assert case.auth == {}


def test_a_silent_rank_is_warned_of(begin):
    """Whoever waits for its reports waits in vain."""
    made = lines(local.launch, begin(RANK="3", WORLD_SIZE="8"))["rank"]
    assert (made.level, "--all-ranks" in made.fix) == ("warn", True)
    assert lines(local.launch, begin(RANK="0", WORLD_SIZE="8")) == {}


def test_the_run_around_us_is_named(begin, tmp_path):
    """Updates go through it."""
    assert "NEMO_JOBS_CHANNEL" in lines(local.launch, begin(NEMO_JOBS_CHANNEL=str(tmp_path / "c")))["channel"].says


@pytest.fixture
def box(tmp_path):
    """Give an outbox with two entries for the host, one for another, and some that were put away."""
    box = Outbox(tmp_path / "box")
    for host, job in ((HOST, "a"), (HOST, "b"), ("https://other", "c"), (HOST, "d"), (HOST, "e")):
        box.store(Entry(host, "ws", job, {"x": 1}, time.time() - 7200))
    claims = [box.claim(name) for name in box.names()[-2:]]
    box.reject(claims[0], "no")
    box.set_aside(claims[1], {"x": 1}, "older")
    (box.folder / BROKEN / "x.json").write_text("{")
    return box


def test_the_outbox_is_counted_and_not_touched(begin, box):
    """By names alone: no entry is claimed or opened."""
    before = sorted((path, path.stat().st_mtime_ns) for path in box.folder.rglob("*"))
    made = lines(local.kept, begin(Flags(host=HOST, outbox_dir=str(box.folder))))["outbox"]
    assert made.level == "warn"
    facts = {name: made.facts[name] for name in ("waiting", "elsewhere", "rejected", "aside", "broken")}
    away = [box.count(kind) for kind in (REJECTED, SET_ASIDE, BROKEN)]
    assert sum(facts.values()) == 6
    assert (facts["rejected"], facts["aside"], facts["broken"]) == tuple(away) == (1, 1, 1)
    assert facts["waiting"] + facts["elsewhere"] == len(box.names()) == 3
    assert facts["elsewhere"] <= 1
    assert abs(made.facts["oldest"] - (time.time() - 7200)) < 60
    assert sorted((path, path.stat().st_mtime_ns) for path in box.folder.rglob("*")) == before


def test_an_outbox_that_is_not_there_is_not_made(begin, tmp_path):
    """It is made when something is kept."""
    made = lines(local.kept, begin(Flags(outbox=True, outbox_dir=str(tmp_path / "a/b"))))["outbox"]
    assert (made.level, "empty" in made.says) == ("ok", True)
    assert not (tmp_path / "a").exists()


def test_a_file_in_the_place_of_the_outbox_fails_where_it_is_on(begin, tmp_path):
    """Updates could not be kept."""
    (tmp_path / "a").write_text("")
    for folder in (tmp_path / "a", tmp_path / "a/b"):
        made = lines(local.kept, begin(Flags(outbox=True, outbox_dir=str(folder))))["outbox"]
        assert (made.level, made.code, "is no folder" in made.says) == ("fail", 3, True)
        assert lines(local.kept, begin(Flags(outbox_dir=str(folder))))["outbox"].level == "ok"


def test_a_folder_that_can_not_be_written_fails(begin, monkeypatch, tmp_path):
    """Found out without writing; root, as whom tests may run, may write everywhere."""
    monkeypatch.setattr("nemo_jobs_cli.doctor.local.os.access", lambda path, mode: path != tmp_path)
    made = lines(local.kept, begin(Flags(outbox=True, outbox_dir=str(tmp_path / "a"))))["outbox"]
    assert (made.level, "can't be written" in made.says) == ("fail", True)


@pytest.mark.parametrize(("wanted", "level"), [(True, "fail"), (False, "warn")])
def test_a_folder_that_can_not_be_read_is_told(begin, monkeypatch, tmp_path, wanted, level):
    """A failure only where it would keep an update from being kept."""

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("nemo_jobs_cli.delivery.outbox.os.listdir", refuse)
    made = lines(local.kept, begin(Flags(outbox=wanted, outbox_dir=str(tmp_path))))["outbox"]
    assert (made.level, "cannot read" in made.says) == (level, True)


def test_a_folder_that_hangs_is_left_behind(begin, monkeypatch, tmp_path):
    """An NFS server that is away never answers."""
    end = threading.Event()
    monkeypatch.setattr(local, "LONGEST_LOOK", 0.05)
    monkeypatch.setattr(local, "_lying", lambda case: end.wait(60))
    made = lines(local.kept, begin(Flags(outbox_dir=str(tmp_path))))["outbox"]
    assert (made.level, made.code, "did not answer" in made.says) == ("fail", 3, True)
    end.set()


def test_without_a_home_the_outbox_is_skipped(begin):
    """Unless it is asked for."""
    (made,) = local.kept(checkup.begin(Flags(), {}, 0.0))
    assert made.level == "skip"
    (made,) = local.kept(checkup.begin(Flags(outbox=True), {}, 0.0))
    assert (made.level, made.code) == ("fail", 3)
