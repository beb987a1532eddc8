# Sourced by `tests/run` and `.ci/run`: runs a script part by part, keeps what each one took, and
# brings the tools and real parts that it needs. A part that fails does not hide the next one; the
# script exits non-zero when any failed.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
tools=$target/tools
failed=()
# Shared with a script that this one calls, so that its parts stand in the outer table too.
if [ -z "${PARTS_TIMES:-}" ]; then
    mkdir -p "$target"
    PARTS_TIMES=$(mktemp "$target/parts.XXXXXX")
    export PARTS_TIMES
    trap 'rm -f "$PARTS_TIMES"' EXIT
    outermost=1
    indent=
else
    outermost=0
    indent='  '
fi

# part NAME COMMAND...: runs it, takes its time, remembers its failure.
#
# The command runs in a subshell of its own with `set -e`, outside every condition: inside an `if`
# or before an `||` bash would ignore the option, and a failing line in the middle of a function
# would go unseen.
part() {
    local name=$1 begun=$SECONDS status
    shift
    printf '\n== %s\n' "$name"
    set +e
    (
        set -euo pipefail
        "$@"
    )
    status=$?
    set -e
    local took=$((SECONDS - begun)) verdict=ok
    if [ "$status" -ne 0 ]; then
        verdict="FAILED ($status)"
        failed+=("$name")
    fi
    printf '%s\t%s\t%s\n' "$took" "$indent$name" "$verdict" >>"$PARTS_TIMES"
    printf '== %s: %s after %s s\n' "$name" "$verdict" "$took"
}

# The table of where the time went, then every part that failed, by name.
report() {
    if [ "$outermost" = 1 ]; then
        printf '\nwhere the time went\n'
        awk -F'\t' '{ printf "%6d s  %-34s %s\n", $1, $2, $3 }' "$PARTS_TIMES"
        printf '%6d s  all of it\n' "$SECONDS"
    fi
    local name
    for name in "${failed[@]}"; do printf 'FAILED: %s\n' "$name"; done
}

# need COMMAND PACKAGE: the command is there, or Debian's package of it is installed, or the script
# ends with its name.
need() {
    command -v "$1" >/dev/null && return 0
    apt_install "$2"
    command -v "$1" >/dev/null || missing "$1" "package $2 was installed and does not bring it"
}

apt_install() {
    local as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    command -v apt-get >/dev/null || missing "$1" "this system has no apt-get: install it by hand"
    printf 'installing %s\n' "$1"
    export DEBIAN_FRONTEND=noninteractive
    "${as_root[@]}" apt-get install -qq -y --no-install-recommends "$1" >/dev/null 2>&1 ||
        { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -qq -y --no-install-recommends "$1" >/dev/null; } ||
        missing "$1" "it cannot be installed"
}

missing() {
    printf 'missing: %s (%s)\n' "$1" "$2" >&2
    exit 1
}

# tool NAME VERSION: a checking tool at exactly this version, as a program in $tools/bin. They come
# as built binaries in Python packages, so nothing is compiled.
tool() {
    [ -e "$tools/$1-$2" ] && return 0
    need python3 python3
    python3 -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
    [ -x "$tools/bin/python3" ] || python3 -m venv "$tools" || missing "$1" "no virtual environment for it"
    "$tools/bin/python3" -m pip install -q "astral-dev-toolchain-$1==$2" || missing "$1" "version $2 cannot be installed"
    touch "$tools/$1-$2"
}
