"""TAB in real bash, zsh and fish on a terminal, with cached names and without a server."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from shells import Shell
from terminals import Terminal

from nemo_jobs_cli.sandbox import server as sandbox

# Updates sent from the terminal before: unusual names, an unknown key, a value.
UPDATES = (
    "nemo-jobs update train-llama my_score:=0.5 phase=warmup tags:='[1]' -q",
    "nemo-jobs update eval@v2+rc.1 status=scoring -q",
    "nemo-jobs update other -w research status=running -q",
)
CONFIG = '[profiles.lab]\nworkspace = "default"\n[profiles.production]\nworkspace = "default"\n'


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """Return a home folder in which three jobs were updated, and their host; the server has stopped."""
    folder = tmp_path_factory.mktemp("used")
    (folder / "notes.txt").write_text("x", encoding="utf-8")
    (folder / "with space.json").write_text("{}", encoding="utf-8")
    (folder / "folder").mkdir()
    (folder / ".config" / "nemo-jobs").mkdir(parents=True)
    (folder / ".config" / "nemo-jobs" / "config.toml").write_text(CONFIG, encoding="utf-8")
    server = sandbox.start(sandbox.Options())
    env = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "HOME": str(folder), "NEMO_JOBS_HOST": server.url}
    with Terminal(["sh", "-ec", "\n".join(UPDATES)], env) as terminal:
        assert terminal.end() == 0, terminal.seen
    sandbox.stop(server)
    return folder, server.url


@pytest.fixture(scope="module", params=["bash", "zsh", "fish"])
def shell(request, used):
    """Give a shell in the home folder."""
    if shutil.which(request.param) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{request.param} is missing: CI has to install it")
        pytest.skip(f"this machine has no {request.param}")
    folder, host = used
    more = "alias nj=nemo-jobs\n" + ("complete -F _nemo_jobs nj\n" if request.param == "bash" else "")
    with Shell(request.param, folder, more=more, NEMO_JOBS_HOST=host) as shell:
        yield shell


LINES = [
    # commands and subcommands
    ("nemo-jobs up", "nemo-jobs update |"),
    # options and their values
    ("nemo-jobs show --fie", "nemo-jobs show --field |"),
    ("nemo-jobs show --output=nd", "nemo-jobs show --output=ndjson |"),
    # files and folders
    ("nemo-jobs update train-llama log@=no", "nemo-jobs update train-llama log@=notes.txt |"),
    ("nemo-jobs update train-llama --outbox-dir fol", "nemo-jobs update train-llama --outbox-dir folder/|"),
    ("nemo-jobs apply no", "nemo-jobs apply notes.txt |"),
    ("nemo-jobs apply ~/no", "nemo-jobs apply ~/notes.txt |"),
    ("nemo-jobs apply $HOME/no", "nemo-jobs apply $HOME/notes.txt |"),
    ("nemo-jobs update train-llama log@=~/no", "nemo-jobs update train-llama log@=~/notes.txt |"),
    ("nemo-jobs update train-llama -fwi", "nemo-jobs update train-llama -fwith\\ space.json |"),
    ("nemo-jobs apply nothing-like", "nemo-jobs apply nothing-like|"),
    # jobs, also those with @ + and . in their names
    ("nemo-jobs show train-", "nemo-jobs show train-llama |"),
    ("nemo-jobs show eval@v", "nemo-jobs show eval@v2+rc.1 |"),
    ("nemo-jobs show eval@v2+r", "nemo-jobs show eval@v2+rc.1 |"),
    # keys and values
    ("nemo-jobs update train-llama my_", "nemo-jobs update train-llama my_score:=|"),
    ("nemo-jobs update train-llama status=ru", "nemo-jobs update train-llama status=running |"),
    ("nemo-jobs update eval@v2+rc.1 status=sc", "nemo-jobs update eval@v2+rc.1 status=scoring |"),
    ("nemo-jobs show train-llama --field=my", "nemo-jobs show train-llama --field=my_score |"),
    ("nemo-jobs show train-llama --until status=runn", "nemo-jobs show train-llama --until status=running |"),
    # quotes and blanks
    ("nemo-jobs update train-llama message='batch 3' status=ru", "nemo-jobs update train-llama message='batch 3' status=running |"),
    ('nemo-jobs update "train-llama" my_', 'nemo-jobs update "train-llama" my_score:=|'),
    ("nemo-jobs update train-llama m:@=wi", "nemo-jobs update train-llama m:@=with\\ space.json |"),
    ("nemo-jobs update train-llama m:@=with\\ sp", "nemo-jobs update train-llama m:@=with\\ space.json |"),
    # a wrapped command
    ("nemo-jobs run train-llama -- cat no", "nemo-jobs run train-llama -- cat notes.txt |"),
    # after other commands, and with an alias
    ("cd . && nemo-jobs show train", "cd . && nemo-jobs show train-llama |"),
    ("nj show train", "nj show train-llama |"),
    # no candidates
    ("nemo-jobs show nothing-like", "nemo-jobs show nothing-like|"),
    ("nemo-jobs no-such x", "nemo-jobs no-such x|"),
]  # fmt: skip


# With the number of characters right of the cursor.
MIDDLES = [
    ("nemo-jobs update train-ll status=running", 15, "nemo-jobs update train-llama| status=running"),
    ("nemo-jobs update train-llama status=ru --stamp", 8, "nemo-jobs update train-llama status=running| --stamp"),
    ("nemo-jobs sh eval@v2+rc.1", 13, "nemo-jobs show| eval@v2+rc.1"),
]

# Zsh removes a quote that is no longer needed.
QUOTES = [
    ('nemo-jobs show "train-', ['nemo-jobs show "train-llama" |']),
    (
        "nemo-jobs update train-llama status='ru",
        ["nemo-jobs update train-llama status='running' |", "nemo-jobs update train-llama status=running |"],
    ),
]


def test_a_tab_completes(shell):
    """Each kind of word, without a server; in the middle of a line, the text after it stays."""
    assert [(line, shell.tab(line)) for line, _ in LINES] == LINES
    for line, left, completed in MIDDLES:  # the new position of the cursor depends on the shell
        assert shell.tab(line, left=left).replace("|", "").replace("  ", " ") == completed.replace("|", "")
    for line, completions in QUOTES:
        assert shell.tab(line) in completions


LISTS = [
    ("nemo-jobs ", ["update", "show", "list", "completion"]),
    ("nemo-jobs show ", ["train-llama", "eval@v2+rc.1"]),
    ("nemo-jobs update train-llama s", ["status=", "step=", "stage="]),
    ("nemo-jobs update train-llama phase=", ["warmup", "training", "saving"]),
    ("nemo-jobs show train-llama --until ", ["progress>=", "phase=", "my_score="]),
    ("nemo-jobs show train-llama --w", ["--watch", "--wait", "--workspace"]),
    ("nemo-jobs show --profile ", ["lab", "production"]),
]


def test_several_candidates_are_listed(shell):
    """All that match."""
    for line, words in LISTS:
        shown = shell.listed(line)
        assert [word for word in words if word not in shown] == [], shown
        assert "Traceback" not in shown


def test_bash_completes_with_any_word_breaks(tmp_path):
    """COMP_WORDBREAKS is respected, and not changed."""
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with Shell("bash", tmp_path) as shell:
        for breaks in (r" \t\n", " \\t\\n\"\\'@><=;|&(:", r" \t\n=", r" \t\n:@"):
            shell.run(f"COMP_WORDBREAKS=$'{breaks}'")
            assert shell.tab("nemo-jobs update x status=ru") == "nemo-jobs update x status=running |"
            assert shell.tab("nemo-jobs update x log@=no") == "nemo-jobs update x log@=notes.txt |"
            assert shell.tab("nemo-jobs show --output=nd") == "nemo-jobs show --output=ndjson |"
            assert "still mine" in shell.run(f"[[ $COMP_WORDBREAKS == $'{breaks}' ]] && echo still' 'mine")


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("bash", "set -e -u; IFS=:"),
        ("bash", "set -f -o posix; shopt -s failglob nullglob extglob nocasematch"),
        ("zsh", "setopt ksh_arrays sh_word_split no_unset no_nomatch"),
        (
            "zsh",
            "setopt no_glob err_exit complete_in_word; IFS=:; zstyle ':completion:*' format '[%d]'; zstyle ':completion:*' group-name ''",
        ),
    ],
)
def test_shell_options_do_not_break_completion(name, more, tmp_path):
    """With any of them, completion prints no error and does not end the shell."""
    if shutil.which(name) is None:
        pytest.skip(f"this machine has no {name}")
    (tmp_path / "notes.txt").write_text("x", encoding="utf-8")
    with Shell(name, tmp_path, more=more) as shell:
        for line, completed in (
            ("nemo-jobs up", "nemo-jobs update |"),
            ("nemo-jobs show nothing-like", "nemo-jobs show nothing-like|"),
            ("nemo-jobs update x status=ru", "nemo-jobs update x status=running |"),
            ("nemo-jobs update x log@=no", "nemo-jobs update x log@=notes.txt |"),
            ("nemo-jobs run x -- cat no", "nemo-jobs run x -- cat notes.txt |"),
        ):
            assert shell.tab(line) == completed
            assert not re.search(rb"unbound|not set|: no such|error", shell.terminal.seen)


SUBSTITUTIONS = ["$(touch ran)", "~$(touch ran)/", "`touch ran`", "${x:-$(touch ran)}", "$((x[$(touch ran)]))"]
PLACES = ["show %", "show -w % tr", "apply %", "update x log@=%", "list --state %,a", "run x -- %", "run x -- cat %"]


@pytest.mark.parametrize(
    "typed",
    [
        pytest.param(list(zip(itertools.cycle(SUBSTITUTIONS), PLACES, strict=False)), id="each"),
        pytest.param(list(itertools.product(SUBSTITUTIONS, PLACES)), id="all", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_typed_substitutions_are_not_run(name, typed, tmp_path):
    """Neither in words, nor in file names, nor in a wrapped command."""
    if shutil.which(name) is None:
        pytest.skip(f"this machine has no {name}")
    more = (
        "bindkey '^I' complete-word" if name == "zsh" else ""
    )  # the default widget runs them before completion starts
    with Shell(name, tmp_path, more=more) as shell:
        for word, line in typed:
            shell.tab(f"nemo-jobs {line.replace('%', word)}")
            assert not (tmp_path / "ran").exists(), (word, line)


def test_a_zip_file_is_run_itself(tmp_path):
    """The Python in its first line cannot import the package."""
    tools = tmp_path / "bin"
    tools.mkdir()
    python = tools / "python3"
    python.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    tool = tools / "nemo-jobs"
    tool.write_text(f"#!{python}\n", encoding="utf-8")
    for file in (python, tool):
        file.chmod(0o755)
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -P ] && exit 1\nshift\nexec "{sys.executable}" -m nemo_jobs_cli "$@"\n', encoding="utf-8"
    )
    for name in filter(shutil.which, ("bash", "zsh", "fish")):
        with Shell(name, tmp_path, PATH=f"{tools}:/usr/bin:/bin") as shell:
            assert shell.tab("nemo-jobs show --fie") == "nemo-jobs show --field |"


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_a_missing_or_broken_program_prints_nothing(name, tmp_path):
    """An error would overwrite the command line."""
    if shutil.which(name) is None:
        pytest.skip(f"this machine has no {name}")
    tools = tmp_path / "bin"
    tools.mkdir()
    broken = tools / "nemo-jobs"
    broken.write_text("#!/bin/sh\necho boom >&2\nexit 1\n", encoding="utf-8")
    broken.chmod(0o755)
    with Shell(name, tmp_path, PATH=f"{tools}:/usr/bin:/bin") as shell:
        assert shell.tab("nemo-jobs show tr") == "nemo-jobs show tr|"
        assert b"boom" not in shell.terminal.seen
        broken.unlink()
        assert shell.tab("nemo-jobs show tr") == "nemo-jobs show tr|"
        assert b"not found" not in shell.terminal.seen


def test_the_python_in_the_first_line_is_run(tmp_path):
    """A script with another first line is run itself."""
    tools = tmp_path / "bin"
    tools.mkdir()
    log = tmp_path / "log"
    for first, runs in ((f"#!{sys.executable}", False), ("#!/bin/sh", True), ("#!/usr/bin/env python3", True)):
        tool = tools / "nemo-jobs"
        body = "import sys; open({!r}, 'a').write('ran')" if "python" in first else "echo ran >>{}"
        tool.write_text(f"{first}\n{body.format(str(log))}\n", encoding="utf-8")
        tool.chmod(0o755)
        log.write_text("", encoding="utf-8")
        folder = tmp_path / "home"
        folder.mkdir(exist_ok=True)
        with Shell("bash", folder, PATH=f"{tools}:/usr/bin:/bin") as shell:
            shell.tab("nemo-jobs show --fie")
        assert bool(log.read_text(encoding="utf-8")) is runs
