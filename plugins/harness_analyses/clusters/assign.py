"""The cluster of each feature: from its labels, or from a judge that reads their descriptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness_analyses.clusters.judge import ClusterJudge
from harness_analyses.clusters.question import answer, question, second_question
from harness_analyses.clusters.taxonomy import OTHER

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Assignment:
    """The cluster of one feature."""

    cluster: str
    confidence: float | None = None
    invalid: str | None = None
    """Why there was no valid answer, so that it counts as "other"."""


def own_clusters(rows: Sequence[Row], clusters: Mapping[str, str]) -> dict[int, Assignment]:
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


def judged_clusters(
    rows: Sequence[Row], clusters: Mapping[str, str], judge: ClusterJudge
) -> dict[int, Assignment]:
    """The clusters that a judge gives to the features that have a description or contexts.

    Where an answer is not valid, the judge is asked a second time. Without a valid answer, and
    where the judge cannot be reached, the feature is "other", and invalid.
    """
    prompts = {
        int(row["feature"]): question(row, clusters)
        for row in rows
        if row.get("description") or row.get("contexts")
    }
    first = list(dict.fromkeys(prompts.values()))
    why = judge.ask(first)
    second = [
        second_question(prompt, clusters)
        for prompt in first
        if (text := judge.answer(prompt)) is not None and not answer(text, clusters)
    ]
    why = why or judge.ask(second)
    return {f: _assignment(prompt, clusters, judge, why) for f, prompt in prompts.items()}


def _assignment(
    prompt: str, clusters: Mapping[str, str], judge: ClusterJudge, why: str | None
) -> Assignment:
    """What came of the two questions; `why` tells why some were not asked."""
    texts = [judge.answer(prompt), judge.answer(second_question(prompt, clusters))]
    for text in texts:
        found = answer(text, clusters)
        if found is not None:
            return Assignment(found.label, found.confidence)
    if None in texts:
        return Assignment(OTHER, None, f"the judge cannot be reached: {why}")
    return Assignment(OTHER, None, f"no valid answer: {texts[-1]!r:.80}")
