#!/usr/bin/env bash
# Builds the library, its tests and the example echo_server for Windows on Linux, and runs them under Wine.
#
#   tests/windows/run.sh [--jobs N] [--junit FILE] [PROGRAM...]     default: all cores, every program
#
# cmake/setup.sh build windows installs the compiler and Wine and builds OpenSSL and GoogleTest, which are kept in
# ~/.cache/sluice/windows. The build is in build/windows, Wine's folder in build/wineprefix. Which programs there are
# stands in support.cmake; what cannot run under Wine, or on Windows, stands in not_applicable.txt with its reason, and is
# named in the result.
#
# Exit code: 0 all passed; 1 something did not; 2 wrong arguments; 77 nothing was done, because this machine cannot have
# the compiler, Wine or OpenSSL's source. The last line says why.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
wine=/usr/lib/wine/wine64
jobs=$(nproc)
junit=$root/build/windows/junit.xml
kept_alive=

step() {
    echo "=== $*"
}

switched_off() {
    step "switched off: $*"
    exit 77
}

usage() {
    sed -n '2,/^set -/p' "$here/run.sh" | sed -n 's/^# \{0,1\}//p'
}

install() {
    local code=0 program
    [ "$(uname -sm)" = 'Linux x86_64' ] || switched_off "Wine runs programs of this machine's processor, which is not x86_64"
    step "install what is missing"
    SLUICE_JOBS=$jobs "$root/cmake/setup.sh" build windows || code=$?
    [ "$code" -ne 77 ] || switched_off "OpenSSL's source package cannot be fetched"
    for program in "$wine" x86_64-w64-mingw32-g++-posix clang++-19 ld.lld-19 dpkg-source make perl; do
        command -v "$program" >/dev/null || switched_off "$program cannot be installed here"
    done
    return "$code"
}

# To one core: each call is a message to Wine's server, and the wake-ups of two cores take several times as long.
pin() {
    local core
    core=$(taskset -cp $$ | sed 's/.*: //; s/[-,].*//')
    taskset -cp "$core" $$ >/dev/null
}

# One program of Wine stays, or the services that the first test starts would hold its output open, and the server of
# Wine would end and start again between two programs.
start_wine() {
    step "start Wine"
    local log=build/windows/wineboot.log
    # In one of fifty starts it ended with an error and without a word, and started the next time.
    if ! "$wine" wineboot -i >"$log" 2>&1; then
        step "start Wine again, which has failed: $(tail -n 1 "$log")"
        "$wine" wineboot -i >"$log" 2>&1
    fi
    # An edition for servers: those for clients do without TransmitFile.
    "$wine" reg add 'HKLM\System\CurrentControlSet\Control\ProductOptions' /v ProductType /d ServerNT /f >>"$log" 2>&1
    coproc "$wine" cmd >/dev/null 2>&1
    kept_alive=${COPROC[1]}
}

stop_wine() {
    if [ -n "$kept_alive" ]; then
        exec {kept_alive}>&-
        kept_alive=
        timeout 20 /usr/lib/wine/wineserver64 -w || timeout 20 /usr/lib/wine/wineserver64 -k || true
    fi
}

main() {
    while [ $# -gt 0 ]; do
        case $1 in
        --jobs)
            jobs=${2:?--jobs wants a number}
            shift
            ;;
        --junit)
            junit=${2:?--junit wants a file}
            shift
            ;;
        --help | -h)
            usage
            return
            ;;
        -*)
            usage >&2
            return 2
            ;;
        *) break ;;
        esac
        shift
    done

    cd "$root"
    install
    step "configure windows"
    cmake --preset windows
    step "build windows"
    cmake --build --preset windows --parallel "$jobs" --target windows_tests

    export WINEPREFIX=$root/build/wineprefix WINEDEBUG=-all SLUICE_PATIENCE_FACTOR=6
    unset DISPLAY
    trap stop_wine EXIT
    pin
    start_wine
    step "test under $("$wine" --version)"
    python3 -B "$here/run_programs.py" "$wine" build/windows "$here/not_applicable.txt" "$junit" "$@"
}

main "$@" </dev/null
