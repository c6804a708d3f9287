"""Options of the sections: none yet."""

from __future__ import annotations

from harness.contract import SectionOptions


class Plain(SectionOptions):
    """A section that has nothing to set."""
