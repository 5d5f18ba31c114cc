"""Write the completion script of fish."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nemo_jobs_cli.cmdline import Tree

_SCRIPT = r"""# fish completion for nemo-jobs; made by `nemo-jobs completion fish`.
# Names of commands stand here. Anything else the program answers, from files of its own: never from the network.

function __nemo_jobs_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    if not string match -q -- '-*' $typed
        switch (count $words):$words[2]
@COMMANDS@
        end
    end

    # An alias is no program, and the console script of an older pip takes longer than the answer: ask its Python.
    set -l tool (command -s -- (string replace -r '^~/' "$HOME/" -- $words[1]))
    or set tool (command -s nemo-jobs)
    or return
    set -l program $tool
    read -l line <$tool
    if string match -qr '^#!/[^ ]*/python[^ /]*$' -- $line; and test -x (string sub -s 3 -- $line)
        set program (string sub -s 3 -- $line) -P -c 'from nemo_jobs_cli.__main__ import main; main()'
    end

    set -l answer (command $program __complete fish '' $words[2..-1] "$typed" 2>/dev/null)
    set -l directive (string split \t -- $answer[1])
    switch $directive[1]
        case words
            string join \n -- $answer[2..-1]
        case files folders
            set -l rest (string sub -s (math (string length -- "$directive[2]") + 1) -- "$typed")
            if test $directive[1] = folders
                string replace -r '^' -- "$directive[2]" (__fish_complete_directories "$rest" '')
            else
                string replace -r '^' -- "$directive[2]" (__fish_complete_path "$rest")
            end
        case wrapped
            set -l first (math $directive[2] + 1)
            complete -C (string join ' ' -- (string escape -- $words[$first..-1]) "$typed")
    end
end

complete -c nemo-jobs -f -a '(__nemo_jobs_complete)'
"""


def script(tree: Tree) -> str:
    """Return the script for a command tree."""
    cases = []
    for path, (_, _, _, names) in tree.items():
        if names:
            rows = [
                f"                printf '%s\\t%s\\n' {name} {_quoted(tree[f'{path} {name}'.strip()][0])}"
                for name in names
            ]
            cases += [f"            case {_quoted(f'2:{path}' if path else '1:*')}", *rows, "                return"]
    return _SCRIPT.replace("@COMMANDS@", "\n".join(cases))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
