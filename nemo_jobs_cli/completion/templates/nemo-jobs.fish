# fish completion for nemo-jobs; made by `nemo-jobs completion fish`.
# This script contains the names of commands; nemo-jobs completes the rest, from local files only.

function __nemo_jobs_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    if not string match -q -- '-*' $typed
        switch (count $words):$words[2]
            # @COMMANDS@
        end
    end

    # The command may be an alias. Starting the Python of the console script directly is faster than older pip's script;
    # if that Python cannot import the package (a zip file), run the script.
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
            # fish completes the file, with its ~, variables and quotes; put the prefix before each.
            set -l rest (string sub -s (math (string length -- "$directive[2]") + 1) -- "$typed")
            for file in (complete -C ": $rest")
                test $directive[1] = files; or string match -q -- '*/' $file
                and printf '%s\n' "$directive[2]$file"
            end
        case wrapped
            set -l first (math $directive[2] + 1)
            set -l other (string escape -- $words[$first..-1]) "$typed"
            string match -q -- '*(*' $other[1]; and return # fish would run the command in it
            complete -C (string join ' ' -- $other)
    end
end

complete -c nemo-jobs -f -a '(__nemo_jobs_complete)'
