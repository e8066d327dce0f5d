#!/bin/busybox sh
# The init of the initramfs that run.sh makes for QEMU: loads the modules that were packed with it, mounts the host's
# root read-only, and hands over to guest.sh there. It knows no test.
# shellcheck shell=dash

bb=/bin/busybox
$bb mount -t proc proc /proc
$bb mount -t sysfs sysfs /sys
$bb mount -t devtmpfs devtmpfs /dev
# Their names begin with a number: dependencies first.
for module in /modules/*; do
    $bb insmod "$module" || echo "guest: no module $module"
done
# Large messages, and a cache for what nobody changes: without them 9p is too slow to start a program from.
$bb mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144,cache=loose,ro host_root /host
for folder in proc sys dev; do
    $bb mount -o bind "/$folder" "/host/$folder"
done
$bb chroot /host /bin/busybox sh "$KTLS_SCRIPTS/guest.sh"
# Only reached when that failed: the host sees that `finished` is missing.
$bb poweroff -f
