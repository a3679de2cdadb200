#compdef s3ctl
# zsh completion for s3ctl. Nothing that stands on the line is evaluated: quotes are taken off with (Q), and
# compadd quotes what is offered.

_s3ctl()
{
    emulate -L zsh
    local program=${(Q)words[1]} word=${(Q)PREFIX} line value
    local -a reply values shown
    local -i directive
    case $compstate[quote] in
    \') word=$PREFIX ;;
    \") word=${PREFIX//(#m)\\[\\\"\$\`]/${MATCH[2]}} ;;
    esac
    [[ -n $program ]] && whence -p -- "$program" >/dev/null || program=s3ctl
    reply=("${(@f)$("$program" __complete "${(@Q)words[2,CURRENT-1]}" "$word" 2>/dev/null)}")
    [[ $reply[-1] == :<-> ]] || return 1
    directive=${reply[-1]#:}
    for line in "${(@)reply[1,-2]}"; do
        value=${line%%$'\t'*}
        [[ -n $value ]] || continue
        values+=("$value")
        if [[ $line == *$'\t'* ]]; then
            shown+=("$value  -- ${line#*$'\t'}")
        else
            shown+=("$value")
        fi
    done
    if [[ $word == -*=* ]]; then
        compset -P '*='
    fi
    if (( $#values )); then
        if (( directive & 2 )); then
            compadd -l -S '' -d shown -a values
        else
            compadd -l -d shown -a values
        fi
        return
    fi
    (( directive & 4 )) && return 1
    _files
}

if [[ $funcstack[1] == _s3ctl ]]; then
    _s3ctl "$@"
else
    compdef _s3ctl s3ctl
fi
