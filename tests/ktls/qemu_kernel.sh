#!/usr/bin/env bash
# Debian's kernel for the QEMU guest of run.sh, and an initramfs with the modules it needs to get at the host's files.
#
#   tests/ktls/qemu_kernel.sh INITRAMFS      writes that file and prints the path of the kernel
#
# The package is only unpacked, below ~/.cache/sluice (or XDG_CACHE_HOME): installed it would take part in how the host
# starts. A newer kernel in the archive is downloaded beside the older one. It knows nothing about tests.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sluice/ktls
# virtio_pci, 9p and overlay for the files; ciphers with the instructions that QEMU emulates, and TLS, which asks for its
# ciphers by name and would not find them otherwise.
modules='virtio_pci 9pnet_virtio 9p aesni-intel ghash-clmulni-intel ghash-generic gcm ccm ctr chacha20poly1305
    chacha-x86_64 poly1305-x86_64 tls overlay'
scratch=''

fail() {
    echo "tests/ktls/qemu_kernel.sh: $*" >&2
    exit 1
}

# Prints the folder of the unpacked kernel.
kernel_tree() {
    local package version
    # The cloud flavour would be smaller, but has no 9p.
    package=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: //p' | head -n 1)
    [ -n "$package" ] || fail "apt knows no linux-image-amd64; apt-get update?"
    if [ ! -d "$cache/$package" ]; then
        echo "downloading $package to $cache" >&2
        (cd "$scratch" && apt-get -qq download "$package") >&2
        dpkg-deb -x "$scratch/$package"_*.deb "$scratch/tree"
        version=$(basename "$scratch"/tree/lib/modules/*)
        depmod -b "$scratch/tree" "$version"
        # At one stroke, so that an interrupted download is never taken for a kernel.
        mv "$scratch/tree" "$cache/$package"
    fi
    echo "$cache/$package"
}

pack_modules() { # pack_modules <folder of the kernel's modules> <folder to fill>
    local source=$1 target=$2 name line file number=100 packed=' ' ordered
    for name in $modules; do
        line=$(grep -E "/$name\.ko[.a-z]*:" "$source/modules.dep") || {
            grep -qE "/$name\.ko$" "$source/modules.builtin" || fail "this kernel has no module $name"
            continue
        }
        # modules.dep names what a module needs, the deepest last.
        ordered=${line%%:*}
        for file in $ordered ${line#*:}; do
            echo "$file"
        done | tac >"$scratch/order"
        while IFS= read -r file; do
            case $packed in
            *" $file "*) continue ;;
            esac
            packed+="$file "
            number=$((number + 1))
            # Only what every kernel reads: newer Debian kernels come with compressed modules.
            case $file in
            *.xz) xz -dc "$source/$file" >"$target/$number-$(basename "$file" .xz)" ;;
            *) cp "$source/$file" "$target/$number-$(basename "$file")" ;;
            esac
        done <"$scratch/order"
    done
}

main() {
    local initramfs=$1 tree version files
    mkdir -p "$cache"
    scratch=$(mktemp -d "$cache/new.XXXXXX")
    trap 'rm -rf "$scratch"' EXIT
    tree=$(kernel_tree)
    version=$(basename "$tree"/lib/modules/*)
    files=$scratch/files
    mkdir -p "$files"/{bin,modules,proc,sys,dev,host}
    cp /bin/busybox "$files/bin/busybox"
    cp "$here/qemu_init.sh" "$files/init"
    pack_modules "$tree/lib/modules/$version" "$files/modules"
    (cd "$files" && find . | /bin/busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$initramfs"
    echo "$tree/boot/vmlinuz-$version"
}

main "$@"
