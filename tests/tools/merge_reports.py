"""Puts the cases of test programs into CTest's JUnit report, in place of the programs.

usage: merge_reports.py <CTest's report, rewritten> <folder with <program>.xml, GoogleTest's reports>

A program that failed although none of its cases did (a leak that is found at the end, a crash, a time limit) stays, as a
failure of its own. What was skipped and what failed is printed.
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def cases_of(report: pathlib.Path, program: str) -> list[ElementTree.Element]:
    """GoogleTest's cases as CTest would have written them."""
    cases = []
    for found in ElementTree.parse(report).iter("testcase"):
        name = f"{program}.{found.get('classname')}.{found.get('name')}"
        case = ElementTree.Element("testcase", name=name, classname=name, time=found.get("time", "0"), status="run")
        case.extend(found.findall("failure"))
        skipped = found.find("skipped")
        if case.find("failure") is not None:
            case.set("status", "fail")
        elif skipped is not None or found.get("status") != "run":
            case.set("status", "notrun" if skipped is not None else "disabled")
            ElementTree.SubElement(case, "skipped", message=skipped.get("message", "") if skipped is not None else "disabled")
        cases.append(case)
    return cases


def merged(program: ElementTree.Element, folder: pathlib.Path) -> list[ElementTree.Element]:
    report = folder / f"{program.get('name')}.xml"
    failed = program.get("status") == "fail"
    try:
        cases = cases_of(report, program.get("name"))
    except (FileNotFoundError, ElementTree.ParseError):
        return [program]  # No test program, or one that never got to its report.
    if failed and not any(case.get("status") == "fail" for case in cases):
        cases.append(program)
    return cases


def main() -> None:
    path, folder = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    tree = ElementTree.parse(path)
    suite = tree.getroot()
    programs = suite.findall("testcase")
    cases = [case for program in programs for case in merged(program, folder)]
    for program in programs:
        suite.remove(program)
    suite.extend(cases)
    for attribute, status in (("failures", "fail"), ("disabled", "disabled"), ("skipped", "notrun")):
        suite.set(attribute, str(sum(case.get("status") == status for case in cases)))
    suite.set("tests", str(len(cases)))
    tree.write(path, encoding="unicode", xml_declaration=True)

    for case in cases:
        skipped = case.find("skipped")
        if skipped is not None:
            reason = " ".join(skipped.get("message", "").split("\n")[1:]) or skipped.get("message", "")
            print(f"skipped: {case.get('name')}: {reason}")
    for case in cases:
        if case.get("status") == "fail":
            print(f"failed: {case.get('name')}")
    print(f"{len(cases)} cases of {len(programs)} tests")


if __name__ == "__main__":
    main()
