"""Tokens that a task has SAEs read though they were trained without them: said, never refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from harness.errors import listed

if TYPE_CHECKING:
    from harness.contract import SaeFacts, TokensLeftOut
    from harness.task.spec import PairSpec, PreflightSpec
    from harness.task.task import Task


def untrained(task: Task, facts: Mapping[str, SaeFacts]) -> Iterator[str]:
    """A sentence for each SAE that is shown tokens which it never saw in training.

    `facts` are those of the loaded SAEs, or what is known of them before. What is read by the
    preflight, by pairs and by metrics of a view is looked at; the first two can leave such tokens
    out (`skip_first`, `max_norm_ratio`).
    """
    for name in task.spec.saes:
        rule = facts[name].not_trained_on if name in facts else None
        if rule is None:
            continue
        tables, views = list(_unfiltered(task, name, rule)), list(_of_views(task, name))
        if tables or views:
            yield f"saes.{name}: {_sentence(rule, tables, views)}"


def _sentence(rule: TokensLeftOut, tables: list[str], views: list[str]) -> str:
    what = []
    if rule.skip_first:
        what.append(f"the first {rule.skip_first} tokens of a text")
    if rule.max_norm_ratio is not None:
        what.append(f"tokens longer than {rule.max_norm_ratio:g} times the median of their batch")
    said = f"it was trained without {' and without '.join(what)}, says {rule.said_by}."
    if tables:
        said += (
            f" {listed(tables)} show it such tokens, and one of them can decide a number. Write "
            f"{' and '.join(_keys(rule))} there"
        )
        said += "; the median is then that of each document." if rule.max_norm_ratio else "."
    if views:
        said += (
            f" {listed(views)} read a view, where nothing leaves tokens out: only a pair has such "
            "filters, also one of a view with itself."
        )
    return said


def _keys(rule: TokensLeftOut) -> Iterator[str]:
    """What a task writes to follow a rule."""
    if rule.skip_first:
        yield f"skip_first = {rule.skip_first}"
    if rule.max_norm_ratio is not None:
        yield f"max_norm_ratio = {rule.max_norm_ratio:g}"


def _unfiltered(task: Task, sae: str, rule: TokensLeftOut) -> Iterator[str]:
    """The tables that have filters, whose filters let such tokens through to an SAE."""
    preflight = task.spec.preflight
    if preflight is not None and not _follows(preflight, rule):
        yield "[preflight]"
    for name, pair in task.spec.pairs.items():
        metrics = [metric for metric in task.spec.metrics.values() if metric.pair == name]
        used = sae in pair.saes or any(sae in (metric.saes or ()) for metric in metrics)
        if used and not _follows(pair, rule):
            yield f"[pairs.{name}]"


def _of_views(task: Task, sae: str) -> Iterator[str]:
    """The metrics of one view with an SAE: a view has no filter."""
    for name, metric in task.spec.metrics.items():
        if metric.view is not None and sae in (metric.saes or ()):
            yield f"[metrics.{name}]"


def _follows(spec: PairSpec | PreflightSpec, rule: TokensLeftOut) -> bool:
    """Whether the filters of a table leave out what the training did. The first token of a
    document is never measured."""
    ratio = rule.max_norm_ratio
    short = ratio is None or (spec.max_norm_ratio is not None and spec.max_norm_ratio <= ratio)
    return short and max(1, spec.skip_first) >= rule.skip_first
