#!/usr/bin/env bash
# Builds OpenSSL and GoogleTest for cmake/mingw.cmake, which Debian has no binary packages of.
#
#   cmake/windows_dependencies.sh      called by cmake/setup.sh windows
#
# The result goes to $SLUICE_WINDOWS_ROOT (default: ~/.cache/sluice/windows) and is made anew only when a version has
# changed, or how OpenSSL is configured. OpenSSL's source is Debian's source package, found by apt in lists of our own:
# the system's are left alone.
# SLUICE_JOBS sets the number of parallel jobs (default: all cores). Exit code 77: the source cannot be fetched.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
prefix=${SLUICE_WINDOWS_ROOT:-$HOME/.cache/sluice/windows}
jobs=${SLUICE_JOBS:-$(nproc)}
scratch=

fail() {
    echo "cmake/windows_dependencies.sh: $*" >&2
    exit 1
}

# The stamp is written last, so what was interrupted is made again.
is_made() { # is_made <name> <version>
    [ "$(cat "$prefix/$1.version" 2>/dev/null)" = "$2" ]
}

note_made() { # note_made <name> <version>
    echo "$2" >"$prefix/$1.version"
}

# apt-get with lists and a cache of its own, for the source packages of bookworm's main archive. Its security archive
# lists newer ones, whose files are not always there.
own_apt() {
    local keyring=/usr/share/keyrings/debian-archive-keyring.gpg mirror
    mirror=$(sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
    mkdir -p lists/partial cache/archives/partial
    echo "deb-src [signed-by=$keyring] ${mirror:-http://deb.debian.org/debian} bookworm main" >src.list
    "$@" -o "Dir::Etc::sourcelist=$PWD/src.list" -o Dir::Etc::sourceparts=/dev/null \
        -o "Dir::State::lists=$PWD/lists" -o "Dir::Cache=$PWD/cache" -o APT::Sandbox::User=root
}

build_openssl() {
    # Fixed, so that two machines test the same; a new one is a change to this line.
    local version="3.0.20-1~deb12u2"
    # What TLS does not need is left out, and the rest hardly optimised: it is compiled on every new machine.
    local options=(mingw64 no-shared no-tests --cross-compile-prefix=x86_64-w64-mingw32- --libdir=lib CFLAGS=-O1
        no-legacy no-engine no-cmp no-cms no-ct no-ts no-srp no-dtls no-srtp no-comp no-gost no-rfc3779
        no-aria no-bf no-blake2 no-camellia no-cast no-dsa no-ec2m no-idea no-md4 no-mdc2 no-ocb no-rc2 no-rc4 no-rmd160
        no-scrypt no-seed no-siphash no-siv no-sm2 no-sm3 no-sm4 no-whirlpool)
    # Compiled into every program, which reads openssl.cnf and certificates there and loads modules from there: only an
    # administrator may write to them. A path of this machine would be one below the root of the current drive, where
    # everybody may make folders. Configure on Linux does not know these for absolute, so make is told them.
    local folders=("OPENSSLDIR=C:/Program Files/Common Files/SSL"
        "ENGINESDIR=C:/Program Files/OpenSSL/lib/engines-3" "MODULESDIR=C:/Program Files/OpenSSL/lib/ossl-modules")
    local made="$version ${options[*]} ${folders[*]}"
    if is_made openssl "$made"; then
        return
    fi
    echo "building OpenSSL $version for Windows"
    mkdir openssl
    cd openssl
    if ! own_apt apt-get -qq update || ! own_apt apt-get -qq source --download-only "openssl=$version"; then
        echo "cmake/windows_dependencies.sh: the source of OpenSSL $version cannot be fetched" >&2
        exit 77
    fi
    # apt has compared the files with the signed lists.
    dpkg-source --no-check -x "openssl_$version.dsc" source >/dev/null
    mkdir build
    cd build
    ../source/Configure "${options[@]}" --prefix="$prefix" >configure.log
    nice make -j"$jobs" "${folders[@]}" build_generated >make.log 2>&1 || fail "OpenSSL: $(tail -n 20 make.log)"
    nice make -j"$jobs" "${folders[@]}" build_libs >make.log 2>&1 || fail "OpenSSL: $(tail -n 20 make.log)"
    make "${folders[@]}" install_dev >install.log
    note_made openssl "$made"
    cd ../..
}

build_googletest() {
    local version
    version=$(dpkg-query --show --showformat='${Version}' googletest)
    if is_made googletest "$version"; then
        return
    fi
    echo "building GoogleTest $version for Windows"
    nice cmake -S /usr/src/googletest -B googletest -G Ninja -DCMAKE_BUILD_TYPE=Release \
        -DCMAKE_TOOLCHAIN_FILE="$root/cmake/mingw.cmake" -DCMAKE_INSTALL_PREFIX="$prefix" >googletest.log
    nice cmake --build googletest --parallel "$jobs" --target install >googletest.log ||
        fail "GoogleTest: $(tail -n 20 googletest.log)"
    note_made googletest "$version"
}

main() {
    mkdir -p "$prefix"
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    cd "$scratch"
    build_openssl
    build_googletest
}

main
