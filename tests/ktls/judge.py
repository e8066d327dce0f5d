"""Judges what the guest of run.sh left behind: judge.py FOLDER JUNIT

Every program that was to run has a report, no case failed, at least one ran, and the kernel counted connections that it
sealed itself. The last is a case like the others, because without it the tests prove the fallback. Writes one JUnit file
with all cases. It starts nothing and knows no guest.
"""

import pathlib
import re
import signal
import sys
import xml.etree.ElementTree as ElementTree


def add_case(suite, group, name):
    return ElementTree.SubElement(suite, "testcase", {"classname": group, "name": name})


def fail_case(suite, group, name, reason):
    ElementTree.SubElement(add_case(suite, group, name), "failure", {"message": reason})


def ending(code):
    """What the exit code that a shell reports means."""
    if code > 128 and code - 128 in signal.valid_signals():
        name = signal.Signals(code - 128).name
        return f"was ended by {name}" + (", for it ran into the time limit" if name in ("SIGTERM", "SIGKILL") else "")
    return f"ended with exit code {code}"


def add_program(suite, folder, name, exit_code):
    """The cases of one program; also one that says how it ended, if its report does not."""
    report = folder / "results" / f"{name}.xml"
    failed = False
    try:
        cases = ElementTree.parse(report).getroot().iter("testcase")
    except (OSError, ElementTree.ParseError):
        reason = ending(exit_code) if exit_code is not None else "was not started: no time was left"
        fail_case(suite, name, "leaves_a_report", f"{name} {reason}; its cases are unknown")
        return
    for case in cases:
        case.set("classname", f"{name}.{case.get('classname')}")
        if case.get("result") == "suppressed" and case.find("skipped") is None:
            ElementTree.SubElement(case, "skipped")
        failed = failed or case.find("failure") is not None
        suite.append(case)
    if exit_code != 0 and not failed:
        fail_case(suite, name, "ends_well", f"{name} {ending(exit_code)}, though no case failed")


def add_kernel(suite, folder):
    """The kernel's own count; returns it."""
    text = (folder / "tls_stat").read_text()
    counts = {name: int(value) for name, value in re.findall(r"^(\w+)\s+(\d+)$", text, re.MULTILINE)}
    if not counts:
        fail_case(suite, "guest", "the_kernel_sealed", "/proc/net/tls_stat is missing: the guest's kernel has no TLS")
    elif counts["TlsTxSw"] == 0:
        fail_case(suite, "guest", "the_kernel_sealed", "TlsTxSw is 0 in /proc/net/tls_stat: the kernel sealed nothing")
    else:
        add_case(suite, "guest", "the_kernel_sealed")
    return counts


def main(folder, junit):
    suite = ElementTree.Element("testsuite", {"name": "ktls"})
    exit_codes = {}
    if (folder / "results" / "exit_codes").exists():
        for line in (folder / "results" / "exit_codes").read_text().splitlines():
            name, code = line.split()
            exit_codes[name] = int(code)
    for line in (folder / "programs").read_text().splitlines():
        name = line.split("|")[0]
        add_program(suite, folder, name, exit_codes.get(name))
    failed = [case for case in suite if case.find("failure") is not None]
    skipped = [case for case in suite if case.find("skipped") is not None]
    if len(suite) == len(failed) + len(skipped) and not failed:
        fail_case(suite, "guest", "tests_ran", "not one test ran in the guest")
    counts = add_kernel(suite, folder)

    failed = [case for case in suite if case.find("failure") is not None]
    suite.set("tests", str(len(suite)))
    suite.set("failures", str(len(failed)))
    suite.set("skipped", str(len(skipped)))
    junit.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.indent(suite)
    ElementTree.ElementTree(suite).write(junit, encoding="unicode", xml_declaration=True)

    for case in failed:
        first_line = case.find("failure").get("message", "").splitlines()[0:1]
        print(f"FAILED: {case.get('classname')}.{case.get('name')}: {' '.join(first_line)}")
    print(
        f"{len(suite) - len(failed) - len(skipped)} passed, {len(failed)} failed, {len(skipped)} skipped on Linux "
        f"{(folder / 'kernel').read_text().strip()}, whose kernel sealed {counts.get('TlsTxSw', 0)} and opened "
        f"{counts.get('TlsRxSw', 0)} connections"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
