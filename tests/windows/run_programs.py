"""Runs the test programs under Wine, each in one process: run_programs.py WINE BUILD NOT_APPLICABLE JUNIT [PROGRAM...]

Wine takes long to start a program, so a program runs all its cases; one that dies or hangs is started again for those
that are left, and the case it was in has failed. What NOT_APPLICABLE names is left out, by name and with the reason.
A line of it that fits nothing is a failure, too. The result is one JUnit file with every case.
"""

import collections
import fnmatch
import pathlib
import queue
import re
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree as ElementTree

# Nothing takes as long for a single case; in seconds.
SILENCE = 120
# Anywhere in a line: what a case has said before may lack its end. Of a failed case with a parameter a comma follows.
RUN = re.compile(r"\[ RUN      \] (\S+)$")
RESULT = re.compile(r"\[ +(OK|FAILED|SKIPPED) +\] (\S+?)(?:,.*)? \(\d+ ms\)$")
KINDS = {"OK": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
NOT_UTF8 = {"encoding": "utf-8", "errors": "replace"}

Result = collections.namedtuple("Result", "case kind text")  # kind: passed, failed, skipped, left out


class NotApplicable:
    """The list of what does not run: "program NAME | reason", "file PATH | reason", "case PATTERN | reason"."""

    def __init__(self, path):
        self.entries = {"program": {}, "file": {}, "case": {}}
        for line in path.read_text().splitlines():
            if line and not line.startswith("#"):
                what, reason = line.split(" | ", 1)
                kind, name = what.split(maxsplit=1)
                self.entries[kind][name.strip()] = reason.strip()
        self.unused = set(self.entries["case"])

    def reason(self, case):
        fitting = [pattern for pattern in self.entries["case"] if fnmatch.fnmatchcase(case, pattern)]
        self.unused.difference_update(fitting)
        return self.entries["case"][fitting[0]] if fitting else None


class Output:
    """The lines of a process, read as they come."""

    def __init__(self, process):
        self._process = process
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self._process.stdout:
            self._lines.put(line.rstrip("\r\n"))
        self._lines.put(None)

    def next(self):
        """The next line, or none at the end; queue.Empty if it says nothing for too long."""
        return self._lines.get(timeout=SILENCE)


def start(wine, program, *options):
    return subprocess.Popen([wine, program, *options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, **NOT_UTF8)


def cases_of(wine, program):
    with start(wine, program, "--gtest_list_tests") as process:
        output, _ = process.communicate(timeout=SILENCE)
    if process.returncode != 0:
        sys.exit(f"{program.name} does not list its cases:\n{output}")
    cases = []
    suite = None
    for line in output.splitlines():
        name = line.split("#")[0].strip()
        if line.startswith("  "):
            cases.append(suite + name)
        elif name.endswith("."):
            suite = name
    return cases


class Reader:
    """Makes results of the lines of one process."""

    def __init__(self):
        self.results = []
        self._current, self._said = None, []

    def take(self, line):
        if found := RUN.search(line):
            self.fail_current("another case began")
            self._current, self._said = found[1], []
        elif self._current and (found := RESULT.search(line)) and found[2] == self._current:
            self._said.append(line[:found.start()])
            self._end(KINDS[found[1]])
        else:
            self._said.append(line)

    def fail_current(self, reason):
        """The case under way has failed, if there is one."""
        if self._current:
            self._said.append(reason)
            self._end("failed")

    def fail(self, case, reason):
        self.results.append(Result(case, "failed", "\n".join([*self._said, reason])))

    def _end(self, kind):
        self.results.append(Result(self._current, kind, "\n".join(filter(None, self._said))))
        self._current, self._said = None, []


def run_once(wine, program, cases):
    """One process for these cases: the results of those that it came to."""
    reader = Reader()
    with tempfile.NamedTemporaryFile("w", suffix=".flags") as flags:
        flags.write(f"--gtest_filter={':'.join(cases)}\n")
        flags.flush()
        # To Wine the whole file system of Linux is drive Z.
        with start(wine, program, f"--gtest_flagfile=Z:{flags.name}") as process:
            output = Output(process)
            try:
                while (line := output.next()) is not None:
                    reader.take(line)
                code = process.wait(SILENCE)
                ending = f"the program ended with exit code {code}"
            except (queue.Empty, subprocess.TimeoutExpired):
                process.kill()
                code, ending = None, f"nothing happened for {SILENCE} s"
    reader.fail_current(ending)
    if code != 0 and reader.results and all(result.kind != "failed" for result in reader.results):
        # It went wrong between the cases or behind the last one.
        reader.fail(f"{program.stem}.after_{reader.results[-1].case}", ending)
    return reader.results


def run_program(wine, program, cases):
    results = []
    left = cases
    while left:
        new = run_once(wine, program, left)
        done = {result.case for result in new}
        if done.isdisjoint(left):
            new.append(Result(left[0], "failed", "the program did not come to this case"))
            done.add(left[0])
        results.extend(new)
        left = [case for case in left if case not in done]
    return results


def write_junit(path, results):
    counts = collections.Counter(result.kind for _, result in results)
    suite = ElementTree.Element("testsuite", {
        "name": "windows", "tests": str(len(results)), "failures": str(counts["failed"]),
        "skipped": str(counts["skipped"] + counts["left out"]), "disabled": "0"})
    for program, result in results:
        case = ElementTree.SubElement(suite, "testcase", {"classname": program, "name": result.case})
        if result.kind != "passed":
            kind = "failure" if result.kind == "failed" else "skipped"
            ElementTree.SubElement(case, kind, {"message": result.text})
    ElementTree.ElementTree(suite).write(path, encoding="utf-8", xml_declaration=True)
    return counts


def echo_result(wine, build):
    """The example echo_server with a client of Linux, which looks for no mistake of Wine's sockets on both ends."""
    script = pathlib.Path(__file__).with_name("echo_test.py")
    done = subprocess.run([sys.executable, "-B", script, wine, build / "examples/echo_server.exe"], check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **NOT_UTF8)
    return Result("echo_server_with_a_client_of_Linux", "failed" if done.returncode else "passed", done.stdout)


def main(wine, build, not_applicable, junit, *wanted):
    build = pathlib.Path(build)
    listed = NotApplicable(pathlib.Path(not_applicable))
    results = []
    for program in sorted(build.glob("tests/*_test.exe")):
        name = program.stem.removesuffix("_test")
        if wanted and name not in wanted:
            continue
        cases = cases_of(wine, program)
        reasons = {case: listed.reason(case) for case in cases}
        own = run_program(wine, program, [case for case in cases if reasons[case] is None])
        own += [Result(case, "left out", reason) for case, reason in reasons.items() if reason is not None]
        results += [(name, result) for result in own]
        counts = collections.Counter(result.kind for result in own)
        print(f"=== {name}: " + ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())), flush=True)
        for result in own:
            if result.kind == "failed":
                print(f"FAILED {name}.{result.case}\n{result.text}", flush=True)
            elif result.kind == "skipped":
                print(f"skipped itself: {name}.{result.case}\n{result.text}", flush=True)
    if not wanted:
        results.append(("windows", echo_result(wine, build)))
        results += [("not_applicable", Result(pattern, "failed", "no case has such a name"))
                    for pattern in sorted(listed.unused)]

    for kind in ("program", "file"):
        for name, reason in listed.entries[kind].items():
            print(f"not built: {kind} {name}: {reason}")
    by_reason = collections.Counter()
    for name, result in results:
        if result.kind == "left out":
            print(f"not run: {name}.{result.case}: {result.text}")
            by_reason[result.text] += 1
    for reason, count in by_reason.most_common():
        print(f"=== not run, {count} cases: {reason}")
    counts = write_junit(junit, results)
    for name, result in results:
        if result.kind == "failed":
            print(f"=== FAILED {name}.{result.case}")
    print("=== " + ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    if counts["passed"] == 0:
        sys.exit("not one case passed")
    sys.exit(counts["failed"] != 0)


main(*sys.argv[1:])
