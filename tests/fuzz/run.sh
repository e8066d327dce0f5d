#!/usr/bin/env bash
# Fuzzes: tests/fuzz/run.sh [--target tls_engine|http_request|proxy_header] [--seconds N] [--program FILE]
#
# The target tls_engine (the default) is the library's TLS engine, proxy_header its parser of PROXY headers, http_request
# the parser of the example file_server.
# Without --program it builds the target with the asan preset first. What is found is kept in
# build/fuzz (or beside the given program), in a folder for each target: `corpus` for inputs that reach new code,
# `crash-*` for those that break something. The tree's own corpus is read, never written.
set -euo pipefail

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
target=tls_engine
seconds=60
program=
while [[ $# -gt 0 ]]; do
    case $1 in
        --target) target=$2; shift 2 ;;
        --seconds) seconds=$2; shift 2 ;;
        --program) program=$2; shift 2 ;;
        *) echo "usage: $0 [--target tls_engine|http_request|proxy_header] [--seconds N] [--program FILE]" >&2; exit 2 ;;
    esac
done
case $target in
    tls_engine) corpus=$tree/tests/fuzz/corpus ;;
    proxy_header) corpus=$tree/tests/fuzz/proxy_header_corpus ;;
    http_request) corpus=$tree/tests/fuzz/http_request_corpus ;;
    *) echo "$0: there is no target '$target'" >&2; exit 2 ;;
esac

if [[ -z $program ]]; then
    cmake --preset asan -S "$tree"
    cmake --build "$tree/build/asan" --target "${target}_fuzz"
    program=$tree/build/asan/tests/${target}_fuzz
    found=$tree/build/fuzz/$target
else
    found=$(dirname "$program")/fuzz/$target
fi
mkdir -p "$found/corpus"
exec "$program" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="$found/" \
    "$found/corpus" "$corpus"
