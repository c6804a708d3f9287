"""Labels from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from harness.contract import Findings, Label, SaeFacts
from harness.errors import DataError
from lantern_harness.options import GlossaryOptions


class Glossary:
    """What somebody wrote down about features. Raises DataError where the file cannot be read."""

    notes: tuple[str, ...] = ()

    def __init__(self, options: GlossaryOptions) -> None:
        self.options = options

    def describe(
        self, sae: str, facts: SaeFacts, features: Sequence[int], findings: Findings
    ) -> Sequence[Label]:
        """Those that are in the table of the SAE."""
        path = self.options.path
        try:
            table = tomllib.loads(Path(path).read_text("utf-8")).get(sae, {})
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({error}). Write it as TOML.") from error
        known = {str(one): str(table[str(one)]) for one in features if table.get(str(one))}
        return [Label(sae, one, known[str(one)]) for one in features if str(one) in known]
