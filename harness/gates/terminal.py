"""The outcome of gates on the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from harness.gates.check import Checked
from harness.text import for_terminal


def lines(found: Sequence[Checked]) -> list[str]:
    """A line for each gate and record, and a last one that counts."""
    shown = [
        for_terminal(
            f"{'passed' if one.passed else 'FAILED'}  {one.gate.name}: {one.gate.text}  "
            f"({one.message})",
            500,
        )
        for one in found
    ]
    failed = sum(not one.passed for one in found)
    return [*shown, f"Gates: {len(found) - failed} passed, {failed} failed."]
