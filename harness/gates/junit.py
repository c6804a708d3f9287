"""The outcome of gates as JUnit XML, which every CI shows."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from harness.gates.check import Checked
from harness.text import for_terminal


def junit(task: str, found: Sequence[Checked]) -> str:
    """One test case for each gate and record."""
    failed = sum(not one.passed for one in found)
    counts = {"tests": str(len(found)), "failures": str(failed), "errors": "0"}
    suites = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": _text(task), **counts})
    for one in found:
        axes = one.record.axes if one.record else {}
        which = ", ".join(f"{key}={value}" for key, value in axes.items())
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {
                "classname": _text(f"{task}.gates"),
                "name": _text(f"{one.gate.name} ({which})" if which else one.gate.name),
            },
        )
        if not one.passed:
            message = _text(f"{one.gate.text}: {one.message}")
            ElementTree.SubElement(case, "failure", {"message": message}).text = message
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _text(text: str) -> str:
    """XML has no place for control characters, not even escaped ones."""
    return for_terminal(text, 2000)
