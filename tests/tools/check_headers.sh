#!/usr/bin/env bash
# What a public header includes, every user pays for: in compile time, in macros, in packages to install. They may
# include ours and the C++ standard library, and guard themselves with #pragma once. That goes for every .hpp, so that it
# cannot come in by another: definitions (.ipp) may see the platform, and nothing of ours sees fmt, which is for examples
# and benchmarks.
set -euo pipefail
cd "$1"

failed=0
complain() {
    echo "$*" >&2
    failed=1
}

shopt -s nullglob
public=(include/sluice/*.hpp)
[ ${#public[@]} -gt 0 ] || { echo "no public header found" >&2; exit 1; }

# A name with a dot or a slash is not the standard library's. Our own are asked for with <sluice/...>.
foreign=$(grep -rnE --include='*.hpp' '^[[:space:]]*#[[:space:]]*include' include |
    grep -vE '#[[:space:]]*include[[:space:]]*<(sluice/[a-z0-9_/]+\.[hi]pp|[a-z_]+)>' || true)
[ -z "$foreign" ] || complain "header includes something foreign:"$'\n'"$foreign"

# Definitions, which do see the platform, are included in header-only mode alone.
for header in "${public[@]}"; do
    awk -v name="$header" '
        /^#ifdef SLUICE_HEADER_ONLY/ { inside = 1 }
        /^#endif/ { inside = 0 }
        /^#include <sluice\/impl\// && !inside { print name ":" NR ": definitions included outside header-only mode"; bad = 1 }
        END { exit bad }' "$header" >&2 || failed=1
done

while IFS= read -r file; do
    grep -q '^#pragma once$' "$file" || complain "$file has no #pragma once"
done < <(find include -name '*.hpp' -o -name '*.ipp')

fmt=$(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*<fmt/' include src || true)
[ -z "$fmt" ] || complain "the library includes fmt:"$'\n'"$fmt"

echo "${#public[@]} public headers read"
exit "$failed"
