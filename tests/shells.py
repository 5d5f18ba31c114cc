"""Use a real bash, zsh or fish on a pseudo-terminal: type, press TAB, and read the line."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from terminals import Terminal

HERE = Path(__file__).parent.parent
SCRIPTS = {"bash": "nemo-jobs.bash", "zsh": "_nemo-jobs", "fish": "nemo-jobs.fish"}

# Ctrl-O prints the line and the position of the cursor.
_SETUP = {
    "bash": r"""
PS1='@ '; PS2=
bind 'set bell-style none'; bind 'set enable-bracketed-paste off'; bind 'set show-all-if-ambiguous on'
bind 'set completion-query-items -1'; bind 'set page-completions off'; bind 'set horizontal-scroll-mode off'
bind -x '"\C-o": printf "<%s|%s>\n" "$READLINE_LINE" "$READLINE_POINT"'
source '@SCRIPT@'
@MORE@
echo ready""",
    "zsh": r"""
PS1='@ '; unsetopt beep prompt_cr prompt_sp zle_bracketed_paste 2>/dev/null; unset zle_bracketed_paste; LISTMAX=10000
show() { print -r -- "<$BUFFER|$CURSOR>" }; zle -N show; bindkey '^O' show
fpath=('@FOLDER@' $fpath); autoload -Uz compinit; compinit -u -D
@MORE@
echo ready""",
    "fish": r"""
function fish_prompt; echo '@ '; end
function fish_greeting; end
bind \co 'echo "<"(commandline)"|"(commandline -C)">"'
source '@SCRIPT@'
@MORE@
echo ready""",
}
_WORDS = {"bash": ["--norc", "--noprofile", "-i"], "zsh": ["-f", "-i"], "fish": ["--no-config", "-i"]}


class Shell:
    """An interactive shell in `folder`, with our completion unless `bare`; it runs `more` first."""

    def __init__(self, name, folder, *, more="", bare=False, **env):
        path = shutil.which(name)
        tool = Path(sys.executable).parent
        self.name = name
        self.runs = 0
        base = {
            "PATH": f"{tool}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "TERM": "dumb", "LANG": "C.UTF-8",
        }  # fmt: skip
        self.terminal = Terminal([path, *_WORDS[name]], {**base, **env}, rows=200, columns=400, cwd=folder)
        scripts = HERE / "completions"
        setup = _SETUP[name] if not bare else re.sub(r"(?m)^(source|fpath=).*\n", "", _SETUP[name])
        setup = setup.replace("@SCRIPT@", str(scripts / SCRIPTS[name])).replace("@FOLDER@", str(scripts))
        file = folder / f".setup-{name}"
        file.write_text(setup.replace("@MORE@", more), encoding="utf-8")
        self.terminal.type(f"source {file}\r".encode())
        self.terminal.until(b"ready")

    def tab(self, line, *, left=0, tabs=1):
        """Type a line, move left, press TAB, and return the line with a | at the cursor."""
        terminal = self.terminal
        terminal.type(b"\x15")
        terminal.seen = b""
        terminal.type(line.encode() + b"\x02" * left + b"\t" * tabs)
        terminal.type(b"\x0f")
        found = None
        while found is None:
            terminal.until(b">")
            found = re.search(rb"<([^<>]*(?:\\?>[^<>]*)*)\|(\d+)>", terminal.seen)
            if found is None:
                terminal.read()
        text, cursor = found[1].decode(), int(found[2])
        terminal.type(b"\x05\x15")
        return text[:cursor] + "|" + text[cursor:]

    def run(self, line):
        """Run a line and return its output."""
        terminal = self.terminal
        self.runs += 1
        terminal.seen = b""
        terminal.type(f"{line}; echo do''ne-{self.runs}-\r".encode())
        terminal.until(f"done-{self.runs}-".encode())
        return terminal.seen.decode(errors="replace")

    def listed(self, line):
        """Return the words that the shell lists for a line with several completions."""
        if self.name == "fish":  # its pager needs a terminal that is not dumb
            return self.run(f"complete -C '{line}'")
        self.tab(line, tabs=2)
        return self.terminal.seen.decode(errors="replace").replace("\\", "")

    def close(self):
        """End the shell."""
        self.terminal.close()

    def __enter__(self):
        """Return the shell."""
        return self

    def __exit__(self, *_):
        """Close the shell."""
        self.close()
