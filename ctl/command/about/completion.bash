# bash completion for s3ctl. Nothing that stands on the line is evaluated: s3ctl reads the line itself, and
# quotes what it offers for the place that it is put in.

_s3ctl()
{
    local program line first=
    COMPREPLY=()
    program=$(type -P -- "$1") || program=s3ctl
    while IFS= read -r line; do
        if [[ -z $first ]]; then
            first=$line
        else
            COMPREPLY+=("$line")
        fi
    done < <("$program" __complete-bash "${COMP_LINE:0:COMP_POINT}" "$2" "$COMP_TYPE" 2>/dev/null)
    if [[ $first == *nospace* ]]; then
        compopt -o nospace 2>/dev/null
    fi
    if [[ $first == *nofiles* ]]; then
        compopt +o default 2>/dev/null
    fi
}

complete -o default -F _s3ctl s3ctl
