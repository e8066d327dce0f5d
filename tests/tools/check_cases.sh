#!/usr/bin/env bash
# Every test case that the documentation names exists: `Suite.case_of_that_name` in docs/*.md.
set -euo pipefail
cd "$1"

python3 -B - docs/*.md <<'PYTHON'
import pathlib
import re
import sys

known = set()
for path in pathlib.Path("tests").rglob("*_test.cpp"):
    known.update(f"{suite}.{case}" for suite, case in re.findall(r"TEST(?:_[PF])?\(\s*(\w+),\s*(\w+)\)", path.read_text()))
failures = []
named = 0
for page in sys.argv[1:]:
    text = pathlib.Path(page).read_text()
    for match in re.finditer(r"`([A-Z]\w+\.\w+_\w+_\w+)`", text):
        named += 1
        if match[1] not in known:
            line = text.count("\n", 0, match.start()) + 1
            failures.append(f"{page}:{line}: there is no test case {match[1]}")
if named == 0:
    failures.append("no test case is named in the documentation: this check reads something else than it should")
print("\n".join(failures) or f"{named} test cases named")
sys.exit(bool(failures))
PYTHON
