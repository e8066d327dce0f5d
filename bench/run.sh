#!/usr/bin/env bash
# Builds the benchmark programs, runs bench/echo with the given arguments (its own --help says which there are) and draws
# the charts. Missing packages are installed first (cmake/setup.sh), the rivals among them.
# Results and charts: build/bench/, or beside the file that --json names.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

cmake/setup.sh build bench

if [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null; then
    export CMAKE_GENERATOR=Ninja
fi
if command -v ccache >/dev/null; then
    export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_BASEDIR=$root CCACHE_SLOPPINESS=pch_defines,time_macros
fi
mkdir -p build/logs
echo "building the benchmark programs"
if ! { cmake --preset release && cmake --build --preset release --target bench_all --parallel "$(nproc)"; } \
    >build/logs/bench.log 2>&1; then
    tail -n 60 build/logs/bench.log >&2
    echo "bench/run.sh: the build failed; the whole log is build/logs/bench.log" >&2
    exit 1
fi

results=build/bench/results.json
arguments=("$@")
for ((index = 0; index < $#; ++index)); do
    if [ "${arguments[index]}" = --json ] && ((index + 1 < $#)); then
        results=${arguments[index + 1]}
    elif [ "${arguments[index]}" = --help ]; then
        exec build/release/bench/echo --help
    fi
done
mkdir -p "$(dirname "$results")"

status=0
build/release/bench/echo "$@" --json "$results" || status=$?
if [ -s "$results" ]; then
    bench/chart.py "$results" --out "$(dirname "$results")"
fi
exit "$status"
