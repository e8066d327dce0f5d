#!/usr/bin/env bash
# The package tests: each case is what one kind of user does with Sluice, done outside the tree. CTest calls this with
# one case name and says in the environment where the source, the release build and a work folder are.
#
# The consumers compile without optimisation: what is tested is that they find, compile, link and run, not how fast.
set -euo pipefail

: "${SLUICE_SOURCE:?}" "${SLUICE_BUILD:?}" "${SLUICE_WORK:?}" "${SLUICE_VERSION:?}" "${CMAKE:?}" "${CXX:?}"
consumer=$SLUICE_SOURCE/tests/package/consumer
prefix=$SLUICE_WORK/moved/elsewhere
shared_prefix=$SLUICE_WORK/shared/prefix
shared_build=$SLUICE_WORK/shared/build
so_version=${SLUICE_VERSION%.*}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# An empty folder for the running case.
fresh() {
    rm -rf "${SLUICE_WORK:?}/$1"
    mkdir -p "$SLUICE_WORK/$1"
    echo "$SLUICE_WORK/$1"
}

# configure <build folder> <source> <option>...
configure() {
    local build=$1 source=$2
    shift 2
    "$CMAKE" -S "$source" -B "$build" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0 "$@"
}

# The consumer, built in the given way, then run: it talks to itself over loopback.
build_and_run_consumer() {
    local build=$1
    shift
    configure "$build" "$consumer" "$@"
    "$CMAKE" --build "$build" --parallel 2
    local program ran=0
    for program in consumer consumer_header_only; do
        [ -x "$build/$program" ] || continue
        echo "--- $program"
        "$build/$program"
        ran=1
    done
    [ "$ran" -eq 1 ] || fail "no consumer was built"
}

case_install_and_move() {
    local first
    first=$(fresh first)
    rm -rf "$SLUICE_WORK/moved"
    mkdir -p "$SLUICE_WORK/moved"
    "$CMAKE" --install "$SLUICE_BUILD" --prefix "$first" >/dev/null
    mv "$first" "$prefix"
    # Nothing in the package may remember where it was built or first installed.
    ! grep -rIlF -e "$first" -e "$SLUICE_BUILD" -e "$SLUICE_SOURCE" "$prefix" || fail "the files above hold absolute paths"
}

case_installed_consumer() {
    build_and_run_consumer "$(fresh installed)" -DHOW=installed -DWANTED="$so_version" -DCMAKE_PREFIX_PATH="$prefix"
}

# Newer than what is there, or of another minor version, which before 1.0 is another API.
case_other_version_is_refused() {
    local build wanted major minor patch
    IFS=. read -r major minor patch <<<"$SLUICE_VERSION"
    local others=("$major.$minor.$((patch + 1))" "$major.$((minor + 1))" "$((major + 1)).0")
    [ "$minor" -eq 0 ] || others+=("$major.$((minor - 1))")
    for wanted in "${others[@]}"; do
        build=$(fresh other_version)
        if configure "$build" "$consumer" -DHOW=installed -DWANTED="$wanted" -DCMAKE_PREFIX_PATH="$prefix" >"$build/log" 2>&1; then
            fail "a consumer that wants $wanted was given $SLUICE_VERSION"
        fi
        # For that reason and for no other.
        grep -qF "version: $SLUICE_VERSION" "$build/log" || fail "unexpected reason: $(cat "$build/log")"
    done
}

# build_with_pkg_config <build folder> <prefix>: what pkg-config names without --static is enough for the link.
build_with_pkg_config() {
    local build=$1 flags version
    PKG_CONFIG_PATH=$(dirname "$(find "$2" -name sluice.pc)")
    export PKG_CONFIG_PATH
    version=$(pkg-config --modversion sluice)
    [ "$version" = "$SLUICE_VERSION" ] || fail "pkg-config says version $version"
    read -ra flags <<<"$(pkg-config --cflags --libs sluice)"
    "$CXX" -std=c++20 -o "$build/consumer" "$consumer"/*.cpp "${flags[@]}"
}

case_pkg_config() {
    local build
    build=$(fresh pkg_config)
    # The prefix holds the static library alone.
    build_with_pkg_config "$build" "$prefix"
    "$build/consumer"
}

case_shared_library_install() {
    fresh shared >/dev/null
    configure "$shared_build" "$SLUICE_SOURCE" -DBUILD_SHARED_LIBS=ON -DCMAKE_INSTALL_LIBDIR=lib \
        -DSLUICE_BUILD_TESTS=OFF -DSLUICE_BUILD_EXAMPLES=OFF -DSLUICE_BUILD_BENCH=OFF
    "$CMAKE" --build "$shared_build" --parallel 2
    "$CMAKE" --install "$shared_build" --prefix "$shared_prefix" >/dev/null
    [ -e "$shared_prefix/lib/libsluice.so.$SLUICE_VERSION" ] || fail "the library's file name lacks the version"
}

case_shared_library_exports() {
    local library=$shared_prefix/lib/libsluice.so stray exported
    readelf --dynamic "$library" | grep -F "soname: [libsluice.so.$so_version]" || fail "wrong SONAME"
    exported=$(nm --dynamic --defined-only --demangle --format=posix "$library")
    # Functions and data of the namespace, and what the compiler makes of its classes.
    stray=$(grep -vE '^(sluice::|(vtable|typeinfo|typeinfo name|guard variable|VTT) for sluice::|(non-virtual|virtual) thunk to sluice::)' \
        <<<"$exported" || true)
    [ -z "$stray" ] || fail "exported, but not ours:"$'\n'"$stray"
    grep -q 'version()' <<<"$exported" || fail "sluice::version() is not exported"
    echo "$(wc -l <<<"$exported") symbols exported"
}

case_shared_library_consumer() {
    build_and_run_consumer "$(fresh shared_consumer)" -DHOW=installed -DWANTED="$SLUICE_VERSION" \
        -DCMAKE_PREFIX_PATH="$shared_prefix"
    readelf --dynamic "$SLUICE_WORK/shared_consumer/consumer" | grep -qF "[libsluice.so.$so_version]" ||
        fail "the consumer does not load the shared library"
}

case_shared_library_pkg_config() {
    local build
    build=$(fresh shared_pkg_config)
    build_with_pkg_config "$build" "$shared_prefix"
    LD_LIBRARY_PATH=$shared_prefix/lib "$build/consumer"
    # OpenSSL is the library's affair: a user's program does not link it.
    ! pkg-config --libs sluice | grep -E -- '-l(ssl|crypto)' || fail "pkg-config names OpenSSL for a shared library"
}

case_install_components() {
    local component folder files unexpected
    folder=$(fresh components)
    for component in runtime dev doc examples; do
        "$CMAKE" --install "$shared_build" --prefix "$folder/$component" --component "$component" >/dev/null
        files=$(cd "$folder/$component" && find . -type f -o -type l | sort)
        echo "--- $component: $(wc -l <<<"$files") files"
        case $component in
        runtime) unexpected=$(grep -v '^\./lib/libsluice\.so\.' <<<"$files") ;;
        dev) unexpected=$(grep -vE '^\./(include/sluice/|lib/(libsluice\.so$|cmake/sluice/|pkgconfig/sluice\.pc))' <<<"$files") ;;
        doc) unexpected=$(grep -vE '^\./share/doc/sluice/' <<<"$files") ;;
        examples) unexpected=$(grep -vE '^\./share/doc/sluice/examples/' <<<"$files") ;;
        esac || true
        [ -n "$files" ] || fail "component $component is empty"
        [ -z "$unexpected" ] || fail "does not belong to component $component: $unexpected"
    done
    [ -e "$folder/dev/include/sluice/sluice.hpp" ] || fail "sluice.hpp is missing"
    [ -e "$folder/doc/share/doc/sluice/LICENSE" ] || fail "LICENSE is missing"
    # Every installed file belongs to one of the four.
    diff <(cd "$folder" && find ./*/ \( -type f -o -type l \) | cut -d / -f 3- | sort) \
        <(cd "$shared_prefix" && find . \( -type f -o -type l \) | cut -d / -f 2- | sort) ||
        fail "the components together are not the whole installation"
}

case_add_subdirectory() {
    local build
    build=$(fresh add_subdirectory)
    build_and_run_consumer "$build" -DHOW=add_subdirectory -DSLUICE_SOURCE="$SLUICE_SOURCE"
    # A guest installs nothing and adds no tests, examples or benchmarks, unless asked to.
    "$CMAKE" --install "$build" --prefix "$build/guest" >/dev/null
    ! find "$build/guest" -type f 2>/dev/null | grep . || fail "a guest installs the files above"
    ! grep -q '^SLUICE_BUILD_[A-Z]*:BOOL=ON' "$build/CMakeCache.txt" || fail "a guest builds tests, examples or benchmarks"
    # A consumer that exports a library of its own built on ours.
    configure "$build" "$consumer" -DHOW=add_subdirectory -DSLUICE_SOURCE="$SLUICE_SOURCE" -DSLUICE_INSTALL=ON -DEXPORT_OWN=ON
    "$CMAKE" --build "$build" --parallel 2
    "$CMAKE" --install "$build" --prefix "$build/prefix" >/dev/null
    find "$build/prefix" -name own-targets.cmake | grep -q . || fail "the consumer's own package was not installed"
}

case_fetch_content() {
    build_and_run_consumer "$(fresh fetch_content)" -DHOW=fetch_content -DFETCHCONTENT_SOURCE_DIR_SLUICE="$SLUICE_SOURCE" \
        -DFETCHCONTENT_FULLY_DISCONNECTED=ON
}

# The same definitions in two translation units: the linker must see one of each.
case_header_only_two_units() {
    local build unit
    build=$(fresh header_only)
    for unit in main second; do
        "$CXX" -std=c++20 -O0 -Wall -Wextra -DSLUICE_HEADER_ONLY=1 -I "$SLUICE_SOURCE/include" \
            -c "$consumer/$unit.cpp" -o "$build/$unit.o"
    done
    "$CXX" -o "$build/consumer" "$build/main.o" "$build/second.o" -lssl -lcrypto -pthread
    "$build/consumer"
}

# A header that needs another one included first fails here: the public ones in both forms of the library, those behind
# them in the compiled one.
case_each_header_alone() {
    local folder headers
    folder=$(fresh headers)
    mapfile -t headers < <(cd "$SLUICE_SOURCE/include" && find sluice -name '*.hpp' -not -path 'sluice/impl/*' | sort)
    compile_alone() { # compile_alone <header> <option>
        "$CXX" -std=c++20 -fsyntax-only -Wall -Wextra -Wpedantic "$2" -I "$SLUICE_SOURCE/include" -include "$1" \
            -x c++ /dev/null || { echo "$1 does not compile alone ($2)"; return 1; }
    }
    export -f compile_alone
    export CXX SLUICE_SOURCE
    printf '%s\n' "${headers[@]}" | awk '{ print $0, "-USLUICE_HEADER_ONLY" }
                                         !/\/detail\// { print $0, "-DSLUICE_HEADER_ONLY=1" }' |
        xargs -P 2 -L 1 bash -c 'compile_alone "$1" "$2"' bash >"$folder/log" 2>&1 ||
        fail "$(grep -E 'does not compile alone|error:' "$folder/log")"
    echo "${#headers[@]} headers, each compiled alone"
}

if ! declare -F "case_${1:-}" >/dev/null; then
    echo "usage: $0 CASE, one of: $(declare -F | sed -n 's/^declare -f case_//p' | xargs)" >&2
    exit 2
fi
"case_$1"
