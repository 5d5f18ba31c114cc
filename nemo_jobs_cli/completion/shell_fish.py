"""Write the completion script of fish."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nemo_jobs_cli.completion.command_line import Tree

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

    # An alias is no program. The console script of an older pip takes longer than the answer: ask its Python, and the
    # script itself only where that Python doesn't know us (a zip file).
    set -l tool (command -s -- (string replace -r '^~/' "$HOME/" -- $words[1]))
    or set tool (command -s nemo-jobs)
    or return
    set -l program $tool
    set -l line
    test -f $tool -a -r $tool; and read line <$tool
    if string match -qr '^#!/[^ ]*/python[^ /]*$' -- $line; and test -x (string sub -s 3 -- $line)
        set program (string sub -s 3 -- $line) -P -c 'from nemo_jobs_cli.__main__ import main; main()'
    end

    set -l call __complete fish '' $words[2..-1] "$typed"
    set -l answer (begin; command $program $call; or command $tool $call; end </dev/null 2>/dev/null)
    set -l directive (string split \t -- $answer[1])
    switch $directive[1]
        case words
            string join \n -- $answer[2..-1]
        case files folders
            # fish's own answer, put behind what stands before it: ~, variables and quotes are its business.
            set -l rest (string sub -s (math (string length -- "$directive[2]") + 1) -- "$typed")
            for file in (complete -C ": $rest")
                test $directive[1] = files; or string match -q -- '*/' $file
                and printf '%s\n' "$directive[2]$file"
            end
        case wrapped
            set -l first (math $directive[2] + 1)
            set -l other (string escape -- $words[$first..-1]) "$typed"
            string match -q -- '*(*' $other[1]; and return # fish would run it to find out what it completes
            complete -C (string join ' ' -- $other)
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
