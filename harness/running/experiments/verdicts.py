"""From completions to records: verdicts of evaluators, and rates with intervals."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.contract import JSON, Evaluator, Record, Score, Tools, Verdict
from harness.errors import PluginError
from harness.results.intervals import clustered_wilson, wilson
from harness.running.experiments.arms import ArmOutcome
from harness.task.task import Entry

_THOUGHT = re.compile(
    r"</(\w+:)?think(ing)?>|\[/THINK\]|<channel\|>|assistantfinal|<\|END_THINKING\|>"
)
"""Ends of thoughts, as models write them."""


@dataclass(frozen=True)
class Judged:
    """The verdicts of one evaluator on every arm of an experiment, in the order of the answers."""

    evaluator: str
    options: Mapping[str, Any]
    scores: tuple[Score, ...]
    verdicts: tuple[tuple[Verdict | None, ...], ...]
    """None of a completion without an answer: its thought was cut off."""


def judge(entry: Entry[Any], outcomes: Sequence[ArmOutcome], tools: Tools) -> Judged:
    """Lets one evaluator judge all answers of an experiment, in one call.

    Completions whose thought never ended have no answer, and it is not shown them. Raises
    PluginError where it does not give one verdict for each.
    """
    evaluator: Evaluator = entry.build()
    answers = [one for outcome in outcomes for one in outcome.answers if one.completion.finished]
    found = list(evaluator.judge(answers, tools) if answers else ())
    if len(found) != len(answers):
        raise PluginError(
            f"evaluators.{entry.name}: {entry.owner} gave {len(found)} verdicts on {len(answers)} "
            "completions. It must give one for each. Report it to the plugin's author."
        )
    verdicts = iter(found)
    by_arm = tuple(
        tuple(next(verdicts) if one.completion.finished else None for one in outcome.answers)
        for outcome in outcomes
    )
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
    that runs with different interventions can be compared. Completions without an answer count
    nowhere here; `unfinished_records` has their share.
    """
    for outcome, by_answer in zip(outcomes, judged.verdicts, strict=True):
        at = outcome.axes(axes, evaluator=judged.evaluator)
        pairs = zip(outcome.answers, by_answer, strict=True)
        given = [(answer.prompt, verdict) for answer, verdict in pairs if verdict is not None]
        verdicts = [verdict for _, verdict in given]
        cut_off = "no completion came to an answer" if outcome.answers and not given else None
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
            asked = zip(given, values, strict=True)
            clusters = _clusters([prompt for (prompt, _), value in asked if value is not None])
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
                undefined=None if known else outcome.undefined or cut_off or undefined,
                axes=at,
            )


def unfinished_records(
    outcomes: Sequence[ArmOutcome], axes: Mapping[str, JSON], longest: int, seed: int
) -> Iterator[Record]:
    """For each arm of a reasoning model, the share of completions whose thought never ended.

    `unfinished@1` is their number over all completions; its n counts all. The rates that
    evaluators give are over the others. Depends on `longest`, the limit of a completion's tokens.
    """
    if not any(one.completion.thought is not None for its in outcomes for one in its.answers):
        return
    for outcome in outcomes:
        cut_off = [not one.completion.finished for one in outcome.answers]
        clusters = _clusters([one.prompt for one in outcome.answers])
        ci, why = _interval(cut_off, clusters, True, seed) if cut_off else (None, "no completions")
        yield Record(
            "unfinished@1",
            float(np.mean(cut_off)) if cut_off else None,
            len(cut_off),
            "prompts",
            "share",
            {"max_new_tokens": longest},
            len(set(clusters)),
            ci,
            why,
            undefined=None if cut_off else outcome.undefined or "nothing was asked",
            axes=outcome.axes(axes),
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


def unparted_thoughts(outcomes: Sequence[ArmOutcome]) -> str | None:
    """What to say where completions hold thoughts that were not told apart; None where none do."""
    written = [one.completion for outcome in outcomes for one in outcome.answers]
    found = [m[0] for one in written if one.thought is None if (m := _THOUGHT.search(one.text))]
    if not found:
        return None
    return (
        f"{len(found)} of {len(written)} completions hold {found[0]!r}, as at the end of a thought:"
        " judges read thought and answer as one. If it is one, say in the model's table what stands"
        ' around thoughts, such as thinking = { open = "<think>", close = "</think>" }.'
    )


def samples(judged: Sequence[Judged], outcomes: Sequence[ArmOutcome]) -> Iterator[dict[str, Any]]:
    """One row of plain values for every completion, with its prompt and its verdicts.

    `copy_of`, only where an earlier example of the arm has the same prompt: the first one's id.
    `thought`, only of a reasoning model, and `unfinished`, only where its thought never ended:
    such a row has no verdicts. `log_probability`, only where the backend tells it.
    """
    for arm, outcome in enumerate(outcomes):
        first: dict[str, str] = {}
        for index, answer in enumerate(outcome.answers):
            asked = first.setdefault(answer.prompt, answer.example.id)
            its = ((one.evaluator, one.verdicts[arm][index]) for one in judged)
            verdicts = {name: verdict for name, verdict in its if verdict is not None}
            written = answer.completion
            yield {
                **outcome.planned.axes,
                "direction": outcome.planned.direction,
                "example": answer.example.id,
                **({} if asked == answer.example.id else {"copy_of": asked}),
                "text": answer.example.request,
                "prompt": answer.prompt,
                **({} if written.thought is None else {"thought": written.thought}),
                "completion": written.text,
                "tokens": written.tokens,
                "stopped": written.stopped,
                **(
                    {}
                    if written.log_probability is None
                    else {"log_probability": written.log_probability}
                ),
                **({} if written.finished else {"unfinished": True}),
                "verdicts": {
                    name: {**verdict.scores, **({"note": verdict.note} if verdict.note else {})}
                    for name, verdict in verdicts.items()
                },
            }
