"""From completions to records: judges, rates with intervals, receipts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.contract import JSON, Axes, Evaluator, Record, Score, Tools, Verdict
from harness.errors import PluginError
from harness.results.intervals import wilson
from harness.running.experiments.completions import ArmOutcome
from harness.task.task import Entry


@dataclass(frozen=True)
class Judged:
    """The verdicts of one evaluator on every arm of an experiment, in the order of the answers."""

    evaluator: str
    options: Mapping[str, Any]
    scores: tuple[Score, ...]
    verdicts: tuple[tuple[Verdict, ...], ...]


def judge(entry: Entry[Any], outcomes: Sequence[ArmOutcome], tools: Tools) -> Judged:
    """Asks one evaluator about all completions at once."""
    evaluator: Evaluator = entry.build()
    answers = [answer for outcome in outcomes for answer in outcome.answers]
    found = list(evaluator.judge(answers, tools) if answers else ())
    if len(found) != len(answers):
        raise PluginError(
            f"evaluators.{entry.name}: {entry.owner} gave {len(found)} verdicts on {len(answers)} "
            "completions. It must give one for each. Report it to the plugin's author."
        )
    verdicts = iter(found)
    by_arm = tuple(tuple(next(verdicts) for _ in outcome.answers) for outcome in outcomes)
    return Judged(entry.name, entry.options.model_dump(mode="json"), evaluator.scores, by_arm)


def verdict_records(
    judged: Judged,
    outcomes: Sequence[ArmOutcome],
    axes: Mapping[str, JSON],
    seed: int,
) -> Iterator[Record]:
    """One record per arm and score, and the share of completions that could not be judged.

    Their options are the evaluator's, which say what the number means. The intervention is what
    is tried: runs that differ in it can be compared.
    """
    options = judged.options
    for outcome, verdicts in zip(outcomes, judged.verdicts, strict=True):
        planned = outcome.planned
        own = {"direction": planned.direction, "evaluator": judged.evaluator}
        at = _joined({**axes, **own}, planned.axes)
        for score in judged.scores:
            values = [verdict.scores[score.name] for verdict in verdicts]
            known = [float(value) for value in values if value is not None]
            rate = all(isinstance(value, bool) for value in values if value is not None)
            ci, why = _interval(known, rate, seed)
            yield Record(
                score.id,
                float(np.mean(known)) if known else None,
                len(known),
                "prompts",
                score.unit,
                options,
                len(known),
                ci,
                why,
                undefined=None if known else outcome.undefined or "no completion could be judged",
                axes=at,
            )
        unknown = sum(None in verdict.scores.values() for verdict in verdicts)
        yield Record(
            "invalid_verdicts@1",
            unknown / len(verdicts) if verdicts else None,
            len(verdicts),
            "prompts",
            "share",
            options,
            len(verdicts),
            wilson(unknown, len(verdicts)) if verdicts else None,
            None if verdicts else "nothing was judged",
            undefined=None if verdicts else outcome.undefined,
            axes=at,
        )


def _joined(axes: Axes, of_direction: Axes) -> Axes:
    """Both; an axis of the direction's sweep that the experiment has too is `direction_<name>`."""
    theirs = {f"direction_{k}" if k in axes else k: value for k, value in of_direction.items()}
    return {**axes, **theirs}


def _interval(
    values: Sequence[float], rate: bool, seed: int
) -> tuple[tuple[float, float] | None, str | None]:
    """A 95% interval over prompts: Wilson's for yes and no, a bootstrap's for other scores."""
    if not values:
        return None, "no completion was judged"
    if rate:
        return wilson(int(sum(values)), len(values)), None
    if len(values) < 10:
        return None, f"{len(values)} prompts are too few for a bootstrap"
    drawn = np.random.default_rng(seed).choice(values, (1000, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return (float(low), float(high)), None


def receipt_records(
    outcomes: Sequence[ArmOutcome], axes: Mapping[str, JSON], options: Mapping[str, Any]
) -> Iterator[Record]:
    """What the edits of each arm did to the activations, as records."""
    why = "a count of what was done, not an estimate"
    for outcome in outcomes:
        receipt, planned = outcome.receipt, outcome.planned
        if receipt is None or not receipt.fired:
            continue
        at = _joined({**axes, "direction": planned.direction}, planned.axes)
        n = receipt.tokens
        yield Record(
            "edit.relative@1",
            receipt.relative,
            n,
            "edited tokens",
            "ratio",
            options,
            ci_why=why,
            axes=at,
            undefined=None if receipt.relative is not None else "no token was edited",
        )
        for name, value in _worst(receipt.checks).items():
            yield Record(
                "edit.check@1",
                value,
                n,
                "edited tokens",
                "ratio",
                options,
                ci_why="the largest value seen, not an estimate",
                axes={**at, "check": name},
            )


def _worst(checks: Mapping[str, float]) -> dict[str, float]:
    """The largest value of each check over the sites where it was made (`name at site`)."""
    worst: dict[str, float] = {}
    for name, value in checks.items():
        what = name.partition(" at ")[0]
        old = worst.get(what, -math.inf)
        # What is not a number is worse than any.
        worst[what] = old if math.isnan(old) or old > value else value
    return worst


def receipt_failures(experiment: str, outcomes: Sequence[ArmOutcome]) -> Iterator[str]:
    """Arms whose edits did not do what they promised."""
    for outcome in outcomes:
        receipt = outcome.receipt
        if receipt is None or outcome.idle:
            continue
        where = f"experiments.{experiment}, direction {outcome.planned.label}"
        if not receipt.changed:
            yield (
                f"{where}: the intervention changed nothing (it ran {receipt.fired} times on "
                f"{receipt.tokens} tokens), so its completions are those of the unedited model."
            )
        for name in receipt.broken:
            value = receipt.checks.get(name)
            measured = "" if value is None else f" (measured {value:.2g})"
            yield f"{where}: the intervention broke its promise {name!r}{measured}."


def samples(judged: Sequence[Judged], outcomes: Sequence[ArmOutcome]) -> Iterator[dict[str, Any]]:
    """Every completion with its prompt and verdicts, one row each."""
    for arm, outcome in enumerate(outcomes):
        for index, answer in enumerate(outcome.answers):
            verdicts = {one.evaluator: one.verdicts[arm][index] for one in judged}
            yield {
                **outcome.planned.axes,
                "direction": outcome.planned.direction,
                "example": answer.example.id,
                "text": answer.example.text,
                "prompt": answer.prompt,
                "completion": answer.completion.text,
                "tokens": answer.completion.tokens,
                "stopped": answer.completion.stopped,
                "verdicts": {
                    name: {**verdict.scores, **({"note": verdict.note} if verdict.note else {})}
                    for name, verdict in verdicts.items()
                },
            }
