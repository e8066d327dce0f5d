#!/usr/bin/env bash
# Prints the path of an nginx program for the file benchmark. One that is installed is taken; otherwise Debian's package is
# downloaded and unpacked into a cache folder outside of the tree, so that no service is installed or started.
# Usage: fetch_nginx.sh; the cache is $SLUICE_CACHE, or sluice below $XDG_CACHE_HOME or ~/.cache.
set -euo pipefail

# download <package> <folder>
download() {
    (cd "$2" && timeout 120 apt-get -qq -o APT::Sandbox::User=root download "$1") >&2
}

installed=$(PATH=$PATH:/usr/sbin command -v nginx || true)
if [ -n "$installed" ]; then
    echo "$installed"
    exit 0
fi

cache=${SLUICE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/sluice}/nginx
program=$cache/usr/sbin/nginx
if [ ! -x "$program" ]; then
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        echo "fetch_nginx.sh: no apt here, and no nginx installed" >&2
        exit 1
    fi
    mkdir -p "$cache"
    # Built beside its place and renamed, so that a broken download leaves nothing that looks complete.
    new=$(mktemp -d "$cache/new.XXXXXX")
    trap 'rm -rf "$new"' EXIT
    # nginx-light holds the program up to Debian 11 and only asks for the package nginx since.
    for package in nginx-light nginx; do
        # A machine that has just been made knows no packages, or old ones.
        download "$package" "$new" || { timeout 300 apt-get -qq update >&2 && download "$package" "$new"; }
        dpkg-deb -x "$new"/${package}_*.deb "$new/tree"
        [ ! -x "$new/tree/usr/sbin/nginx" ] || break
    done
    mkdir -p "$cache/usr/sbin"
    mv "$new/tree/usr/sbin/nginx" "$program"
fi
if ! "$program" -v 2>/dev/null; then
    echo "fetch_nginx.sh: $program does not run here" >&2
    exit 1
fi
echo "$program"
