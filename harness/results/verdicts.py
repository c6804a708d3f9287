"""The verdicts behind a record: the score of each prompt, where completions were judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.contract import Record, Results
from harness.results.paired import PromptScores
from harness.results.records import grouped
from harness.results.samples import Samples, Scores
from harness.results.tables import COMPLETIONS


class Verdicts:
    """The score of each prompt behind a record, where completions were judged."""

    def __init__(self, results: Results) -> None:
        rows = results.tables.get(COMPLETIONS, ())
        by_experiment = grouped(rows, lambda row: str(row.get("experiment")))
        self._samples = Samples(by_experiment)
        self._groups = grouped(results.records, _score)
        self._names: dict[tuple[str, ...], list[str]] = {}

    def of(self, record: Record) -> Scores | None:
        """The scores; None where there are none, or where verdicts leave open which they are.

        A score is known by its numbers: its verdicts have the values of the record and of all
        other arms.
        """
        if "experiment" not in record.axes or "evaluator" not in record.axes:
            return None
        group = _score(record)
        if group not in self._names:
            self._names[group] = self._fitting(group)
        found = [self._samples.scores(record).get(name) for name in self._names[group]]
        return found[0] if found and all(one == found[0] for one in found) else None

    def _fitting(self, group: tuple[str, ...]) -> list[str]:
        """The names of scores that give the value of every arm of a group."""
        names: set[str] | None = None
        for other in self._groups[group]:
            if other.value is not None:
                mine = {*self._samples.scores(other)}
                names = mine if names is None else names & mine
        return sorted(names or ())


def _score(record: Record) -> tuple[str, ...]:
    """Records that are one score of one evaluator, on several arms."""
    axes = (str(record.axes.get("experiment")), str(record.axes.get("evaluator")))
    return record.id, str(sorted(record.options.items())), *axes


def together(scores: Sequence[Scores | None]) -> tuple[PromptScores, bool] | None:
    """The scores of several draws, by prompt, and whether they are yes and no; None where some are
    missing, or of other prompts."""
    known = [one for one in scores if one is not None]
    if not known or len(known) < len(scores):
        return None
    ids = known[0].by_prompt.keys()
    if any(one.by_prompt.keys() != ids for one in known):
        return None
    found: Mapping[str, Sequence[float]] = {
        prompt: [score for one in known for score in one.by_prompt[prompt]] for prompt in ids
    }
    return found, all(one.yes_no for one in known)
