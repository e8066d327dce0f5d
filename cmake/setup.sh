#!/usr/bin/env bash
# Installs what building, testing and measuring Sluice needs. The one place that knows package names.
#
#   cmake/setup.sh [set...]      sets: build tests sanitizers ktls ktls-qemu windows macos bench docs; default: build
#
# A machine that has everything is left alone at once and without the network. A Debian-like machine gets the
# missing packages by apt. Any other machine is told exactly what to install, and the script fails; once that is done,
# SLUICE_SKIP_SETUP=1 says so.
set -euo pipefail

# set | Debian package | what it is, for whoever has to find it elsewhere
packages() {
    cat <<'TABLE'
build|g++|C++20 compiler: GCC 12 or newer
build|cmake|CMake 3.25 or newer
build|ninja-build|Ninja
build|pkg-config|pkg-config
build|libgtest-dev|GoogleTest 1.12 or newer with its CMake package
build|libgmock-dev|GoogleMock, from the same source as GoogleTest
build|libbenchmark-dev|Google Benchmark with its CMake package
build|libfmt-dev|fmt 9 or newer with its CMake package
build|libssl-dev|OpenSSL 3.0 or newer, headers and libraries
build|liburing-dev|liburing 2.3 or newer, for SLUICE_IO_URING only (Linux)
build|ccache|ccache
build|python3|Python 3.9 or newer
tests|binutils|nm and readelf
tests|curl|curl
tests|git|git
tests|gnutls-bin|gnutls-cli and gnutls-serv
tests|netcat-openbsd|the OpenBSD nc
tests|openssl|the openssl command
tests|python3|Python 3.9 or newer
tests|socat|socat
tests|strace|strace
tests|gcovr|gcovr
tests|wrk|wrk
sanitizers|clang-19|clang 19 as clang++-19
sanitizers|libclang-rt-19-dev|clang 19's sanitizer runtimes
sanitizers|lld-19|LLVM 19's linker as ld.lld-19
sanitizers|llvm-19|LLVM 19's symbolizer
sanitizers|clang-format-19|clang-format 19
sanitizers|clang-tidy-19|clang-tidy 19 with run-clang-tidy-19
bench|libasio-dev|standalone Asio headers
bench|libuv1-dev|libuv, headers and library
bench|libevent-dev|libevent 2.1, headers and library
bench|python3-uvloop|uvloop for the system's Python
bench|python3-aiohttp|aiohttp for the system's Python
bench|librsvg2-bin|rsvg-convert, draws the charts as PNG
bench|fonts-dejavu-core|the font of the charts
ktls|user-mode-linux|User Mode Linux as linux.uml, with its modules
ktls|busybox-static|BusyBox, linked statically, as /bin/busybox
ktls|python3|Python 3.9 or newer
ktls-qemu|qemu-system-x86|qemu-system-x86_64
ktls-qemu|busybox-static|BusyBox, linked statically, as /bin/busybox
ktls-qemu|kmod|depmod
ktls-qemu|python3|Python 3.9 or newer
windows|clang-19|clang 19 as clang++-19
windows|lld-19|LLVM 19's linker as ld.lld-19
windows|g++-mingw-w64-x86-64-posix|mingw-w64: headers and libraries of Windows, of GCC for it, with threads of POSIX
windows|wine64|Wine 8 or newer, 64 bits
windows|wine|Wine's own programs
windows|googletest|the source of GoogleTest, in /usr/src/googletest
windows|dpkg-dev|dpkg-source
windows|make|make
windows|perl|Perl 5
macos|googletest|the source of GoogleTest, in /usr/src/googletest
macos|make|make
macos|perl|Perl 5
docs|doxygen|Doxygen 1.9.4 or newer
docs|doxygen-awesome-css|the style of the API reference; Doxygen has one of its own
TABLE
}

# Prints the table's rows of the wanted sets.
wanted_rows() {
    local set_name
    for set_name in "$@"; do
        packages | grep "^$set_name|"
    done
}

explain_other_system() {
    {
        echo "cmake/setup.sh: no apt here. Install these, then run the command again with SLUICE_SKIP_SETUP=1:"
        wanted_rows "$@" | sort -t '|' -k 2,2 -u | while IFS='|' read -r _ package description; do
            printf '  %-20s %s\n' "$package" "$description"
        done
        echo "(The first column is Debian's package name.)"
    } >&2
    exit 1
}

install_with_apt() {
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! sudo -n true 2>/dev/null; then
            echo "cmake/setup.sh: missing packages, and neither root nor passwordless sudo. Run:" >&2
            echo "  sudo apt-get install --no-install-recommends $*" >&2
            exit 1
        fi
        as_root=(sudo -n)
    fi
    # The lock may be held by an unattended upgrade or a second run of this script.
    local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
    echo "installing: $*"
    "${apt[@]}" update </dev/null >&2
    "${apt[@]}" install --yes --no-install-recommends "$@" </dev/null >&2
}

main() {
    [ $# -gt 0 ] || set -- build
    local set_name
    for set_name in "$@"; do
        if ! packages | grep -q "^$set_name|"; then
            echo "cmake/setup.sh: unknown set '$set_name'; there are: $(packages | cut -d '|' -f 1 | sort -u | xargs)" >&2
            exit 2
        fi
    done
    if [ -n "${SLUICE_SKIP_SETUP:-}" ]; then
        return
    fi
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        explain_other_system "$@"
    fi

    local wanted present missing
    mapfile -t wanted < <(wanted_rows "$@" | cut -d '|' -f 2 | sort -u)
    # dpkg-query fails when it does not know one of the names; that one is then missing from the answer.
    present=$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null || true)
    mapfile -t missing < <(comm -23 <(printf '%s\n' "${wanted[@]}") <(sed -n 's/^installed //p' <<<"$present" | sort -u))
    if [ ${#missing[@]} -gt 0 ]; then
        install_with_apt "${missing[@]}"
    fi
    if [[ " $* " == *" windows "* ]]; then
        "$(dirname "${BASH_SOURCE[0]}")/windows_dependencies.sh"
    fi
}

main "$@"
