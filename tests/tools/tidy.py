#!/usr/bin/env python3
"""Runs clang-tidy over source files: tidy.py BUILD ROOT JOBS FOLDER-OR-FILE...

BUILD has a compile_commands.json. What was found clean is not looked at again: a file's result depends on its text with
everything it includes, the options it is compiled with, the configuration and clang-tidy itself, so an empty file named
after the digest of all that is kept in the cache, outside the tree. Only clean files are remembered; one with a remark
is shown each time. Exits with 1 if there is any.
"""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import shlex
import subprocess
import sys
import time

TIDY = "clang-tidy-19"
MONTH = 30 * 24 * 3600  # after which what nobody asked for is forgotten


def cache_folder():
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = pathlib.Path(base, "sluice", "tidy")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def compiler_options(entry):
    """The command without the compiler's launcher, and without what it makes."""
    words = entry.get("arguments") or shlex.split(entry["command"])
    start = next(i for i, word in enumerate(words) if "clang++" in os.path.basename(word))
    words = words[start:]
    for option in ("-o", "-MF", "-MT"):
        while option in words:
            at = words.index(option)
            del words[at : at + 2]
    return [word for word in words if word not in ("-c", "-MD")]


def configuration_of(file, root):
    folders = [folder for folder in pathlib.Path(file).parents if folder.is_relative_to(root)]
    return b"\0".join(path.read_bytes() for folder in folders if (path := folder / ".clang-tidy").exists())


def digest_of(entry, root, configuration):
    words = compiler_options(entry)
    # -C: remarks are switched off by comments. -P: a clone in another folder has the same digest.
    text = subprocess.run([*words, "-E", "-C", "-P"], cwd=entry["directory"], capture_output=True, check=True).stdout
    options = " ".join(words).replace(root, "")
    return hashlib.sha256(configuration + options.encode() + b"\0" + text).hexdigest()


def main():
    build, root, jobs, *places = sys.argv[1:]
    version = subprocess.run([TIDY, "--version"], capture_output=True, check=True).stdout
    places = [os.path.join(root, place) for place in places]
    wanted = tuple(os.path.join(place, "") if os.path.isdir(place) else place for place in places)
    entries = json.loads(pathlib.Path(build, "compile_commands.json").read_text())
    # A file that several targets compile is looked at as the first does it.
    entries = {entry["file"]: entry for entry in reversed(entries) if entry["file"].startswith(wanted)}
    entries = list(reversed(entries.values()))
    if not entries:
        sys.exit(f"no file of {', '.join(places)} in {build}/compile_commands.json")
    cache = cache_folder()

    def look_at(entry):
        name = os.path.relpath(entry["file"], root)
        mark = cache / digest_of(entry, root, version + configuration_of(entry["file"], root))
        if mark.exists():
            mark.touch()
            return name, True, ""
        result = subprocess.run([TIDY, "-quiet", "-p", build, entry["file"]], capture_output=True, text=True)
        if result.returncode == 0 and not result.stdout.strip():
            mark.touch()
            return name, False, ""
        return name, False, result.stdout or result.stderr or f"{TIDY} ended with {result.returncode}"

    remarks = known = 0
    with concurrent.futures.ThreadPoolExecutor(int(jobs)) as pool:
        for name, was_known, text in pool.map(look_at, entries):
            known += was_known
            remarks += bool(text)
            print(f"{name}: {text or 'clean'}{' (as before)' if was_known else ''}", flush=True)
    for mark in cache.iterdir():
        if time.time() - mark.stat().st_mtime > MONTH:
            mark.unlink(missing_ok=True)
    print(f"{len(entries)} files, {known} of them clean as before, {remarks} with remarks")
    sys.exit(remarks != 0)


if __name__ == "__main__":
    main()
