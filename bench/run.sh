#!/usr/bin/env bash
# Builds the benchmark programs, runs bench/echo with the given arguments (its own --help says which there are) and draws
# the charts. Missing packages are installed first (cmake/setup.sh), the rivals among them.
# Results and charts: build/bench/, or beside the file that --json names. With --docs those that README and docs show are
# also put into docs/images, where they replace the ones of an earlier run.
# With --sendfile it runs bench/sendfile in place of bench/echo, with the other arguments (`--sendfile --help`), and draws
# nothing; nginx is then fetched if it is not installed. With --udp it runs bench/udp the same way (`--udp --help`).
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

driver=build/release/bench/echo
results=build/bench/results.json
arguments=()
for_docs=no
for_files=no
if [[ " $* " == *" --sendfile "* ]]; then
    for_files=yes
    driver=build/release/bench/sendfile
    results=build/bench/sendfile.json
fi
for_datagrams=no
if [[ " $* " == *" --udp "* ]]; then
    for_datagrams=yes
    driver=build/release/bench/udp
    results=build/bench/udp.json
fi
while (($# > 0)); do
    case $1 in
        --docs) for_docs=yes ;;
        --sendfile | --udp) ;;
        --json)
            if (($# < 2)); then
                echo "bench/run.sh: --json: a value is missing" >&2
                exit 2
            fi
            results=$2
            shift
            ;;
        --help)
            "$driver" --help
            echo "Of bench/run.sh itself:"
            echo "  --docs              also put the charts that the documentation shows into docs/images"
            echo "  --sendfile          measure file servers; its options: --sendfile --help"
            echo "  --udp               measure the echo of datagrams; its options: --udp --help"
            exit 0
            ;;
        *) arguments+=("$1") ;;
    esac
    shift
done
mkdir -p "$(dirname "$results")"

if [ "$for_files" = yes ]; then
    # Without it there is nothing to compare with, but still something to measure.
    if nginx=$(bench/rivals/fetch_nginx.sh); then
        arguments+=(--nginx "$nginx")
    fi
    exec "$driver" "${arguments[@]}" --json "$results"
fi

if [ "$for_datagrams" = yes ]; then
    exec "$driver" "${arguments[@]}" --json "$results"
fi

status=0
"$driver" "${arguments[@]}" --json "$results" || status=$?
if [ -s "$results" ]; then
    bench/chart.py "$results" --out "$(dirname "$results")"
    if [ "$for_docs" = yes ]; then
        bench/chart.py "$results" --only cpu,latency,curve,memory,handshakes --no-png --out docs/images
    fi
fi
exit "$status"
