"""The metric pages: what each number means, from the metrics themselves."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from generator.installed import built_in
from generator.markdown import code, joined, note, prose, table
from generator.options import hints, options
from generator.source import loaded
from harness.contract import MetricOptions, MetricValue, Site, Target
from harness.registry import Owned

INTRODUCTION = Path(__file__).with_name("metrics.md")
HEAD = ("id", "unit", "n counts", "null", "undefined where")


def page() -> str:
    """All metrics."""
    return joined(
        [
            note("the docstrings and values of the metrics, and docs/generator/metrics.md"),
            INTRODUCTION.read_text(encoding="utf-8"),
            *(_about(owned) for owned in built_in().of("metric")),
        ]
    )


def _about(owned: Owned) -> str:
    model = owned.options()
    assert issubclass(model, MetricOptions)
    return joined(
        [
            f"## {owned.component.name}",
            prose(loaded(owned.component.load).doc),
            _measured(model),
            table(HEAD, [_card(value) for value in _values(owned, model)]),
            options(model),
        ]
    )


def _measured(options: type[MetricOptions]) -> str:
    """Where the core measures it."""
    if options.on_logits:
        where = "once for each pair, from next-token logits"
    elif options.on_sae:
        where = "at each SAE"
    else:
        where = "at every site, with or without an SAE"
    whose = "on pairs" if options.paired else "on each side of a pair, or on a view"
    return f"Measured {whose}, {where}."


def _values(owned: Owned, options: type[MetricOptions]) -> tuple[MetricValue, ...]:
    """The values of all its variants."""
    typed = hints(options).get("variants")
    given = {"variants": tuple(_choices(typed))} if typed is not None else {}
    target = Target(Site("resid_post", 0), "sae")
    values: tuple[MetricValue, ...] = owned.load()(options(**given), target).values
    return values


def _choices(annotation: Any) -> list[str]:
    """The values of the Literal in a type."""
    if typing.get_origin(annotation) is typing.Literal:
        return list(typing.get_args(annotation))
    return [choice for inner in typing.get_args(annotation) for choice in _choices(inner)]


def _card(value: MetricValue) -> tuple[str, ...]:
    why = value.undefined
    if value.no_interval:
        why += f". No interval: {value.no_interval}"
    return code(value.id), value.unit, value.n_of, _null(value.null), why


def _null(null: Mapping[str, Any] | None) -> str:
    return "–" if null is None else f"{null['value']:g}"
