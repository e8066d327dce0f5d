#!/usr/bin/env bash
# Runs tests under a Linux kernel that can do TLS, whatever the machine's own kernel can: in a guest.
#
#   tests/ktls/run.sh [--vm uml|qemu] [--build DIR] [--limit SECONDS] [--junit FILE] [-- COMMAND...]
#
#   --vm uml         User Mode Linux (default): starts within two seconds, one processor, and no sanitizer but UBSan
#   --vm qemu        QEMU without hardware support and Debian's kernel, which is downloaded once to
#                    ~/.cache/sluice (XDG_CACHE_HOME): slower, two processors, runs what ASan and TSan made
#   --build DIR      a build that has the target ktls_tests (default build/release; with qemu build/asan)
#   --limit SECONDS  what the tests may take in the guest (default 600)
#   --junit FILE     the results once more, for other programs
#   -- COMMAND...    runs this instead of the tests that DIR/tests/ktls_tests.txt lists; its exit code is the result
#
# The guest sees the files of this machine, read-only, under the same paths, and has a loopback and nothing else. Tests
# find KTLS_VM=1 in the environment, and SLUICE_PATIENCE_FACTOR, because system calls cost hundreds of times more there.
# What the guest printed and wrote is in DIR/ktls-uml or DIR/ktls-qemu. Only that folder is writable, and, in the guest's
# memory, /tmp and /run.
#
# Exit code: 0 all is well; 1 a test failed, none ran, or the kernel sealed nothing, which would make all of them tests
# of the fallback; 2 wrong arguments or a missing build; 125 the guest did not start, died or hung, twice.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
boot_seconds=120
# Given to a guest that is past its limit to write down what it has.
grace_seconds=60

vm=uml build='' limit=600 junit='' out='' vm_pid='' viewer_pid='' trouble=''
command=()

refuse() {
    echo "tests/ktls/run.sh: $*" >&2
    exit 2
}

usage() {
    sed -n '2,/^set -/p' "$here/run.sh" | sed -n 's/^# \{0,1\}//p'
}

# Waits for the guest to end, returns its exit code.
collect_guest() {
    local code=0 pid=$vm_pid
    wait "$pid" || code=$?
    vm_pid=''
    # When the kernel of User Mode Linux is killed, its processes live on: a group of their own, which it names in a file.
    if [ -s "$out/guest/pid" ]; then
        kill -KILL -- "-$(<"$out/guest/pid")" 2>/dev/null || true
    fi
    wait "$viewer_pid" || true
    viewer_pid=''
    # A guest that was cut off may have stopped in the middle of a line.
    [ -z "$(tail --bytes=1 "$out/console.log")" ] || echo
    return "$code"
}

stop_guest() {
    [ -z "$vm_pid" ] || {
        kill -TERM "$vm_pid" 2>/dev/null || true
        collect_guest || true
    }
}

parse() {
    while [ $# -gt 0 ]; do
        case $1 in
        --help | -h)
            usage
            exit 0
            ;;
        --vm | --build | --limit | --junit)
            [ $# -ge 2 ] || refuse "$1 wants a value"
            case $1 in
            --vm) vm=$2 ;;
            --build) build=$2 ;;
            --limit) limit=$2 ;;
            --junit) junit=$2 ;;
            esac
            shift
            ;;
        --)
            shift
            command=("$@")
            [ $# -gt 0 ] || refuse "no command after --"
            break
            ;;
        *) refuse "$1 is unknown; see --help" ;;
        esac
        shift
    done
    [[ $vm = uml || $vm = qemu ]] || refuse "--vm wants uml or qemu, not '$vm'"
    [[ $limit =~ ^[1-9][0-9]*$ ]] || refuse "--limit wants seconds, not '$limit'"
    if [ -z "$build" ]; then
        build=$root/build/release
        [ "$vm" = uml ] || build=$root/build/asan
    fi
    [ -d "$build" ] || refuse "there is no build in $build"
    build=$(cd "$build" && pwd)
    longest_seconds=$((boot_seconds + limit + grace_seconds))
    out=$build/ktls-$vm
    # They are handed over on a kernel's command line, which knows no quoting that both guests agree on.
    [[ "$out$here" =~ ^[A-Za-z0-9_/.+@%=~-]+$ ]] || refuse "cannot work below a path with special characters: $out, $here"
    if [ ${#command[@]} -eq 0 ] && [ ! -f "$build/tests/ktls_tests.txt" ]; then
        refuse "$build has no tests/ktls_tests.txt: configure it with SLUICE_BUILD_TESTS, build the target ktls_tests"
    fi
}

# --- What the guest reads. --------------------------------------------------------------------------------------------

# The environment is the guest's own: of the caller's only what steers sanitizers goes in.
settings() {
    local factor=10 name
    [ "$vm" = uml ] || factor=20
    echo "limit=$limit"
    echo "export KTLS_VM=1 SLUICE_PATIENCE_FACTOR=${SLUICE_PATIENCE_FACTOR:-$factor}"
    for name in {ASAN,LSAN,TSAN,UBSAN}_{OPTIONS,SYMBOLIZER_PATH}; do
        [ -z "${!name:-}" ] || printf 'export %s=%q\n' "$name" "${!name}"
    done
}

prepare_folder() {
    mkdir -p "$out"
    # Two guests in one folder would take each other's results for their own.
    exec 9>"$build/ktls-$vm.lock"
    flock --nonblock 9 || refuse "another run uses $out"
    rm -rf "$out"
    mkdir -p "$out/results"
    settings >"$out/settings"
    if [ ${#command[@]} -gt 0 ]; then
        printf 'cd %q || exit\nexec' "$PWD" >"$out/command"
        printf ' %q' "${command[@]}" >>"$out/command"
    else
        cp "$build/tests/ktls_tests.txt" "$out/programs"
        [ -s "$out/programs" ] || refuse "$build lists no test for the guest"
    fi
}

# --- The two kinds of guest. ------------------------------------------------------------------------------------------

# Starts the program that is the guest. Should this script be killed, `timeout` still ends it.
start() { # start <program> <argument>...
    (
        ulimit -c 0
        exec timeout --kill-after=5 "$longest_seconds" "$@"
    ) </dev/null >"$out/console.log" 2>&1 9>&- &
    vm_pid=$!
}

start_uml() {
    command -v linux.uml >/dev/null || refuse "linux.uml is missing (Debian package user-mode-linux)"
    # Its memory is a file in TMPDIR. The default, /dev/shm, is small in containers and may forbid to execute.
    TMPDIR=$out start linux.uml mem=1536M rootfstype=hostfs rootflags=/ "init=$here/guest.sh" "uml_dir=$out" umid=guest \
        con0=fd:0,fd:1 con=null quiet KTLS_VM=uml "KTLS_OUT=$out"
}

start_qemu() {
    local kernel
    kernel=$("$here/qemu_kernel.sh" "$out/initramfs")
    # microvm machines save nothing and cannot switch themselves off.
    start qemu-system-x86_64 -M pc -accel tcg,thread=multi -cpu max -smp 2 -m 3072 \
        -nodefaults -no-user-config -display none -serial stdio -no-reboot -nic none \
        -kernel "$kernel" -initrd "$out/initramfs" \
        -append "console=ttyS0 quiet panic=-1 mitigations=off KTLS_VM=qemu KTLS_OUT=$out KTLS_SCRIPTS=$here" \
        -fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap \
        -device virtio-9p-pci,fsdev=root,mount_tag=host_root \
        -fsdev "local,id=out,path=$out,security_model=none" -device virtio-9p-pci,fsdev=out,mount_tag=host_out
}

# Lets the guest run to its end and shows what it prints. Sets `trouble` when it did not get there.
run_guest() {
    local started=$SECONDS code=0
    trouble=''
    rm -rf "$out"/{booted,finished,tls_stat,results,guest}
    mkdir "$out/results"
    : >"$out/console.log"
    "start_$vm"
    tail --lines=+1 --follow --sleep-interval=0.2 --pid="$vm_pid" "$out/console.log" 9>&- &
    viewer_pid=$!
    while kill -0 "$vm_pid" 2>/dev/null; do
        if [ ! -e "$out/booted" ] && [ $((SECONDS - started)) -gt "$boot_seconds" ]; then
            trouble="the guest did not start within $boot_seconds seconds"
            kill -TERM "$vm_pid" || true
            break
        fi
        sleep 0.2
    done
    collect_guest || code=$?
    if [ -n "$trouble" ] || [ -e "$out/finished" ]; then
        return
    elif [ $((SECONDS - started)) -ge "$longest_seconds" ]; then
        trouble="the guest ran past its time limit of $limit seconds and had to be ended"
    elif [ -e "$out/booted" ]; then
        trouble="the guest died (exit code $code) before its tests ended"
    else
        trouble="the guest ended (exit code $code) before it had started"
    fi
}

ptrace_is_forbidden() {
    [ "$vm" = uml ] && [ ! -e "$out/booted" ] && grep -qi ptrace "$out/console.log"
}

# A guest that breaks says nothing about the library, so it gets a second chance, which is said aloud. Tests get none.
run_guest_twice_at_most() {
    run_guest
    if [ -n "$trouble" ] && ! ptrace_is_forbidden; then
        echo "tests/ktls/run.sh: $trouble; trying a second guest"
        mv "$out/console.log" "$out/console-1.log"
        run_guest
    fi
    if [ -z "$trouble" ]; then
        return
    fi
    if ptrace_is_forbidden; then
        trouble="User Mode Linux must trace its processes, and this machine or container forbids ptrace"
    fi
    echo "tests/ktls/run.sh: FAILED: $trouble; what it printed is in $out/console.log" >&2
    exit 125
}

main() {
    parse "$@"
    local set=ktls code=0
    [ "$vm" = uml ] || set=ktls-qemu
    "$root/cmake/setup.sh" "$set"
    prepare_folder
    trap stop_guest EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    run_guest_twice_at_most
    if [ ${#command[@]} -gt 0 ]; then
        code=$(<"$out/finished")
        echo "tests/ktls/run.sh: exit code $code; the kernel counted: $(xargs <"$out/tls_stat")"
        return "$code"
    fi
    python3 -B "$here/judge.py" "$out" "${junit:-$out/junit.xml}"
}

main "$@"
