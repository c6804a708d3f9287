"""How far two judges agree about the same completions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from harness.contract import Findings, Outcome, Record
from harness.results.intervals import clustered_wilson
from harness.results.replicates import replicate_weights
from harness.text import well_formed
from harness_analyses.options import AgreementOptions as Options, Judge
from harness_statistics.records import drawn, number

_KEYS = {"experiment", "direction", "example", "text", "prompt", "completion"}
_KEYS |= {"copy_of", "thought", "unfinished", "tokens", "stopped", "verdicts"}
"""The columns of a completion that are no axes of its arm."""
Replicates = Float[np.ndarray, " replicates"]
Cells = Float[np.ndarray, "replicates 4"]
"""Counts of completions: both say yes, only the left does, only the right does, neither does."""


@dataclass(frozen=True)
class _Pair:
    """One completion that both judged."""

    row: Mapping[str, Any]
    left: bool
    right: bool
    prompt: str
    """The id of the first example that asks the same."""


class Agreement:
    """Compares two yes-or-no scores on every completion that both judges could judge.

    | record | formula |
    |---|---|
    | `agreement.share@1` | p_o, the share of completions on which both say the same |
    | `agreement.kappa@1` | (p_o − p_e) / (1 − p_e), Cohen's, p_e from the margins of both |

    Once for each experiment that both judged (axis `experiment`), or for each one that the task
    names here, and once over all of them (without it). Completions without both verdicts are left
    out, `n` counts the rest. Kappa is undefined where a judge always says the same: then p_o is
    p_e, whatever the other says. Prompts come back in every arm, so neither interval takes
    completions as independent: kappa's is by prompts; the share's is Wilson's at the
    number of independent completions that would vary as much (n over the design effect), or at the
    number of prompts where all agree. Equal prompts are one.
    Sources: Cohen 1960; Franco et al. 2019 for Wilson's interval with a design effect.

    The table `disagreements` has every completion on which they differ, for reading.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def run(self, findings: Findings) -> Outcome:
        """Compares the judges in every experiment and over all; makes the records and the table."""
        wanted = self.options.experiments
        rows = [
            row
            for row in findings.tables.get("completions", ())
            if wanted is None or row["experiment"] in wanted
        ]
        records = list(self._records(rows, findings.seed))
        for name in wanted or self._judged(rows):
            mine = [row for row in rows if row["experiment"] == name]
            records += [record.on(experiment=name) for record in self._records(mine, findings.seed)]
        pairs = self._pairs(rows)
        return Outcome(tuple(records), {"disagreements": list(self._disagreements(pairs))})

    def _judged(self, rows: Sequence[Mapping[str, Any]]) -> list[str]:
        """The experiments in which both evaluators were asked."""
        asked = {self.options.left.evaluator, self.options.right.evaluator}
        return list(dict.fromkeys(r["experiment"] for r in rows if asked <= r["verdicts"].keys()))

    def _pairs(self, rows: Sequence[Mapping[str, Any]]) -> list[_Pair]:
        found = []
        for row in rows:
            values = [_verdict(row, judge) for judge in (self.options.left, self.options.right)]
            if all(isinstance(value, bool) for value in values):
                left, right = values
                given = self.options
                said = left == given.left.means, right == given.right.means
                found.append(_Pair(row, *said, str(row.get("copy_of", row["example"]))))
        return found

    def _records(self, rows: Sequence[Mapping[str, Any]], seed: int) -> Iterator[Record]:
        pairs = self._pairs(rows)
        prompts = list(dict.fromkeys(pair.prompt for pair in pairs))
        common: dict[str, Any] = {"n": len(pairs), "n_of": "completions"}
        common |= {"options": self.options.model_dump(mode="json"), "clusters": len(prompts)}
        if not pairs:
            why = self._nothing(rows)
            for id, unit in (("agreement.share@1", "share"), ("agreement.kappa@1", "coefficient")):
                yield number(id, None, why, ci_why=why, unit=unit, **common)
            return
        counts = _by_prompt(pairs, prompts)
        # Whole numbers: the first row, in which every prompt counts once, is exact.
        replicates = replicate_weights(prompts, seed) @ counts
        shares, chances, kappas = _agreement(replicates)
        ci, ci_why = clustered_wilson(counts[:, 0] + counts[:, 3], counts.sum(1))
        null = {"kind": "chance", "value": float(chances[0])}
        yield Record(
            "agreement.share@1", float(shares[0]), unit="share", ci=ci, ci_why=ci_why, null=null,
            **common,
        )  # fmt: skip
        why, null = self._constant(pairs), {"kind": "chance", "value": 0.0}
        yield drawn("agreement.kappa@1", kappas, why, unit="coefficient", null=null, **common)

    def _nothing(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """Why no completion has a yes or no of both judges."""
        if not rows:
            return "there are no completions"
        for judge in (self.options.left, self.options.right):
            scores = {name for row in rows for name in row["verdicts"].get(judge.evaluator) or ()}
            if not scores:
                return f"{judge.evaluator} judged none of these completions"
            if judge.score not in scores:
                names = ", ".join(sorted(scores - {"note"}))
                return f"{judge.evaluator} has no score {judge.score!r}; it has {names}"
            values = [_verdict(row, judge) for row in rows]
            if any(value is not None and not isinstance(value, bool) for value in values):
                return f"{judge} is a number, not a yes or no"
        return "no completion has a verdict of both judges"

    def _constant(self, pairs: Sequence[_Pair]) -> str:
        sides = ((self.options.left, "left"), (self.options.right, "right"))
        same = [str(judge) for judge, side in sides if len({getattr(p, side) for p in pairs}) == 1]
        return f"{' and '.join(same)} said the same of every completion"

    def _disagreements(self, pairs: Sequence[_Pair]) -> Iterator[dict[str, Any]]:
        for pair in pairs:
            if pair.left != pair.right:
                row = pair.row
                yield {
                    "experiment": row["experiment"],
                    "arm": _arm(row),
                    "example": row["example"],
                    "text": well_formed(row["text"]),
                    "completion": well_formed(row["completion"]),
                    str(self.options.left): _verdict(row, self.options.left),
                    str(self.options.right): _verdict(row, self.options.right),
                }


def _verdict(row: Mapping[str, Any], judge: Judge) -> Any:
    return row["verdicts"].get(judge.evaluator, {}).get(judge.score)


def _arm(row: Mapping[str, Any]) -> str:
    """An arm's direction and axes as one text: arms of other directions have other axes."""
    axes = [f"{key}={value}" for key, value in row.items() if key not in _KEYS]
    return f"{row['direction']}[{','.join(axes)}]" if axes else str(row["direction"])


def _by_prompt(pairs: Sequence[_Pair], prompts: Sequence[str]) -> Float[np.ndarray, "prompts 4"]:
    place = {prompt: index for index, prompt in enumerate(prompts)}
    counts = np.zeros((len(prompts), 4))
    for pair in pairs:
        counts[place[pair.prompt], 2 * (not pair.left) + (not pair.right)] += 1
    return counts


def _agreement(cells: Cells) -> tuple[Replicates, Replicates, Replicates]:
    """p_o, p_e and kappa; NaN without completions, kappa also where a judge is constant."""
    total = cells.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (cells[:, 0] + cells[:, 3]) / total
        left, right = ((cells[:, 0] + cells[:, other]) / total for other in (1, 2))
        chance = left * right + (1 - left) * (1 - right)
        constant = np.isin(left, (0, 1)) | np.isin(right, (0, 1))
        return share, chance, np.where(constant, np.nan, (share - chance) / (1 - chance))
