#!/usr/bin/env bash
# Runs seeds of the simulation: random programs on simulated system calls, judged by an oracle.
#
#   tests/simulate.sh [--first-seed N] [--seeds M] [--backend B] [--transport T] [--preset P] [option...]
#
#   --first-seed N   where to begin (default 1)
#   --seeds M        how many (default 10000)
#   --backend B      epoll or io_uring; without it every second seed runs on io_uring
#   --transport T    tcp, the only one so far
#   --preset P       the build to use, e.g. asan (default release); what is missing is built first
#   --verbose        the program, and a line per system call and callback
#   --apart          each seed in a process of its own, so that a crash is shrunk as well
#   --without OP     leaves an operation (write_releasing, abort, ...) out of all programs
#
# The first seed that fails ends the run, with exit code 1: it is printed with the command that replays it, then shrunk
# to the smallest program that still fails in the same way. The same seed does the same on every machine.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script=$root/tests/simulate.sh
preset=release

build() {
    local log=$root/build/logs/simulate.log
    mkdir -p "$root/build/logs"
    if [ -z "${CMAKE_GENERATOR:-}" ] && [ ! -f "$root/build/$preset/CMakeCache.txt" ] && command -v ninja >/dev/null; then
        export CMAKE_GENERATOR=Ninja
    fi
    if ! (cd "$root" && cmake --preset "$preset" &&
        cmake --build --preset "$preset" --parallel "${SLUICE_JOBS:-$(nproc)}" --target simulation_test) >"$log" 2>&1; then
        tail -n 40 "$log"
        echo "tests/simulate.sh: the build failed; all of it stands in ${log#"$root"/}" >&2
        return 2
    fi
}

main() {
    local first=1 seeds=10000 options=()
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h)
            sed -n '2,/^set -/p' "$script" | sed -n 's/^# \{0,1\}//p'
            return
            ;;
        --verbose | --apart) options+=("$1") ;;
        --first-seed | --seeds | --preset | --backend | --transport | --without)
            if [ $# -lt 2 ]; then
                echo "tests/simulate.sh: $1 wants a value" >&2
                return 2
            fi
            case $1 in
            --first-seed) first=$2 ;;
            --seeds) seeds=$2 ;;
            --preset) preset=$2 ;;
            *) options+=("$1" "$2") ;;
            esac
            shift
            ;;
        *)
            echo "tests/simulate.sh: $1 is unknown; see --help" >&2
            return 2
            ;;
        esac
        shift
    done
    build
    "$root/build/$preset/tests/simulation_test" --first-seed "$first" --seeds "$seeds" "${options[@]}"
}

main "$@" </dev/null
