"""The card's section about what was compared: models, pairs, SAEs and data, with their hashes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.contract import Results
from harness_exports.arms.edits import edit_of_view
from harness_exports.arms.subjects import model_of, portable, sides, subject
from harness_exports.arms.tables import table
from harness_exports.card.markdown import name, table as grid, text

_HASH = 16
"""Characters of a hash that are shown."""


def compared(results: Results) -> Iterator[str]:
    """Tables of models, pairs, SAEs and data."""
    task = results.task
    yield "## What was compared"
    yield from grid(
        ("model", "where from", "part", "weights (SHA-256)", "computed in"),
        [_model(results, one) for one in table(task, "models")],
    )
    yield from grid(
        ("pair", "before", "after", "text that both read"),
        [
            (
                name(pair),
                _side(results, str(table(task, "pairs", pair).get("left"))),
                _side(results, str(table(task, "pairs", pair).get("right"))),
                name(table(task, "pairs", pair).get("data")),
            )
            for pair in table(task, "pairs")
        ],
    )
    yield from grid(
        ("SAE", "where from", "site", "trained on", "weights (SHA-256)"),
        [_sae(results, one) for one in table(task, "saes")],
    )
    yield from grid(
        ("data", "where from", "which rows", "content (SHA-256)"),
        [_data(results, one) for one in table(task, "data")],
    )


def _side(results: Results, view: str) -> str:
    """The model of a view, and the edit under which it reads."""
    edit = edit_of_view(results.task, view)
    model = name(model_of(results, view))
    return model if edit is None else f"{model}, edited: {text(edit.words)}"


def _model(results: Results, one: str) -> tuple[str, ...]:
    model = subject(results, one)
    parts = [f"{'before' if side == 'left' else 'after'}" for _, side in sides(results, one)]
    more = "; ".join(f"{key} {_plain(value)}" for key, value in model.options.items())
    where = name(model.id) + (f" ({text(more)})" if more else "")
    part = ", ".join(dict.fromkeys(parts)) or "no side of a pair"
    return name(one), where, part, _hash(model.fingerprint), text(model.dtype or "unknown")


def _sae(results: Results, one: str) -> tuple[str, ...]:
    spec = table(results.task, "saes", one)
    loaded = table(results.provenance, "saes", one)
    place = portable(spec.get("path") or spec.get("release") or "the task")
    more = spec.get("revision")
    where = name(place) + (f" at {name(more)}" if more else "")
    trained = spec.get("model") or spec.get("pair") or "unknown"
    site = spec.get("site") or "its own"
    return name(one), where, name(site), name(trained), _hash(loaded.get("fingerprint"))


def _data(results: Results, one: str) -> tuple[str, ...]:
    spec = table(results.task, "data", one)
    place = portable(next((spec[key] for key in ("hub", "url", "file") if spec.get(key)), "task"))
    where = name(place) + (f" at {name(spec['revision'])}" if spec.get("revision") else "")
    keys = ("config", "split", "column", "where", "skip", "limit", "shuffle", "by")
    rows = "; ".join(f"{key} {_plain(spec[key])}" for key in keys if spec.get(key) is not None)
    content = table(results.provenance, "data").get(one)
    return name(one), where, text(rows or "all"), _hash(content)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {inner}" for key, inner in value.items())
    return str(value)


def _hash(value: object) -> str:
    if isinstance(value, Mapping):
        value = value.get("fingerprint") or value.get("sha256")
    return name(str(value)[:_HASH]) if value else "unknown"
