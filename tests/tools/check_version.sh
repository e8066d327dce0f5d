#!/usr/bin/env bash
# The version stands in four places that no compiler compares: CMake, the header's numbers, its string (with the inline
# namespace) and the newest entry of the changelog. Fails when one of them was forgotten.
set -euo pipefail
cd "$1"

header=include/sluice/config.hpp
macro() { sed -n "s/^#define SLUICE_VERSION_$1 \"\{0,1\}\([0-9.]*\)\"\{0,1\}\$/\1/p" "$header"; }

cmake=$(sed -n 's/^ *VERSION \([0-9.]*\)$/\1/p' CMakeLists.txt | head -n 1)
numbers="$(macro MAJOR).$(macro MINOR).$(macro PATCH)"
string=$(macro STRING)
# "## [0.1.0] - date", or "## 0.1.0"; what is not released yet stands under its future number.
changelog=$(sed -n 's/^## \[\{0,1\}\([0-9][0-9.]*\)\]\{0,1\}.*/\1/p' docs/changelog.md | head -n 1)
namespaces=$(grep -rhoE 'inline v[0-9_]+' include src | sort -u | xargs)
expected_namespace="inline v$(macro MAJOR)_$(macro MINOR)"

printf '%-28s %s\n' CMakeLists.txt "$cmake" "$header, numbers" "$numbers" "$header, string" "$string" \
    docs/changelog.md "$changelog" 'inline namespace' "$namespaces"
failed=0
for found in "$numbers" "$string" "$changelog"; do
    if [ -z "$cmake" ] || [ "$found" != "$cmake" ]; then
        echo "CMake says '$cmake', another place says '$found'" >&2
        failed=1
    fi
done
if [ "$namespaces" != "$expected_namespace" ]; then
    echo "expected only the namespace '$expected_namespace'" >&2
    failed=1
fi
exit "$failed"
