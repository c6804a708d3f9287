"""A source of labels and an analysis: what they were given is in the lab."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from fakes.lab import LAB
from harness.contract import (
    AnalysisOptions,
    Findings,
    Label,
    LabelsOptions,
    Outcome,
    PValues,
    Record,
    SaeFacts,
)
from harness.errors import MachineError


class GlossaryOptions(LabelsOptions):
    """Options of `glossary`."""

    wrong: Literal["", "twice", "unasked", "elsewhere", "offline"] = ""
    """What it does wrong."""
    skip: int = 0
    """How many of the first features it knows nothing of."""


class Glossary:
    """Says of each feature what its number is; in reverse order."""

    def __init__(self, options: GlossaryOptions) -> None:
        self.options = options
        self.notes: tuple[str, ...] = ()

    def describe(
        self, sae: str, facts: SaeFacts, features: Sequence[int], findings: Findings
    ) -> Sequence[Label]:
        LAB.looked_up.append((sae, tuple(features)))
        LAB.findings.append(findings)
        if self.options.skip:
            self.notes = (f"knows nothing of {self.options.skip}",)
        if self.options.wrong == "offline":
            raise MachineError("labels: the network is gone. A rerun tries again.")
        named = "other" if self.options.wrong == "elsewhere" else sae
        contexts = ({"tokens": ["a"], "values": [1.0]},)
        found = [
            Label(named, feature, f"number {feature}", contexts=contexts)
            for feature in features[self.options.skip :]
        ]
        if self.options.wrong == "twice":
            found.append(found[0])
        if self.options.wrong == "unasked":
            found.append(Label(sae, 10**6, "nobody asked"))
        return found[::-1]


class PeekOptions(AnalysisOptions):
    """Options of `peek`."""


class Peek:
    """Looks at the findings, and counts the records."""

    def __init__(self, options: PeekOptions) -> None:
        self.options = options

    def run(self, findings: Findings) -> Outcome:
        LAB.findings.append(findings)
        count = float(len(findings.records))
        tests = PValues("peek.p@1", np.full(5, 0.2), "nothing", item="place", axes={"of": "all"})
        record = Record("peek.records@1", count, 1, "runs", "records", ci_why="exact")
        return Outcome((record,), p_values=(tests,))
