#!/bin/busybox sh
# What runs inside the guest of run.sh: as process 1 of User Mode Linux, and under QEMU after qemu_init.sh has mounted the
# host's files. Only /bin/busybox is sure to be there, so all tools are its own.
#
# It judges nothing. $KTLS_OUT is the one writable folder of the host, under the same path as there. It reads
# `settings`, and `command` or else `programs`; it leaves `booted`, `kernel`, `results/`, `tls_stat` and, last, `finished`.
# shellcheck shell=dash

# What the TLS of the kernel needs. It asks for ciphers by name through modprobe, which would read the modules of the
# host's kernel: all of them are loaded beforehand, in the order of their dependencies.
uml_modules='crypto/gf128mul crypto/ghash-generic crypto/ctr crypto/gcm crypto/ccm lib/crypto/libpoly1305
    lib/crypto/libchacha crypto/chacha_generic crypto/poly1305_generic crypto/chacha20poly1305 lib/crc-ccitt
    net/ipv6/ipv6 net/tls/tls fs/overlayfs/overlay'

# The host's root is read-only: what has to be written to gets file systems in memory, /run for us.
mount_common() {
    /bin/busybox mount -t tmpfs -o size=512m tmpfs /run
    /bin/busybox mkdir /run/bin /run/tmp
    /bin/busybox --install -s /run/bin
    PATH=/run/bin
    mkdir -p /dev/shm /dev/pts
    mount -t tmpfs tmpfs /dev/shm
    mount -t devpts devpts /dev/pts
    # A device file system that no udev looks after has none of the links that shells rely on.
    [ -e /dev/fd ] || ln -s /proc/self/fd /dev/fd
    # Lines for a file, not for a terminal.
    stty -onlcr </dev/console
}

# GoogleTest captures output in files below /tmp, whatever TMPDIR says; what the host has there stays visible, because
# the build may be a part of it.
make_tmp_writable() {
    mkdir /run/tmp-new /run/tmp-work
    mount -t overlay -o lowerdir=/tmp,upperdir=/run/tmp-new,workdir=/run/tmp-work overlay /tmp
    chmod 1777 /tmp
}

# The one folder that host and guest share for writing; after /tmp, below which it may lie.
mount_out() {
    if [ "$KTLS_VM" = uml ]; then
        mount -t hostfs none "$KTLS_OUT" -o "$KTLS_OUT"
    else
        # Nothing is cached, so that the host sees every byte at once.
        mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 host_out "$KTLS_OUT"
    fi
}

prepare_uml() {
    /bin/busybox mount -t proc proc /proc
    /bin/busybox mount -t sysfs sysfs /sys
    mount_common
    local module
    for module in $uml_modules; do
        insmod "/usr/lib/uml/modules/$(uname -r)/kernel/$module.ko" || echo "guest: no module $module"
    done
}

# ::1 comes into being when the interface goes up after the module of IPv6.
start_loopback() {
    ifconfig lo down
    ifconfig lo 127.0.0.1 up
}

uptime_seconds() {
    cut -d . -f 1 /proc/uptime
}

# One program after the other. Each has what is left of the time, so that one that hangs fails by itself and the results
# of the others are kept; a guest that hangs is another matter, and the host's.
run_programs() {
    local name filter program code left deadline
    # shellcheck disable=SC2154 # of the settings
    deadline=$(($(uptime_seconds) + limit))
    while IFS='|' read -r name filter program; do
        left=$((deadline - $(uptime_seconds)))
        [ "$left" -gt 0 ] || break
        echo "=== guest: $name, cases $filter"
        code=0
        /run/bin/timeout -k 10 "$left" "$program" --gtest_filter="$filter" --gtest_color=no \
            --gtest_output="xml:$KTLS_OUT/results/$name.xml" </dev/null || code=$?
        echo "$name $code" >>"$KTLS_OUT/results/exit_codes"
    done <"$KTLS_OUT/programs"
}

run_everything() {
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/bin
    export HOME=/run/tmp TMPDIR=/run/tmp
    cd "$KTLS_OUT" || return 1
    # shellcheck disable=SC1091 # written by run.sh
    . ./settings
    ulimit -n 65536
    ulimit -c 0
    if [ -f command ]; then
        /run/bin/timeout -k 10 "$limit" bash ./command </dev/null
    else
        run_programs
    fi
}

if [ "$KTLS_VM" = uml ]; then
    prepare_uml
else
    mount_common
fi
make_tmp_writable
mount_out
start_loopback
uname -r >"$KTLS_OUT/kernel"
: >"$KTLS_OUT/booted"
sync
code=0
(run_everything) || code=$?
# A kernel without the module has no such file; run.sh says what that means.
cat /proc/net/tls_stat >"$KTLS_OUT/tls_stat"
sync
echo "$code" >"$KTLS_OUT/finished"
sync
poweroff -f
