"""From completions to records: verdicts of evaluators, and rates with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.contract import JSON, Evaluator, Record, Score, Tools, Verdict
from harness.errors import PluginError
from harness.results.intervals import clustered_wilson, wilson
from harness.running.experiments.arms import ArmOutcome
from harness.task.task import Entry


@dataclass(frozen=True)
class Judged:
    """The verdicts of one evaluator on every arm of an experiment, in the order of the answers."""

    evaluator: str
    options: Mapping[str, Any]
    scores: tuple[Score, ...]
    verdicts: tuple[tuple[Verdict, ...], ...]


def judge(entry: Entry[Any], outcomes: Sequence[ArmOutcome], tools: Tools) -> Judged:
    """Lets one evaluator judge all completions of an experiment, in one call.

    Raises PluginError where it does not give one verdict for each.
    """
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
    """For each arm, one record per score and the share of completions that could not be judged.

    A score's value is its mean over the completions that were judged, its clusters are the
    different prompts among them. The records' options are
    the evaluator's, which say what the number means. Those of the intervention are left out, so
    that runs with different interventions can be compared.
    """
    for outcome, verdicts in zip(outcomes, judged.verdicts, strict=True):
        at = outcome.axes(axes, evaluator=judged.evaluator)
        unknown = [None in verdict.scores.values() for verdict in verdicts]
        found: list[tuple[str, str, Sequence[float | None], str, str | None]] = [
            *(
                (
                    score.id,
                    score.unit,
                    [verdict.scores[score.name] for verdict in verdicts],
                    "no completion was judged",
                    "no completion could be judged",
                )
                for score in judged.scores
            ),
            ("invalid_verdicts@1", "share", unknown, "nothing was judged", None),
        ]
        for id, unit, values, no_interval, undefined in found:
            known = [float(value) for value in values if value is not None]
            rate = all(isinstance(value, bool) for value in values if value is not None)
            asked = zip(outcome.answers, values, strict=True)
            clusters = _clusters([answer.prompt for answer, value in asked if value is not None])
            ci, why = _interval(known, clusters, rate, seed) if known else (None, no_interval)
            yield Record(
                id,
                float(np.mean(known)) if known else None,
                len(known),
                "prompts",
                unit,
                judged.options,
                len(set(clusters)),
                ci,
                why,
                undefined=None if known else outcome.undefined or undefined,
                axes=at,
            )


def _interval(
    values: Sequence[float], clusters: Sequence[int], rate: bool, seed: int
) -> tuple[tuple[float, float] | None, str | None]:
    """A 95% interval over prompts, or why there is none: Wilson's for rates of yes and no, else a
    bootstrap's. Values of one cluster are of one prompt, and drawn together."""
    total, count = np.bincount(clusters, values), np.bincount(clusters)
    different = len(count)
    if rate and different == len(values):
        return wilson(int(sum(values)), len(values)), None
    if rate:
        return clustered_wilson(total, count)
    if different < 10:
        return None, f"{different} prompts are too few for a bootstrap"
    rows = np.random.default_rng(seed).choice(different, (1000, different))
    drawn = total[rows].sum(axis=1) / count[rows].sum(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return (float(low), float(high)), None


def _clusters(prompts: Sequence[str]) -> list[int]:
    """For each prompt its number among the different ones: equal prompts are no new evidence."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(prompt, len(numbers)) for prompt in prompts]


def repeated_prompts(outcomes: Sequence[ArmOutcome]) -> str | None:
    """What to say where some prompts of an experiment are equal; None where all are different."""
    prompts = [answer.prompt for answer in next((o.answers for o in outcomes if o.answers), ())]
    different = len(set(prompts))
    if different == len(prompts):
        return None
    return (
        f"{len(prompts)} prompts, of which {different} are different. Equal prompts count as one "
        "cluster in every interval. Give each prompt once if that is not what you want."
    )


def samples(judged: Sequence[Judged], outcomes: Sequence[ArmOutcome]) -> Iterator[dict[str, Any]]:
    """One row of plain values for every completion, with its prompt and its verdicts.

    `copy_of`, only where an earlier example of the arm has the same prompt: the first one's id.
    """
    for arm, outcome in enumerate(outcomes):
        first: dict[str, str] = {}
        for index, answer in enumerate(outcome.answers):
            asked = first.setdefault(answer.prompt, answer.example.id)
            verdicts = {one.evaluator: one.verdicts[arm][index] for one in judged}
            yield {
                **outcome.planned.axes,
                "direction": outcome.planned.direction,
                "example": answer.example.id,
                **({} if asked == answer.example.id else {"copy_of": asked}),
                "text": answer.example.request,
                "prompt": answer.prompt,
                "completion": answer.completion.text,
                "tokens": answer.completion.tokens,
                "stopped": answer.completion.stopped,
                "verdicts": {
                    name: {**verdict.scores, **({"note": verdict.note} if verdict.note else {})}
                    for name, verdict in verdicts.items()
                },
            }
