# fish completion for nemo-jobs; made by `nemo-jobs completion fish`.
# This script contains the names of commands; nemo-jobs completes the rest, from local files only.

function __nemo_jobs_complete
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    if not string match -q -- '-*' $typed
        switch (count $words):$words[2]
            case '1:*'
                printf '%s\t%s\n' update 'Set keys in a job\'s status details'
                printf '%s\t%s\n' show 'Show a job: its state on the platform and the reported details'
                printf '%s\t%s\n' logs 'Print the log of a job, once or until it ends'
                printf '%s\t%s\n' list 'List the jobs of a workspace, newest first'
                printf '%s\t%s\n' stream 'Turn lines into updates of one job'
                printf '%s\t%s\n' run 'Run COMMAND and report its progress and whether it completed or failed'
                printf '%s\t%s\n' apply 'Send many updates of many jobs from a file'
                printf '%s\t%s\n' outbox 'List, deliver or drop the updates that --outbox has stored'
                printf '%s\t%s\n' init 'Ask for host, workspace and token, test them, and write a profile'
                printf '%s\t%s\n' config 'Show settings and their sources; edit profiles'
                printf '%s\t%s\n' doctor 'Check settings, connection, token, permissions and outbox'
                printf '%s\t%s\n' completion 'Set up TAB completion for bash, zsh and fish'
                printf '%s\t%s\n' sandbox 'Run a local server that behaves like NeMo Platform 0.6.0'
                return
            case '2:outbox'
                printf '%s\t%s\n' list 'List the entries for all hosts, oldest first'
                printf '%s\t%s\n' show 'Print one entry as JSON'
                printf '%s\t%s\n' flush 'Deliver the entries for the configured host'
                printf '%s\t%s\n' drop 'Delete entries without delivering them'
                return
            case '2:config'
                printf '%s\t%s\n' list 'List the settings with their values and sources; secrets are masked'
                printf '%s\t%s\n' path 'Print the path of the config file, even if it does not exist'
                printf '%s\t%s\n' get 'Print the current value of a setting; a token is masked'
                printf '%s\t%s\n' set 'Set KEY in a profile of the config file'
                printf '%s\t%s\n' unset 'Remove KEY from a profile of the config file'
                printf '%s\t%s\n' use 'Make PROFILE the default profile'
                printf '%s\t%s\n' profiles 'List the profiles; * marks the default'
                return
            case '2:completion'
                printf '%s\t%s\n' bash 'Print the script for bash'
                printf '%s\t%s\n' zsh 'Print the script for zsh'
                printf '%s\t%s\n' fish 'Print the script for fish'
                printf '%s\t%s\n' install 'Install the script in a folder that the shell searches'
                printf '%s\t%s\n' uninstall 'Remove the script and the lines of `install` in the startup file'
                return
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
