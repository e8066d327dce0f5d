#!/usr/bin/env bash
# Fuzzes the TLS engine: tests/fuzz/run.sh [--seconds N] [--program FILE]
#
# Without --program it builds the target with the asan preset first. What is found is kept in
# build/fuzz (or beside the given program): `corpus` for inputs that reach new code, `crash-*` for
# those that break something. The tree's own corpus is read, never written.
set -euo pipefail

tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
seconds=60
program=
while [[ $# -gt 0 ]]; do
    case $1 in
        --seconds) seconds=$2; shift 2 ;;
        --program) program=$2; shift 2 ;;
        *) echo "usage: $0 [--seconds N] [--program FILE]" >&2; exit 2 ;;
    esac
done

if [[ -z $program ]]; then
    cmake --preset asan -S "$tree"
    cmake --build "$tree/build/asan" --target tls_engine_fuzz
    program=$tree/build/asan/tests/tls_engine_fuzz
    found=$tree/build/fuzz
else
    found=$(dirname "$program")/fuzz
fi
mkdir -p "$found/corpus"
exec "$program" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
    -print_final_stats=1 -verbosity=0 -artifact_prefix="$found/" \
    "$found/corpus" "$tree/tests/fuzz/corpus"
