#!/usr/bin/env bash
# Code in the documentation is code that is compiled and run: every ```cpp block of README.md and docs/*.md is a verbatim
# run of lines of a file in examples/, indentation of the whole block apart. The README shows all of echo_server.cpp.
# Links between files lead somewhere. And an example stays short enough to be read at one go; a single one may be a program
# of several files in a folder, to show that the library carries one.
set -euo pipefail
cd "$1"

python3 -B - README.md docs/*.md <<'PYTHON'
import pathlib
import re
import sys
import textwrap

failures = []
examples = {path: path.read_text() for path in sorted(pathlib.Path("examples").glob("*.cpp"))}
for path, text in examples.items():
    if text.count("\n") >= 60:
        failures.append(f"{path} has {text.count(chr(10))} lines, an example has fewer than 60")
folders = [path.name for path in pathlib.Path("examples").iterdir() if path.is_dir()]
if folders != ["file_server"]:
    failures.append(f"of the examples only file_server is more than one file, found {folders}")


def runs(text, count):
    """Every run of `count` lines, without the indentation they share."""
    lines = text.splitlines()
    for first in range(len(lines) - count + 1):
        yield textwrap.dedent("\n".join(lines[first : first + count])).strip()


snippets = 0
for page in sys.argv[1:]:
    text = pathlib.Path(page).read_text()
    for fence in re.finditer(r"^```(?:cpp|c\+\+|cxx)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        snippets += 1
        wanted = textwrap.dedent(fence[1]).strip()
        count = wanted.count("\n") + 1
        if not any(wanted in runs(example, count) for example in examples.values()):
            line = text.count("\n", 0, fence.start()) + 1
            failures.append(f"{page}:{line}: in no example:\n{wanted}")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if "://" not in target and not (pathlib.Path(page).parent / target).exists():
            failures.append(f"{page}: the link to {target} leads nowhere")

server = examples[pathlib.Path("examples/echo_server.cpp")]
if f"```cpp\n{server}```\n" not in pathlib.Path("README.md").read_text():
    failures.append("README.md does not show the whole of examples/echo_server.cpp")

print(f"{snippets} snippets compared with {len(examples)} examples")
if failures:
    sys.exit("\n".join(failures))
PYTHON
