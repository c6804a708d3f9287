"""The cluster of each feature: from its labels, or from a judge that reads their descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness_analyses.clusters.answers import Answers
from harness_analyses.clusters.judges import Judge
from harness_analyses.clusters.question import again, answer, question
from harness_analyses.clusters.taxonomy import OTHER

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Assignment:
    """The cluster of one feature."""

    cluster: str
    confidence: float | None = None
    invalid: str | None = None
    """Why there was no valid answer, so that it counts as "other"."""


def own(rows: Sequence[Row], clusters: Mapping[str, str]) -> dict[int, Assignment]:
    """The clusters that labels bring along; features without one are left out.

    One that the taxonomy has not is "other", and invalid.
    """
    found = {}
    for row in rows:
        name = row.get("cluster")
        if name is not None:
            outside = f"{name!r:.60} is not in the taxonomy" if name not in clusters else None
            found[int(row["feature"])] = Assignment(OTHER if outside else str(name), None, outside)
    return found


def judged(
    rows: Sequence[Row], clusters: Mapping[str, str], judge: Judge, answers: Answers
) -> dict[int, Assignment]:
    """What a judge says of every feature that has a description or contexts.

    What it has answered before is not asked again. An answer that is not valid is asked for once
    more; without a valid one, and where the judge cannot be reached, the feature is "other", and
    invalid.
    """
    prompts = {
        int(row["feature"]): question(row, clusters)
        for row in rows
        if row.get("description") or row.get("contexts")
    }
    first = list(dict.fromkeys(prompts.values()))
    why = _asked(first, judge, answers)
    doubtful = [
        p for p in first if (said := answers.get(p)) is not None and not answer(said, clusters)
    ]
    why = why or _asked([again(prompt, clusters) for prompt in doubtful], judge, answers)
    return {f: _assigned(prompt, clusters, answers, why) for f, prompt in prompts.items()}


def _asked(prompts: Sequence[str], judge: Judge, answers: Answers) -> str | None:
    unknown = [prompt for prompt in prompts if answers.get(prompt) is None]
    return judge.ask(unknown, answers.add) if unknown else None


def _assigned(
    prompt: str, clusters: Mapping[str, str], answers: Answers, why: str | None
) -> Assignment:
    tries = [answers.get(prompt), answers.get(again(prompt, clusters))]
    for said in tries:
        found = answer(said, clusters)
        if found is not None:
            return Assignment(found.label, found.confidence)
    if None in tries:
        return Assignment(OTHER, None, f"the judge cannot be reached: {why}")
    return Assignment(OTHER, None, f"no valid answer: {tries[-1]!r:.80}")
