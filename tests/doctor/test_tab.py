"""The check of completion: whether the shell finds a script of this version, and the time of one TAB."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nemo_jobs_cli.completion import script_files, scripts, shell_startup
from nemo_jobs_cli.doctor import tab
from nemo_jobs_cli.doctor.check import Diagnosis
from nemo_jobs_cli.settings.model import Flags


@pytest.fixture
def completion(monkeypatch):
    """Return a function that checks completion for a shell."""
    monkeypatch.setattr(tab, "measure", lambda _: 0.02)
    Path(os.environ["HOME"]).mkdir()

    def check(shell="bash", start=shell_startup.ShellStartup(), deadline="60"):  # noqa: B008 - frozen
        started = []
        monkeypatch.setattr(shell_startup, "inspect", lambda *words: started.append(words) or start)
        monkeypatch.setenv("SHELL", f"/bin/{shell}")
        diagnosis = Diagnosis.start(Flags(deadline=deadline), dict(os.environ), time.monotonic())
        checks = {result.name: result for result in tab.completion(diagnosis)}
        assert len(started) == (shell in script_files.FILE_NAMES)
        assert all(words[0] == shell and words[2] <= min(10, float(deadline)) for words in started)
        return checks

    return check


def test_a_script_that_is_missing_old_or_not_loaded_is_a_warning(completion):
    """The fix is a command."""
    assert (completion()["completion"].level, completion()["completion"].fix) == (
        "warn",
        "nemo-jobs completion install bash",
    )
    target = script_files.find_target("bash", os.environ, shell_startup.ShellStartup())
    script_files.install(target)
    assert "is not loaded" in completion()["completion"].message
    assert completion()["completion"].fix == "nemo-jobs completion install bash --edit-rc"
    shell_startup.add(target.startup_file, target.lines)
    assert completion()["completion"].level == "ok"
    target.path.write_text(target.path.read_text(encoding="utf-8") + "# older\n", encoding="utf-8")
    assert "from another version" in completion()["completion"].message
    assert completion("fish")["completion"].message == "not installed for fish"


def test_a_script_is_found_in_the_folders_of_zsh(completion):
    """The shell is started once, and reports them."""
    start = shell_startup.ShellStartup(searched=(Path(os.environ["HOME"]) / "theirs",))
    assert completion("zsh", start)["completion"].facts["installed"] is False
    start.searched[0].mkdir()
    (start.searched[0] / "_nemo-jobs").write_text(scripts.generate("zsh"), encoding="utf-8")
    assert completion("zsh", start)["completion"].level == "ok"


def test_a_shell_that_does_not_start_in_time_is_skipped(completion):
    """Within the deadline."""
    check = completion("zsh", shell_startup.ShellStartup(known=False), deadline="4")["completion"]
    assert (check.level, check.message.startswith("unknown: zsh did not start within ")) == ("skip", True)


def test_neither_start_files_nor_the_tab_get_a_token(monkeypatch):
    """Start files may log their environment."""
    home, got = Path(os.environ["HOME"]), []
    home.mkdir()
    (home / ".bashrc").write_text("env >~/seen\n", encoding="utf-8")
    monkeypatch.setattr(tab, "measure", lambda environ: got.append(environ) or 0.02)
    monkeypatch.setenv("SHELL", "/bin/bash")
    monkeypatch.setenv("NEMO_JOBS_TOKEN", "s3cret")
    list(tab.completion(Diagnosis.start(Flags(deadline="60"), dict(os.environ), time.monotonic())))
    seen = (home / "seen").read_text(encoding="utf-8")
    assert (f"HOME={home}" in seen, "s3cret" in seen + str(got)) == (True, False)


@pytest.mark.parametrize("shell", ["tcsh", ""])
def test_a_shell_without_completion_is_skipped(completion, shell):
    """Also no shell at all, as in CI."""
    assert completion(shell)["completion"].level == "skip"


HANG = subprocess.TimeoutExpired("x", 5)


@pytest.mark.parametrize(
    ("measured", "level", "message"),
    [
        ([0.02] * 3, "ok", "20 ms for one TAB"),
        ([0.3] * 3, "warn", "300 ms for one TAB"),
        ([HANG, 0.03, 0.02], "ok", "20 ms for one TAB"),
        ([HANG] * 3, "warn", "no response to TAB: TimeoutExpired"),
    ],
    ids=["fast", "slow", "once busy", "hangs"],
)
def test_the_best_of_three_measurements_counts(completion, monkeypatch, measured, level, message):
    """The machine may be busy; a noticeable delay is a warning."""

    def measure(_):
        result = measured.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    measured = list(measured)
    monkeypatch.setattr(tab, "measure", measure)
    check = completion()["tab"]
    assert (check.level, check.message, measured) == (level, message, [])


def test_a_tab_is_measured_in_a_process_of_its_own(monkeypatch):
    """As in the completion scripts."""
    monkeypatch.setattr(tab, "TIMEOUT", 60.0)
    assert tab.measure(dict(os.environ)) > 0.001


def test_a_zip_file_is_run_if_python_cannot_import_the_package(monkeypatch, tmp_path):
    """As in the scripts; if both fail, there is no measurement."""
    monkeypatch.setattr(tab, "TIMEOUT", 60.0)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n', encoding="utf-8")  # without site-packages
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    tool = tmp_path / "nemo-jobs.pyz"
    tool.write_text(f"import sys; open({str(tmp_path / 'ran')!r}, 'w').write(' '.join(sys.argv[1:]))", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", [str(tool)])
    assert tab.measure(dict(os.environ)) > 0
    assert (tmp_path / "ran").read_text(encoding="utf-8").startswith("__complete fish")
    tool.unlink()
    with pytest.raises(subprocess.CalledProcessError):
        tab.measure(dict(os.environ))
