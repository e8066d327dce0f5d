#!/usr/bin/env bash
# Builds Sluice and runs its tests.
#
#   tests/run.sh                  every platform: Linux by the machine's default compiler, kqueue over its emulation
#   tests/run.sh --all            every stage: other compiler, sanitizers, other forms of the library, package, style
#   tests/run.sh --platform NAME  linux, kqueue, windows or macos-compile (the last two only with --all or when asked
#                                 for): of these stages that platform's only (may be given more than once)
#   tests/run.sh --stage NAME     that stage only (may be given more than once)
#   tests/run.sh --list           the stages, with their platforms and time budgets
#
# Missing packages are installed first (cmake/setup.sh). Each stage builds in build/<preset> and logs to
# build/logs/<stage>.log; a failed stage does not stop the next. At the end stands a table with a line per stage, then
# one with a line per platform, and after them the line "N passed, N failed". SLUICE_JOBS sets the number of parallel
# jobs (default: all cores).
# With --all the release stage simulates 100000 seeds instead of 10000; SLUICE_SIMULATION_SEEDS sets another number
# (tests/simulate.sh runs the simulation alone), and 20000 seeds of the races instead of 2000.
# SLUICE_RUN_SECONDS limits a whole run: of the platforms windows and macos-compile, the last, no stage is begun whose
# budget does not fit into what is left. Its line in the table says so.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
script=$root/tests/run.sh
logs=$root/build/logs
jobs=${SLUICE_JOBS:-$(nproc)}

# name | seconds it may take | when, if not always: all (with --all), asked (by platform), never (by name) | platform | what it does
stages() {
    cat <<'TABLE'
release|1200||linux|g++ (the default compiler), optimised: all tests, examples and benchmark programs
kqueue|1200||kqueue|every suite over a loop, on the kqueue backend over an emulation, clang 19, with assertions
clang|1200|all|linux|clang 19, optimised, no precompiled headers: builds without a warning and passes
asan|1500|all|linux|clang 19 with AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer
tsan|1500|all|linux|clang 19 with ThreadSanitizer
header-only|900|all|linux|tests and examples on sluice::header_only, clang 19, with assertions
shared|900|all|linux|tests of the public API on the shared library
package|600|all|linux|consumers outside the tree: installed, fetched, copied, pkg-config, header-only, shared
ktls|1500|all|linux|tests on a kernel that does TLS, in User Mode Linux (tests/ktls/run.sh); fails when that kernel seals nothing
format|60|all|linux|clang-format over every source file
docs|120|all|linux|the API reference; a public name without a description fails
tidy|1500|all|linux|clang-tidy over the library, the examples and the benchmarks
windows|1000|all asked|windows|library, tests and echo example cross-built by mingw-w64 and clang 19, run under Wine (tests/windows/run.sh)
macos-compile|1000|all asked|macos-compile|library, tests and examples compiled and linked for macOS, arm64 and x86_64 (tests/macos/compile.sh); nothing is run
coverage|1800|never|linux|line coverage by gcov; only when asked for by name
TABLE
}

stage_field() { # stage_field <name> <column>
    stages | awk -F '|' -v name="$1" -v column="$2" '$1 == name { print $column }'
}

platforms() {
    stages | cut -d '|' -f 4 | awk '!seen[$0]++'
}

# --- Inside a stage: these run in a process of their own, under the stage's time budget. ------------------------------

step() {
    echo "=== $*"
}

build() { # build <preset>
    step "configure $1"
    cmake --preset "$1"
    step "build $1"
    cmake --build --preset "$1" --parallel "$jobs"
}

run_tests() { # run_tests <preset> <ctest option>...
    local preset=$1
    shift
    step "test $preset"
    local report=$logs/$SLUICE_STAGE.xml cases=build/$preset/cases code=0
    rm -rf "$cases"
    ctest --preset "$preset" --parallel "$jobs" --output-junit "$report" "$@" || code=$?
    python3 -B tests/tools/merge_reports.py "$report" "$cases"
    return "$code"
}

source_files() {
    find include src tests bench examples \( -name '*.hpp' -o -name '*.ipp' -o -name '*.cpp' \) | sort
}

stage_build_and_test() {
    build "$1"
    # The suites per transport know one thread, which is slow to watch: io_uring's columns are TCP and TLS over it. The
    # suites of the loop, of threads and of io_uring itself have all.
    if [ "$1" = tsan ]; then
        export GTEST_FILTER='-*/io_uring_unix_*:*/io_uring_tls_over_*:*/io_uring_tls_in_*:*/io_uring_ktls_*'
    fi
    run_tests "$1" --label-exclude '^(package|shared)$'
}

stage_shared() {
    step "configure release"
    cmake --preset release
    step "build the shared library and link the tests with it"
    cmake --build --preset release --parallel "$jobs" --target shared_tests
    run_tests release --label-regex '^shared$'
}

stage_package() {
    build release
    run_tests release --label-regex '^package$'
}

stage_ktls() {
    step "configure release"
    cmake --preset release
    step "build what runs in the guest"
    cmake --build --preset release --parallel "$jobs" --target ktls_tests
    step "test in the guest"
    tests/ktls/run.sh --build build/release --junit "$logs/$SLUICE_STAGE.xml"
}

stage_format() {
    local files
    mapfile -t files < <(source_files)
    step "format ${#files[@]} files"
    clang-format-19 --dry-run -Werror "${files[@]}"
}

stage_tidy() {
    step "configure clang"
    cmake --preset clang
    # Headers are read where a source file includes them.
    step "tidy the library, the examples and the benchmarks"
    python3 -B tests/tools/tidy.py build/clang "$root" "$jobs" src examples bench
    step "configure kqueue"
    cmake --preset kqueue
    step "tidy the kqueue backend"
    python3 -B tests/tools/tidy.py build/kqueue "$root" "$jobs" src/kqueue.cpp src/sys_kqueue.cpp tests/kqueue/kqueue.cpp
}

stage_docs() {
    step "configure release"
    cmake --preset release
    step "API reference"
    cmake --build --preset release --target docs
}

stage_coverage() {
    build coverage
    run_tests coverage
    step "coverage"
    # Debian's gcovr belongs to Debian's Python.
    /usr/bin/python3 -B tests/tools/coverage_report.py --root "$root" --filter include/sluice/ --filter src/ \
        --object-directory build/coverage --print-summary --txt build/logs/coverage.txt build/coverage
}

run_stage_here() {
    cd "$root"
    export SLUICE_STAGE=$1
    # The compiler and the tests are told nothing by the caller's shell that a fresh machine would not tell them.
    unset SLUICE_BACKEND
    if [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null; then
        export CMAKE_GENERATOR=Ninja
    fi
    if command -v ccache >/dev/null; then
        export CMAKE_CXX_COMPILER_LAUNCHER=ccache
        # What ccache needs to be told to accept precompiled headers; the base folder lets two clones share, and the last
        # one what has debug information, too, which names the folder it was made in.
        export CCACHE_SLOPPINESS=pch_defines,time_macros CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
    fi
    # Sanitizer reports name functions and lines only when the symbolizer is found.
    local symbolizer
    if symbolizer=$(command -v llvm-symbolizer-19); then
        export ASAN_SYMBOLIZER_PATH=$symbolizer TSAN_SYMBOLIZER_PATH=$symbolizer UBSAN_SYMBOLIZER_PATH=$symbolizer
    fi
    if [ "$1" != release ]; then
        unset SLUICE_SIMULATION_SEEDS SLUICE_RACE_SEEDS
    fi
    if [ "$1" = kqueue ]; then
        # Not optimised, they take several times as long.
        export SLUICE_SIMULATION_SEEDS=2000
    fi
    case $1 in
    shared | package | ktls | format | docs | tidy | coverage) "stage_$1" ;;
    windows) tests/windows/run.sh --jobs "$jobs" --junit "$logs/$SLUICE_STAGE.xml" ;;
    macos-compile) tests/macos/compile.sh --jobs "$jobs" ;;
    *) stage_build_and_test "$1" ;;
    esac
}

# --- Outside: one stage after the other, progress, table. -------------------------------------------------------------

running_pid=
stop_running_stage() {
    if [ -n "$running_pid" ]; then
        # `timeout` passes the signal on to the stage's whole process group.
        kill -TERM "$running_pid" 2>/dev/null || true
        running_pid=
    fi
}

# Waits for the running stage; shows its steps as they come, and every quarter of a minute how far it got.
watch_stage() { # watch_stage <name> <log>
    local name=$1 log=$2 shown=0 quiet=0 alive=1 steps
    while [ "$alive" -eq 1 ]; do
        if kill -0 "$running_pid" 2>/dev/null; then
            sleep 0.5
        else
            alive=0 # one more look at the log
        fi
        quiet=$((quiet + 1))
        steps=$(grep -c '^=== ' "$log" || true)
        if [ "$steps" -gt "$shown" ]; then
            grep '^=== ' "$log" | tail -n "+$((shown + 1))" | sed 's/^=== /    /'
            shown=$steps
            quiet=0
        elif [ "$quiet" -ge 30 ]; then
            printf '    %s: %s\n' "$name" "$(tail -n 1 "$log" | cut -c 1-110)"
            quiet=0
        fi
    done
}

junit_attribute() { # junit_attribute <file> <attribute>
    local value=
    [ ! -f "$1" ] || value=$(sed -n '/<testsuite/,/>/p' "$1" | tr '\n' ' ' | sed -n "s/.*[[:space:]]$2=\"\([0-9]*\)\".*/\1/p")
    echo "${value:-0}"
}

table=()
add_row() { # add_row <name> <result> <seconds> <passed> <failed> <skipped> [<remark>]
    table+=("$(printf '%-13s %-13s %-8s %7d %7s %7s %7s' "$1" "$(stage_field "$1" 4)" "${@:2:5}")${7:+  $7}")
}

# Fails if the stage may be begun; else says why it may not.
no_time_for() { # no_time_for <name>
    local limit=${SLUICE_RUN_SECONDS:-} used=$SECONDS budget
    case $(stage_field "$1" 4) in
    windows | macos-compile) ;;
    *) return 1 ;;
    esac
    budget=$(stage_field "$1" 2)
    if [ -z "$limit" ] || [ $((used + budget)) -le "$limit" ]; then
        return 1
    fi
    echo "off: $used s of $limit used, budget $budget"
}

total_passed=0 total_failed=0 total_skipped=0 any_failed=0
run_stage() { # run_stage <name>
    local name=$1 log=$logs/$1.log report=$logs/$1.xml budget started seconds result=ok code=0
    local tests failed skipped passed counts=('-' '-' '-')
    budget=$(stage_field "$name" 2)
    printf '%s: %s (at most %d s)\n' "$name" "$(stage_field "$name" 5)" "$budget"
    rm -f "$report"
    : >"$log"
    started=$SECONDS
    timeout --kill-after=10 "$budget" bash "$script" --inside "$name" >"$log" 2>&1 &
    running_pid=$!
    watch_stage "$name" "$log"
    wait "$running_pid" || code=$?
    running_pid=
    seconds=$((SECONDS - started))

    failed=0
    if [ -f "$report" ]; then
        tests=$(junit_attribute "$report" tests)
        failed=$(junit_attribute "$report" failures)
        skipped=$(($(junit_attribute "$report" skipped) + $(junit_attribute "$report" disabled)))
        passed=$((tests - failed - skipped))
        counts=("$passed" "$failed" "$skipped")
        total_passed=$((total_passed + passed))
        total_failed=$((total_failed + failed))
        total_skipped=$((total_skipped + skipped))
    fi
    if [ "$code" -eq 77 ]; then
        # Its last step has said why this machine cannot run it.
        result=off
    elif [ "$code" -ne 0 ]; then
        any_failed=1
        result=FAILED
        if [ "$code" -eq 124 ] || [ "$code" -eq 137 ]; then
            result=TIMEOUT
        fi
        # A stage that failed in another way than by a test must not end in "0 failed".
        [ "$failed" -ne 0 ] || total_failed=$((total_failed + 1))
        printf -- '--- %s, the end of %s:\n' "$result" "${log#"$root"/}"
        tail -n 60 "$log"
        echo '---'
    fi
    printf '    %s in %d s\n' "$result" "$seconds"
    add_row "$name" "$result" "$seconds" "${counts[@]}"
}

# A platform failed if a stage of it did; its numbers are its stages' sums.
platform_rows() {
    printf '%s\n' "${table[@]}" | awk '
        !($2 in result) { order[++count] = $2 }
        result[$2] == "" || $3 != "ok" { result[$2] = $3 }
        { seconds[$2] += $4; passed[$2] += $5; failed[$2] += $6; skipped[$2] += $7 }
        END {
            for (i = 1; i <= count; ++i) {
                name = order[i]
                printf "%-27s %-8s %7d %7d %7d %7d\n", name, result[name], seconds[name], passed[name], failed[name], skipped[name]
            }
        }'
}

print_summary() {
    printf '\n%-13s %-13s %-8s %7s %7s %7s %7s\n' stage platform result seconds passed failed skipped
    printf '%s\n' "${table[@]}"
    printf '\n%-27s %-8s %7s %7s %7s %7s\n' platform result seconds passed failed skipped
    platform_rows
    printf '\n%d passed, %d failed' "$total_passed" "$total_failed"
    [ "$total_skipped" -eq 0 ] || printf ', %d skipped' "$total_skipped"
    echo
}

usage() {
    sed -n '2,/^set -/p' "$script" | sed -n 's/^# \{0,1\}//p'
}

main() {
    local wanted=() only=() all=0
    while [ $# -gt 0 ]; do
        case $1 in
        --all) all=1 ;;
        --list)
            stages | awk -F '|' '{ printf "%-13s %-13s %4d s  %s\n", $1, $4, $2, $5 }'
            return
            ;;
        --platform)
            if ! platforms | grep -qx -- "${2:-}"; then
                echo "tests/run.sh: --platform wants one of: $(platforms | xargs)" >&2
                return 2
            fi
            only+=("$2")
            shift
            ;;
        --stage)
            if [ -z "$(stage_field "${2:-}" 1)" ]; then
                echo "tests/run.sh: --stage wants one of: $(stages | cut -d '|' -f 1 | xargs)" >&2
                return 2
            fi
            wanted+=("$2")
            shift
            ;;
        --inside)
            run_stage_here "$2"
            return
            ;;
        --help | -h)
            usage
            return
            ;;
        *)
            usage >&2
            return 2
            ;;
        esac
        shift
    done

    if [[ ! ${SLUICE_RUN_SECONDS:-0} =~ ^[0-9]+$ ]]; then
        echo "tests/run.sh: SLUICE_RUN_SECONDS wants a number, not '$SLUICE_RUN_SECONDS'" >&2
        return 2
    fi
    if [ ${#wanted[@]} -gt 0 ] && [ ${#only[@]} -gt 0 ]; then
        echo "tests/run.sh: --stage and --platform exclude each other" >&2
        return 2
    fi
    # The sanitizers' compiler is the one of the kqueue stage, too.
    local sets=(build tests sanitizers)
    if [ ${#wanted[@]} -gt 0 ] || [ "$all" -eq 1 ]; then
        sets+=(docs)
    fi
    if [ ${#wanted[@]} -eq 0 ]; then
        if [ "$all" -eq 1 ]; then
            export SLUICE_SIMULATION_SEEDS=${SLUICE_SIMULATION_SEEDS:-100000}
            export SLUICE_RACE_SEEDS=${SLUICE_RACE_SEEDS:-20000}
        fi
        mapfile -t wanted < <(stages | awk -F '|' -v all="$all" -v only=" ${only[*]} " '
            {
                asked = index(only, " " $4 " ")
                if (($3 == "" || (all && $3 ~ /all/) || (asked && $3 ~ /asked/)) && (asked || only ~ /^ *$/)) print $1
            }')
    fi
    "$root/cmake/setup.sh" "${sets[@]}"

    mkdir -p "$logs"
    trap stop_running_stage EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    local name remark
    for name in "${wanted[@]}"; do
        if remark=$(no_time_for "$name"); then
            printf '%s: %s\n' "$name" "$remark"
            add_row "$name" off 0 - - - "$remark"
        else
            run_stage "$name"
        fi
    done
    print_summary
    return "$any_failed"
}

main "$@" </dev/null
