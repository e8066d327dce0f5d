#!/usr/bin/env bash
# tests/run.sh, in a tree that has nothing but stages which end at once: what becomes of their exit codes, and of a stage
# for which the time of the whole run is too short.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/tests/windows" "$work/tests/macos" "$work/cmake"
cp "$1/tests/run.sh" "$work/tests"
unset SLUICE_RUN_SECONDS

failed=0
fail() {
    printf 'FAILED: %s; the run printed:\n%s\n' "$1" "$output" >&2
    failed=1
}

# script <path> <exit code>
script() {
    printf '#!/bin/sh\necho "=== exit code %d"\nexit %d\n' "$2" "$2" >"$work/$1"
    chmod +x "$work/$1"
}

# run <expected exit code> <option>...
run() {
    local expected=$1 code=0
    shift
    output=$("$work/tests/run.sh" "$@" 2>&1) || code=$?
    [ "$code" -eq "$expected" ] || fail "exit code $code, not $expected"
}

# expect <regular expression>: a line of what was printed
expect() {
    grep -qE "^$1\$" <<<"$output" || fail "no line '$1'"
}

budget_of() {
    "$work/tests/run.sh" --list | awk -v name="$1" '$1 == name { print $3 }'
}

script cmake/setup.sh 0

# What a stage may end with.
script tests/windows/run.sh 0
script tests/macos/compile.sh 77
run 0 --stage windows --stage macos-compile
expect 'windows +windows +ok .*'
expect 'macos-compile +macos-compile +off .*-'
expect 'macos-compile +off .*'
expect '0 passed, 0 failed'
script tests/macos/compile.sh 1
run 1 --stage macos-compile
expect 'macos-compile +macos-compile +FAILED .*'
expect 'macos-compile +FAILED .*'
expect '0 passed, 1 failed'

# It is not begun when its budget does not fit into the time that is left, and that is no failure.
export SLUICE_RUN_SECONDS=0
run 0 --stage windows --stage macos-compile
expect "windows +windows +off +0 .*  off: [0-9]+ s of 0 used, budget $(budget_of windows)"
expect "macos-compile +macos-compile +off +0 .*  off: [0-9]+ s of 0 used, budget $(budget_of macos-compile)"
expect 'macos-compile +off .*'
expect '0 passed, 0 failed'
SLUICE_RUN_SECONDS=$(($(budget_of macos-compile) - 1))
run 0 --stage macos-compile
expect 'macos-compile .*  off: .*'
SLUICE_RUN_SECONDS=$(($(budget_of macos-compile) + 60))
run 1 --stage macos-compile
expect 'macos-compile +macos-compile +FAILED .*-'

# A platform's name asks for its stages.
SLUICE_RUN_SECONDS=0
for all in '' --all; do
    run 0 $all --platform windows --platform macos-compile
    expect 'windows +windows +off .*'
    expect 'macos-compile +macos-compile +off .*'
done

# Other platforms' stages are always begun.
run 0 --stage format
expect 'format +linux +ok .*'

SLUICE_RUN_SECONDS=much
run 2 --stage macos-compile
expect ".*wants a number, not 'much'"

[ "$failed" -ne 0 ] || echo "tests/run.sh does as it says"
exit "$failed"
