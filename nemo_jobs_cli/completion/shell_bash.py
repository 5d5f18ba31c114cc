"""Write the completion script of bash."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nemo_jobs_cli.completion.command_line import Tree

_SCRIPT = r"""# bash completion for nemo-jobs; made by `nemo-jobs completion bash`.
# Names of commands stand here. Anything else the program answers, from files of its own: never from the network.

((BASH_VERSINFO[0] >= 4)) || return 0 # macOS' own lacks mapfile and compopt

_nemo_jobs() {
    local IFS=$' \t\n' words=() line=${COMP_LINE:0:COMP_POINT} word gap at
    COMPREPLY=()
    # COMP_WORDBREAKS splits at = : and @, too: pieces without a gap between them are one word.
    for ((at = 0; at <= COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        gap=${line%%[![:space:]]*}
        line=${line#"$gap"}
        ((${#word} > ${#line})) && word=$line # the cursor stands in it
        line=${line:${#word}}
        if [[ $at == 0 || $gap ]]; then
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
    done

    local typed=${words[${#words[@]} - 1]} commands=
    case ${#words[@]}:${words[1]-} in
@COMMANDS@
    esac
    if [[ $commands && $typed != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$typed")
        return
    fi

    # An alias is no program. The console script of an older pip takes longer than the answer: ask its Python, and the
    # script itself only where that Python doesn't know us (a zip file).
    local tool=${words[0]} program=() answer=() call=(__complete bash "$COMP_WORDBREAKS" "${words[@]:1}")
    [[ $tool == '~/'* ]] && tool=${HOME-}${tool:1}
    tool=$(type -P -- "$tool") || tool=$(type -P nemo-jobs) || return 0
    [[ -f $tool ]] || return 0
    { IFS= read -r line <"$tool" || line=; } 2>/dev/null
    if [[ $line == '#!/'*/python* && $line != *' '* && -x ${line:2} ]]; then
        program=("${line:2}" -P -c 'from nemo_jobs_cli.__main__ import main; main()')
    else
        program=("$tool")
    fi

    mapfile -t answer < <({ "${program[@]}" "${call[@]}" || "$tool" "${call[@]}"; } </dev/null 2>/dev/null)
    ((${#answer[@]})) || return 0
    local directive=${answer[0]%%$'\t'*} before=${answer[0]#*$'\t'}
    case $directive in
    words)
        COMPREPLY=("${answer[@]:1}")
        case ${COMPREPLY[0]-} in *[=:,]) compopt -o nospace ;; esac
        ;;
    files | folders)
        local kind=f
        [[ $directive == folders ]] && kind=d
        if [[ ${answer[1]-} ]]; then # readline takes it for a part of the file's name
            mapfile -t words < <(compgen -"$kind" -- "${typed#"$before"}")
            for word in "${words[@]}"; do
                [[ -d $word ]] && word+=/ && compopt -o nospace
                printf -v word %q "$word"
                COMPREPLY+=("${answer[1]}$word")
            done
        elif [[ $kind == d ]]; then
            compopt -o dirnames
        else
            compopt -o default
        fi
        ;;
    wrapped)
        for ((at = 0; at < COMP_CWORD; at++)); do
            [[ ${COMP_WORDS[at]} == -- ]] && break
        done
        if declare -F _comp_command_offset >/dev/null; then
            _comp_command_offset $((at + 1))
        elif declare -F _command_offset >/dev/null; then
            _command_offset $((at + 1))
        elif ((COMP_CWORD == at + 1)); then
            mapfile -t COMPREPLY < <(compgen -c -- "$typed")
        else
            compopt -o default
        fi
        ;;
    esac
}

complete -F _nemo_jobs nemo-jobs
"""


def script(tree: Tree) -> str:
    """Return the script for a command tree."""
    below = {path: names for path, (_, _, _, names) in tree.items() if names}
    cases = [
        f"    {'2:*' if not path else f'3:{path}'}) commands={' '.join(names)!r} ;;" for path, names in below.items()
    ]
    return _SCRIPT.replace("@COMMANDS@", "\n".join(cases))
