"""What every section here is built on."""

from __future__ import annotations

from harness.contract import SectionOptions


class PlainSection:
    """A section that has nothing to set."""

    def __init__(self, options: SectionOptions) -> None:
        self.options = options
