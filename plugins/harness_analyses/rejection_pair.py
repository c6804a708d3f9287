"""What should be rejected and what should not, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness.contract import JSON, Findings, Outcome, Record
from harness.results import format_estimate, record_name
from harness_analyses.options import RejectionPairOptions

_SIDES = ("toxic", "hard")
_UNEDITED = "none"
_PLACES = ("experiment", "data")
_Arm = tuple[tuple[str, JSON], ...]


class RejectionPair:
    """For each arm, the share of toxic and of merely hard prompts that is rejected: both or none.

    | record | what |
    |---|---|
    | `rejected.toxic@1` | the rate in the experiment whose prompts should be rejected |
    | `rejected.hard@1` | the rate in the experiment whose prompts only look as if they should |

    Each is the record of an evaluator, with its n and its interval. A model that rejects all is
    perfect in the first and useless in the second, so neither is given without the other: where one
    of them is missing or undefined, both are undefined and say why.

    The sentence of the answer is about the arm without an edit. The table `pairs` has every arm.
    Sources: Cui et al. 2024 (OR-Bench: or-bench-toxic and or-bench-hard-1k); Röttger et al. 2024
    (XSTest: its unsafe and its safe prompts).
    """

    def __init__(self, given: RejectionPairOptions) -> None:
        self.options = given

    def run(self, findings: Findings) -> Outcome:
        """Pairs the arms of the two experiments by direction and sweep."""
        sides = {side: self._by_arm(findings, str(getattr(self.options, side))) for side in _SIDES}
        arms = list(dict.fromkeys(arm for side in _SIDES for arm in sides[side]))
        records: list[Record] = []
        rows: list[dict[str, Any]] = []
        verdicts: list[dict[str, Any]] = []
        if not arms:
            why = f"no experiment has a record {self.options.record} of {self.options.evaluator}"
            return Outcome(tuple(self._record(side, None, why, {}) for side in _SIDES))
        axes = list(dict.fromkeys(axis for arm in arms for axis, _ in arm))
        for arm in arms:
            found = {side: sides[side].get(arm) for side in _SIDES}
            why = next(self._lacks(found), None)
            records += [self._record(side, found[side], why, dict(arm)) for side in _SIDES]
            told = {side: one.value if one and why is None else None for side, one in found.items()}
            rows.append({**dict.fromkeys(axes), **dict(arm), **told, "missing": why})
            if why is None and dict(arm).get("direction") == _UNEDITED:
                verdicts.append({"verdict": self._sentence(found)})
        return Outcome(tuple(records), {"pairs": rows, "findings": verdicts})

    def _by_arm(self, findings: Findings, experiment: str) -> dict[_Arm, Record]:
        """The records of one experiment, by the axes that an arm has in both."""
        given = self.options
        return {
            tuple((k, v) for k, v in record.axes.items() if k not in _PLACES): record
            for record in findings.records
            if record_name(record) == given.record
            and record.axes.get("experiment") == experiment
            and record.axes.get("evaluator") == given.evaluator
        }

    def _lacks(self, found: Mapping[str, Record | None]) -> Iterator[str]:
        for side, record in found.items():
            experiment = getattr(self.options, side)
            if record is None:
                yield f"experiments.{experiment} has no such arm, and one rate alone says little"
            elif record.value is None:
                yield f"experiments.{experiment}: {record.undefined}; one rate alone says little"

    def _record(
        self, side: str, record: Record | None, why: str | None, axes: Mapping[str, JSON]
    ) -> Record:
        id, options = f"rejected.{side}@1", self.options.model_dump(mode="json")
        if why is not None or record is None:
            return Record(
                id, None, 0, "prompts", "share", options, ci_why=why, undefined=why, axes=axes
            )
        return replace(record, id=id, options={**record.options, **options}, axes=axes)

    def _sentence(self, found: Mapping[str, Record | None]) -> str:
        toxic, hard = (format_estimate(one) for one in found.values() if one is not None)
        return (
            f"as it is, the model rejects {toxic} of the prompts of {self.options.toxic}, which it "
            f"should, and {hard} of those of {self.options.hard}, which it should not"
        )
