"""Doctor's look at TAB: whether the shell finds a script of this version, and how long an answer takes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nemo_jobs_cli.completion import install, scripts, shell_startup
from nemo_jobs_cli.doctor import checkup, tab
from nemo_jobs_cli.settings.model import Flags


@pytest.fixture
def look(monkeypatch):
    """Return a function that looks at a user whose shell is the one named."""
    monkeypatch.setattr(tab, "_answer", lambda _: 0.02)
    Path(os.environ["HOME"]).mkdir()

    def go(shell="bash", start=shell_startup.Start(), deadline="60"):  # noqa: B008 - frozen
        asked = []
        monkeypatch.setattr(shell_startup, "ask", lambda *words: asked.append(words) or start)
        monkeypatch.setenv("SHELL", f"/bin/{shell}")
        case = checkup.begin(Flags(deadline=deadline), dict(os.environ), time.monotonic())
        found = {check.name: check for check in tab.tab(case)}
        assert len(asked) == (shell in install.NAMES)
        assert all(words[0] == shell and words[2] <= min(10, float(deadline)) for words in asked)
        return found

    return go


def test_a_script_that_is_missing_old_or_not_found_is_said_with_its_fix(look):
    """And one that is well is well."""
    assert (look()["completion"].level, look()["completion"].fix) == ("warn", "nemo-jobs completion install bash")
    spot = install.spot("bash", os.environ, shell_startup.Start())
    install.install(spot)
    assert "does not look" in look()["completion"].says
    assert look()["completion"].fix == "nemo-jobs completion install bash --edit-rc"
    shell_startup.add(spot.rc, spot.lines)
    assert look()["completion"].level == "ok"
    spot.path.write_text(spot.path.read_text() + "# older\n")
    assert "another version" in look()["completion"].says
    assert look("fish")["completion"].says == "not installed for fish"


def test_a_script_is_found_where_zsh_looks(look):
    """It is asked once, and tells."""
    start = shell_startup.Start(searched=(Path(os.environ["HOME"]) / "theirs",))
    assert look("zsh", start)["completion"].facts["installed"] is False
    start.searched[0].mkdir()
    (start.searched[0] / "_nemo-jobs").write_text(scripts.script("zsh"))
    assert look("zsh", start)["completion"].level == "ok"


def test_a_shell_that_does_not_start_in_time_leaves_it_unknown(look):
    """The deadline holds for it, too; nothing is said of what could not be seen."""
    check = look("zsh", shell_startup.Start(known=False), deadline="4")["completion"]
    assert (check.level, check.says.startswith("not known: zsh did not start within ")) == ("skip", True)


def test_neither_start_files_nor_the_tab_get_a_token(monkeypatch):
    """Start files may tell anybody what they were started with."""
    home, got = Path(os.environ["HOME"]), []
    home.mkdir()
    (home / ".bashrc").write_text("env >~/seen\n")
    monkeypatch.setattr(tab, "_answer", lambda environ: got.append(environ) or 0.02)
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.setenv("NEMO_JOBS_TOKEN", "s3cret")
    list(tab.tab(checkup.begin(Flags(deadline="60"), dict(os.environ), time.monotonic())))
    seen = (home / "seen").read_text()
    assert (f"HOME={home}" in seen, "s3cret" in seen + str(got)) == (True, False)


@pytest.mark.parametrize("shell", ["tcsh", ""])
def test_a_shell_without_completion_is_no_trouble(look, shell):
    """Nor is none at all, as in CI."""
    assert look(shell)["completion"].level == "skip"


def test_a_tab_is_measured(look, monkeypatch):
    """In a process of its own, as the scripts do it."""
    monkeypatch.setattr(tab, "LONGEST_ANSWER", 60.0)
    assert tab._answer(dict(os.environ)) > 0.001
    assert look()["tab"].facts["milliseconds"] == 20


@pytest.mark.parametrize("seconds", [0.02, 0.3])
def test_one_that_a_person_feels_is_said(look, monkeypatch, seconds):
    """With what may help."""
    monkeypatch.setattr(tab, "_answer", lambda _: seconds)
    check = look()["tab"]
    assert (check.level, check.says) == (
        ("ok", "20 ms for one TAB") if seconds < 0.1 else ("warn", "300 ms for one TAB")
    )


def test_a_program_that_gives_no_answer_is_said(look, monkeypatch):
    """It hangs, or it fails."""

    def hang(_):
        raise subprocess.TimeoutExpired("x", 5)

    monkeypatch.setattr(tab, "_answer", hang)
    assert look()["tab"].says == "TAB gets no answer: TimeoutExpired"


def test_one_try_that_fails_does_not_end_the_measurement(look, monkeypatch):
    """The machine may have been busy for a moment; the others tell."""
    answers = iter([subprocess.TimeoutExpired("x", 5), 0.03, 0.02])

    def answer(_):
        one = next(answers)
        if isinstance(one, float):
            return one
        raise one

    monkeypatch.setattr(tab, "_answer", answer)
    assert look()["tab"].says == "20 ms for one TAB"


def test_a_tool_that_its_python_does_not_know_is_asked_itself(monkeypatch, tmp_path):
    """A zip file, which the scripts ask second, too; one that fails as well gives no answer."""
    monkeypatch.setattr(tab, "LONGEST_ANSWER", 60.0)
    monkeypatch.setattr(tab, "_CODE", "raise SystemExit(1)")
    tool = tmp_path / "nemo-jobs.pyz"
    tool.write_text(f"import sys; open({str(tmp_path / 'asked')!r}, 'w').write(' '.join(sys.argv[1:]))")
    monkeypatch.setattr(sys, "argv", [str(tool)])
    assert tab._answer(dict(os.environ)) > 0
    assert (tmp_path / "asked").read_text().startswith("__complete fish")
    tool.unlink()
    with pytest.raises(subprocess.CalledProcessError):
        tab._answer(dict(os.environ))
