# fish completion for s3ctl. Nothing that stands on the line is evaluated: quotes are taken off by string
# unescape, and fish quotes what is offered.

# Asks s3ctl, and returns false where fish is to offer files.
function __s3ctl_ask
    set -l words (commandline -opc)
    set -l token (commandline -ct | string collect)
    set -l word $token
    for closed in $token "$token\"" "$token'"
        if set -l plain (string unescape -- $closed 2>/dev/null | string collect)
            set word $plain
            break
        end
    end
    set -l program $words[1]
    command -sq -- $program; or set program s3ctl
    set -l reply ($program __complete $words[2..-1] "$word" 2>/dev/null)
    set -g __s3ctl_offered
    if not string match -qr '^:[0-9]+$' -- "$reply[-1]"
        return 0
    end
    set -l directive (string sub -s 2 -- $reply[-1])
    set -l flag (string match -r -- '^-.*?=' "$word")
    if test (count $reply) -gt 1
        set -g __s3ctl_offered "$flag"$reply[1..-2]
    end
    test (count $__s3ctl_offered) -gt 0; or test (math "floor($directive / 4) % 2") -eq 1
end

complete -c s3ctl -e
complete -c s3ctl -n __s3ctl_ask -f -a '$__s3ctl_offered'
