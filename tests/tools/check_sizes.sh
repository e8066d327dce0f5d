#!/usr/bin/env bash
# A file above 500 lines holds two ideas. Also: what a reader must never find in the tree.
set -euo pipefail
cd "$1"

failed=0
files=0
while IFS= read -r file; do
    files=$((files + 1))
    lines=$(wc -l <"$file")
    if [ "$lines" -gt 500 ]; then
        echo "$file has $lines lines, the limit is 500" >&2
        failed=1
    fi
    head -n 1 "$file" | grep -qE '^(//|#!|# |""")' || {
        echo "$file does not open with a comment that says what it is for" >&2
        failed=1
    }
done < <(find include src tests bench examples cmake \( -name '*.hpp' -o -name '*.ipp' -o -name '*.cpp' -o -name '*.cmake' \
    -o -name '*.sh' -o -name '*.py' \) | sort)

leftovers=$(grep -rnIwE 'TO''DO|FIX''ME|X''XX|HA''CK' include src tests bench examples cmake || true)
[ -z "$leftovers" ] || {
    printf 'leftovers:\n%s\n' "$leftovers" >&2
    failed=1
}

echo "$files files read"
exit "$failed"
