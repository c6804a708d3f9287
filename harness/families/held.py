"""Arms that are held against a control, by the prompts that both answered."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import Record, Results
from harness.results.matched import Tested, matched
from harness.results.paired import PromptScores
from harness.results.records import grouped
from harness.results.samples import Scores
from harness.results.series import DRAW
from harness.results.verdicts import Verdicts


class Held:
    """The arms of a run, and the verdicts behind each."""

    def __init__(self, results: Results) -> None:
        arms = [record for record in results.records if "direction" in record.axes]
        self._arms = grouped(arms, _score)
        self._verdicts = Verdicts(results)
        self._known: dict[int, Scores | None] = {}

    def against(self, arm: Record, control: str) -> tuple[Tested, float] | str:
        """The p that an arm does as its control does, and the control's mean; or why there is none.

        The control's arm is that of the same experiment, score and step; where it has draws, all
        of them. Axes that the control does not have, such as the step of a sweep, do not count.
        """
        its = [one for one in self._arms[_score(arm)] if one.axes["direction"] == control]
        if not its:
            return f"{control} was not measured beside it"
        known = {key for one in its for key in one.axes}
        wanted = {k: v for k, v in arm.axes.items() if k in known - {"direction", DRAW}}
        fitting = [one for one in its if all(one.axes.get(k) == v for k, v in wanted.items())]
        values = [one.value for one in fitting if one.value is not None]
        if not values:
            return f"{control} is undefined, or has no such step"
        if len({str(sorted(_step(one).items())) for one in fitting}) > 1:
            return (
                f"{control} has {len(fitting)} arms, and which of them it is held against is open"
            )
        scores = self._scores([arm, *(one for one in fitting if one.value is not None)])
        if scores is None:
            return "no verdict of each prompt is kept, which its p would be made of"
        found = matched(scores[0], scores[1:])
        return found if isinstance(found, str) else (found, sum(values) / len(values))

    def _scores(self, records: Sequence[Record]) -> list[PromptScores] | None:
        found: list[PromptScores] = []
        for record in records:
            if id(record) not in self._known:
                self._known[id(record)] = self._verdicts.of(record)
            scores = self._known[id(record)]
            if scores is None:
                return None
            found.append(scores.by_prompt)
        return found


def _score(record: Record) -> tuple[str, ...]:
    """Arms of one score of one experiment."""
    axes = (str(record.axes.get(axis)) for axis in ("experiment", "evaluator", "domain"))
    return record.id, str(sorted(record.options.items())), *axes


def _step(record: Record) -> dict[str, object]:
    return {key: value for key, value in record.axes.items() if key != DRAW}
