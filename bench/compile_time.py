#!/usr/bin/env python3
"""What including Sluice costs a compiler: CPU time for each public header alone, and for the echo server beside the same
server written with Asio (bench/compile_time/). Needs no build of the library.

    bench/compile_time.py                        # the table
    bench/compile_time.py --most 0.6             # exit status 1 if the echo server takes more than 0.6 x of Asio's

CPU time of the compiler's processes, user and system, so that a busy machine disturbs little; rounds are interleaved and
ratios formed within a round, as in bench/echo.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include"
OURS = ROOT / "examples" / "echo_server.cpp"
ASIO = ROOT / "bench" / "compile_time" / "asio_echo_server.cpp"
# What nearly every program includes anyway; shown so that a header's own part can be seen.
USUAL = "#include <chrono>\n#include <functional>\n#include <memory>\n#include <string>\n#include <vector>\n"


def cpu_seconds(command):
    """Runs the compiler and gives its CPU time, that of the programs it starts included; raises if it fails."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stderr.close()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{errors.decode(errors='replace')}")
    return usage.ru_utime + usage.ru_stime


def alone(compiler, source):
    return [compiler, "-std=c++20", "-fsyntax-only", "-I", INCLUDE, "-x", "c++", source]


def whole(compiler, source, level):
    return [compiler, "-std=c++20", level, "-DNDEBUG", "-I", INCLUDE, "-c", source, "-o", os.devnull]


def measure(commands, rounds):
    """Maps each name to its CPU seconds, one value a round; every other round goes backwards."""
    times = {name: [] for name in commands}
    for number in range(rounds):
        for name in list(commands)[:: 1 if number % 2 == 0 else -1]:
            times[name].append(cpu_seconds(commands[name]))
    return times


def print_headers(compiler, rounds, folder):
    commands = {}
    for name, text in {"(nothing)": "", "(five usual ones of std)": USUAL}.items():
        commands[name] = text
    for header in sorted((INCLUDE / "sluice").glob("*.hpp")):
        commands[f"sluice/{header.name}"] = f"#include <sluice/{header.name}>\n"
    for number, (name, text) in enumerate(commands.items()):
        source = folder / f"{number}.cpp"
        source.write_text(text, encoding="utf-8")
        commands[name] = alone(compiler, source)
    times = measure(commands, rounds)
    print(f"{'header alone, ms of CPU':32} {'median':>7} {'min':>7} {'max':>7}")
    for name, values in sorted(times.items(), key=lambda item: statistics.median(item[1])):
        print(
            f"{name:32} {statistics.median(values) * 1e3:7.0f} {min(values) * 1e3:7.0f} {max(values) * 1e3:7.0f}"
        )


def has_asio(compiler):
    test = subprocess.run(
        [compiler, "-E", "-x", "c++", "-", "-o", os.devnull], input=b"#include <asio/version.hpp>\n", capture_output=True
    )
    return test.returncode == 0


def echo_servers(compiler, rounds):
    """Prints the comparison; gives the largest median ratio."""
    print(f"\n{'echo server, ms of CPU':32} {'Sluice':>7} {'Asio':>7} {'ratio':>7}  range")
    worst = 0.0
    for level in ("-O0", "-O2"):
        times = measure({"ours": whole(compiler, OURS, level), "asio": whole(compiler, ASIO, level)}, rounds)
        ratios = [ours / asio for ours, asio in zip(times["ours"], times["asio"])]
        ratio = statistics.median(ratios)
        worst = max(worst, ratio)
        print(
            f"{level:32} {statistics.median(times['ours']) * 1e3:7.0f} {statistics.median(times['asio']) * 1e3:7.0f} "
            f"{ratio:7.2f}  {min(ratios):.2f}-{max(ratios):.2f}"
        )
    return worst


def main():
    parser = argparse.ArgumentParser(description="Measures what including Sluice costs a compiler.")
    parser.add_argument("--compiler", default=os.environ.get("CXX", "g++"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--most", type=float, help="fail when the echo server's ratio to Asio's is larger")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print_headers(options.compiler, options.rounds, pathlib.Path(folder))
    if not has_asio(options.compiler):
        print("skipped: the comparison with Asio, which is not installed (Debian package libasio-dev)", file=sys.stderr)
        return 0
    worst = echo_servers(options.compiler, options.rounds)
    if options.most is not None and worst > options.most:
        print(f"the echo server takes {worst:.2f} x the time of Asio's, more than {options.most}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
