# bash completion for nemo-jobs; made by `nemo-jobs completion bash`.
# This script contains the names of commands; nemo-jobs completes the rest, from local files only.

((BASH_VERSINFO[0] >= 4)) || return 0 # bash 3.2 of macOS has no mapfile and compopt

_nemo_jobs() {
    local IFS=$' \t\n' words=() line=${COMP_LINE:0:COMP_POINT} word gap at
    COMPREPLY=()
    # COMP_WORDBREAKS splits words at = : and @: join the pieces that have no blank between them.
    for ((at = 0; at <= COMP_CWORD; at++)); do
        word=${COMP_WORDS[at]}
        gap=${line%%[![:space:]]*}
        line=${line#"$gap"}
        ((${#word} > ${#line})) && word=$line # the cursor is inside it
        line=${line:${#word}}
        if [[ $at == 0 || $gap ]]; then
            words+=("$word")
        else
            words[${#words[@]} - 1]+=$word
        fi
    done

    local typed=${words[${#words[@]} - 1]} commands=
    case ${#words[@]}:${words[1]-} in
    2:*) commands='update show logs list stream run apply outbox init config doctor completion sandbox' ;;
    3:outbox) commands='list show flush drop' ;;
    3:config) commands='list path get set unset use profiles' ;;
    3:completion) commands='bash zsh fish install uninstall' ;;
    esac
    if [[ $commands && $typed != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$typed")
        return
    fi

    # The command may be an alias. Starting the Python of the console script directly is faster than older pip's script;
    # if that Python cannot import the package (a zip file), run the script.
    local tool=${words[0]} program=() answer=() call=(__complete bash "$COMP_WORDBREAKS" "${words[@]:1}")
    # shellcheck disable=SC2088 # a ~ in quotes is what COMP_WORDS holds
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
        if [[ ${answer[1]-} ]]; then # readline takes this for a part of the file name
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
