"""From completions to records: verdicts of evaluators, and rates with intervals."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.contract import JSON, Evaluator, Record, Score, Verdict
from harness.running.experiments.arms import ArmOutcome
from harness.running.experiments.judging import CHUNK, SPREAD, JudgeAnswers
from harness.running.experiments.known import Known
from harness.running.experiments.over_prompts import mean_over_prompts
from harness.running.progress import Tick
from harness.running.spread.team import Team
from harness.task.task import Entry

_THOUGHT = re.compile(
    r"</(\w+:)?think(ing)?>|\[/THINK\]|<channel\|>|assistantfinal|<\|END_THINKING\|>"
)
"""Ends of thoughts, as models write them."""

_NOT_THERE = "it is there for no completion"


@dataclass(frozen=True)
class Judged:
    """The verdicts of one evaluator on every arm of an experiment, in the order of the answers."""

    evaluator: str
    options: Mapping[str, Any]
    scores: tuple[Score, ...]
    verdicts: tuple[tuple[Verdict | None, ...], ...]
    """None of a completion without an answer: its thought was cut off."""


def judge(
    team: Team, entry: Entry[Any], outcomes: Sequence[ArmOutcome], known: Known, tick: Tick
) -> Judged:
    """Lets one evaluator judge all answers of an experiment, a chunk of those that are not known
    at a time; each chunk is kept as it comes.

    Equal answers are judged once. Completions whose thought never ended have no answer, and it is
    not shown them. Raises PluginError where it does not give one verdict for each.
    """
    evaluator: Evaluator = entry.build()
    answers = [one for outcome in outcomes for one in outcome.answers if one.completion.finished]
    keys = known.keys(answers)
    times, by_key = Counter(keys), dict(zip(keys, answers, strict=True))
    known.take(by_key)
    unique = list(by_key)
    size = SPREAD if team.spreads else CHUNK
    # A chunk that was lost is judged in the same company again: a model's score hangs, in its last
    # digits, on what else is in the batch.
    parts = (unique[start : start + size] for start in range(0, len(unique), size))
    chunks = [some for part in parts if (some := [key for key in part if key not in known])]
    tick(len(keys) - sum(times[key] for chunk in chunks for key in chunk))
    asked = ([by_key[key] for key in chunk] for chunk in chunks)
    for number, found in team.map(JudgeAnswers(entry.name), asked, tick):
        known.add(dict(zip(chunks[number], found, strict=True)))
        tick(sum(times[key] - 1 for key in chunks[number]))
    verdicts = iter([known[key] for key in keys])
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
    nowhere here; `written_records` has their share.
    """
    for outcome, by_answer in zip(outcomes, judged.verdicts, strict=True):
        at = outcome.axes(axes, evaluator=judged.evaluator)
        pairs = zip(outcome.answers, by_answer, strict=True)
        given = [(answer.prompt, verdict) for answer, verdict in pairs if verdict is not None]
        verdicts = [verdict for _, verdict in given]
        cut_off = "no completion came to an answer" if outcome.answers and not given else None
        told = [score.name for score in judged.scores if not score.partial]
        unknown = [any(one.scores[name] is None for name in told) for one in verdicts]
        known: list[tuple[str, str, Sequence[float | None], str, str | None]] = [
            *(
                (
                    score.id,
                    score.unit,
                    [verdict.scores[score.name] for verdict in verdicts],
                    "no completion was judged",
                    _NOT_THERE if score.partial else "no completion could be judged",
                )
                for score in judged.scores
            ),
            ("invalid_verdicts@1", "share", unknown, "nothing was judged", None),
        ]
        for id, unit, values, no_interval, undefined in known:
            yield mean_over_prompts(
                id,
                values,
                [prompt for prompt, _ in given],
                at,
                unit=unit,
                options=judged.options,
                seed=seed,
                no_interval=no_interval,
                undefined=outcome.undefined or cut_off or undefined,
            )


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
