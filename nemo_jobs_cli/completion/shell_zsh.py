"""Write the completion script of zsh."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nemo_jobs_cli.completion.command_line import Tree

_SCRIPT = r"""#compdef nemo-jobs
# zsh completion for nemo-jobs; made by `nemo-jobs completion zsh`.
# Names of commands stand here. Anything else the program answers, from files of its own: never from the network.

_nemo-jobs() {
    local -a found same
    case $CURRENT:${(Q)words[2]} in
@COMMANDS@
    esac
    if (( $#found )) && [[ $PREFIX != -* ]]; then
        _describe -t commands command found
        return
    fi

    [[ $PREFIX == *(\$\(|\`)* ]] && return 1 # _files would run it

    # An alias is no program. The console script of an older pip takes longer than the answer: ask its Python, and the
    # script itself only where that Python doesn't know us (a zip file).
    local tool=${(Q)words[1]} line
    local -a program answer call
    tool=${tool/#\~\//$HOME/}
    tool=${commands[$tool]:-$tool}
    [[ -x $tool && -f $tool ]] || tool=$commands[nemo-jobs]
    [[ -n $tool ]] || return
    { IFS= read -r line <$tool } 2>/dev/null
    if [[ $line == '#!/'[^\ ]#/python[^\ ]# && -x ${line#??} ]]; then
        program=(${line#??} -P -c 'from nemo_jobs_cli.__main__ import main; main()')
    else
        program=($tool)
    fi

    call=(__complete zsh '' "${(@)words[2,CURRENT-1]}" "$QIPREFIX$PREFIX")
    answer=("${(@f)$({ $program "$call[@]" || $tool "$call[@]" } </dev/null 2>/dev/null)}")
    local directive=${answer[1]%%$'\t'*} before=${answer[1]#*$'\t'}
    case $directive in
    words)
        local tab=$'\t'
        # What goes on after it gets no space; a colon has a meaning for _describe.
        found=(${(M)answer[2,-1]:#*[=:,]$tab*})
        same=(${answer[2,-1]:#*[=:,]$tab*})
        local -i none=1
        _nemo-jobs_offer found -S '' && none=0
        _nemo-jobs_offer same && none=0
        return none
        ;;
    files | folders)
        [[ -n $before ]] && compset -P "${(b)before}"
        if [[ $directive == folders ]]; then _files -/; else _files; fi
        ;;
    wrapped)
        shift $before words
        (( CURRENT -= before ))
        _normal
        ;;
    esac
}

_nemo-jobs_offer() {
    local name=$1 line
    local -a described
    shift
    for line in ${(P)name}; do
        described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    (( $#described )) || return 1
    _describe -t words word described "$@"
}

if [[ $funcstack[1] == _nemo-jobs ]]; then
    _nemo-jobs "$@"
elif (( $+functions[compdef] )); then
    compdef _nemo-jobs nemo-jobs
fi
"""


def script(tree: Tree) -> str:
    """Return the script for a command tree."""
    cases = []
    for path, (_, _, _, names) in tree.items():
        if names:
            rows = [f"        '{name}:{_quoted(tree[f'{path} {name}'.strip()][0])}'" for name in names]
            cases += [f"    {f'3:{path}' if path else '2:*'}) found=(", *rows, "    ) ;;"]
    return _SCRIPT.replace("@COMMANDS@", "\n".join(cases))


def _quoted(text: str) -> str:
    return text.replace("'", "'\\''")
