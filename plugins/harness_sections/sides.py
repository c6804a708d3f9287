"""Whose a crosscoder's features are, in truth or by its training, and what swapping them does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.contract import JSON, Grid, Panel, Prose, Record, Results
from harness.results import (
    format_draws,
    format_estimate,
    format_number,
    grouped,
    named,
    record_name,
)
from harness_sections.plain import PlainSection

_PLACES = {
    "left_only": "{left} alone",
    "shared": "both alike",
    "right_only": "{right} alone",
    "other": "in between",
}
_KINDS = {
    "genuine": "free of artefacts",
    "shrinkage": "complete shrinkage",
    "decoupling": "latent decoupling",
    "both": "both artefacts",
    "dropped": "no ratio, or out of range",
    "rare": "active too rarely",
}
_WORDS = (
    "Of the features that write to one model alone by their rows, some are artefacts of the "
    "crosscoder's training. Complete shrinkage: the other model has the concept, too, and its row "
    "was driven to 0. Latent decoupling: another feature writes the same to the other model."
)
_RATIOS = {
    "error": "in its error",
    "reconstruction": "in its reconstruction",
    "activation": "in its activation",
    "reconstruction_no_bias": "in its reconstruction, without bias",
    "activation_no_bias": "in its activation, without bias",
}
_MOST = 40
_FEATURES = 12


class FeatureSides(PlainSection):
    """Shares of features by model, artefacts among them, and how far edits move predictions."""

    def panel(self, results: Results) -> Panel | None:
        """The panel, or None where nothing of this was measured."""
        blocks = [*_shares(results), *_ratios(results), *_features(results), *_swaps(results)]
        return Panel("Whose features", blocks, order=5) if blocks else None


def _shares(results: Results) -> Iterator[Prose | Grid]:
    """How the features are shared out between the two models, and what those of one are."""
    places = named(results.records, "decoder_norms.share")
    kinds = named(results.records, "latent_scaling.share")
    if kinds:
        yield Prose(_WORDS)
    rows: list[list[JSON]] = []
    for one in places:
        views = _views(results, one.axes.get("sae"))
        place = str(one.axes.get("place"))
        what = _PLACES[place].format(**views) if place in _PLACES else place
        rows.append([*_place(one), what, format_estimate(one), _counted(one)])
    for one in kinds:
        kind = str(one.axes.get("kind"))
        if kind not in _KINDS:
            continue
        side = _views(results, one.axes.get("sae")).get(str(one.axes.get("side")), "one side")
        what = f"of {side} alone: {_KINDS[kind]}"
        rows.append([*_place(one), what, format_estimate(one), _counted(one)])
    if rows:
        note = "Normalised: by rows as they were trained. Raw: in the units of the activations."
        columns = ["SAE", "rows", "writes to", "share", "features"]
        yield Grid("Whose features they are", columns, rows, note, folded=len(rows) > _MOST)


def _ratios(results: Results) -> Iterator[Grid]:
    """How much of the features the other side has, in the median."""
    by_place = grouped(
        named(results.records, "latent_scaling.ratio"),
        lambda one: (*_place(one), str(one.axes.get("side")), str(one.axes.get("place"))),
    )
    rows: list[list[JSON]] = []
    for (sae, space, side, place), mine in by_place.items():
        views = _views(results, sae)
        what = _PLACES[place].format(**views) if place in _PLACES else place
        other = views["left" if side == "right" else "right"]
        by_target = {str(one.axes.get("target")): one for one in mine}
        cells = [format_estimate(by_target[t]) if t in by_target else "" for t in _RATIOS]
        rows.append([sae, space, what, other, *cells])
    if rows:
        note = (
            "1 where the other side has as much of a feature as its own side, 0 where it has "
            "nothing; the median over features. In an error: what it has and no feature says."
        )
        columns = ["SAE", "rows", "features of", "the other side is", *_RATIOS.values()]
        yield Grid("How much of a feature the other side has", columns, rows, note)


def _features(results: Results) -> Iterator[Grid]:
    """The most genuine features of a side."""
    rows: list[list[JSON]] = []
    for table in results.tables.values():
        if not table or not {"kind", "delta_norm", "ratio_error"} <= table[0].keys():
            continue
        for row in table[:_FEATURES]:
            numbers = [row["delta_norm"], row["ratio_error"], row["ratio_reconstruction"]]
            rows.append(
                [
                    str(row["sae"]),
                    row["feature"],
                    _KINDS.get(str(row["kind"]), str(row["kind"])),
                    *(format_number(one) for one in numbers),
                    format_number(row["active"]),
                ]
            )
    if rows:
        columns = ["SAE", "feature", "is", "Δ norm", "ratio in the error",
                   "ratio in the reconstruction", "active on"]  # fmt: skip
        note = "The smallest ratios first; all are in tables/."
        yield Grid("Features that are one model's own", columns, rows, note)


def _swaps(results: Results) -> Iterator[Grid]:
    """How far the predictions of edited views are from those of the plain view beside them."""
    edited = {
        name: view["edit"]
        for name, view in _mapping(results.task.get("views")).items()
        if isinstance(view, Mapping) and isinstance(view.get("edit"), Mapping)
    }
    pairs = _mapping(results.task.get("pairs"))
    found: dict[tuple[str, str, str], list[Record]] = {}
    for one in results.records:
        pair = _mapping(pairs.get(str(one.axes.get("pair"))))
        views = (pair.get("left"), pair.get("right"))
        mine = [view for view in views if view in edited]
        if record_name(one) != "kl.next_token" or len(mine) != 1 or one.axes.get("domain"):
            continue
        where = f"{pair.get('data')}: {pair.get('tokens', 'all')}"
        plain = next(str(view) for view in views if view not in edited)
        found.setdefault((where, plain, _told(edited[mine[0]])), []).append(one)
    most: dict[tuple[str, str], float] = {}
    for (where, plain, _), mine in found.items():
        values = [one.value for one in mine if one.value is not None]
        most[where, plain] = max([most.get((where, plain), 0.0), *values])
    rows: list[list[JSON]] = []
    for (where, plain, what), mine in found.items():
        values = [one.value for one in mine if one.value is not None]
        text = format_estimate(mine[0]) if len(mine) == 1 else format_draws(mine)
        whole = most[where, plain]
        share = format_number(sum(values) / len(values) / whole) if values and whole else ""
        rows.append([what, plain, where, text, share, f"{mine[0].n:,} {mine[0].n_of}"])
    if rows:
        note = (
            "KL(plain ‖ edited), nats per token: 0 where the edited view predicts what the plain "
            "one does. Of the largest: beside the edit with the largest KL on the same tokens. 95% "
            "intervals in brackets; of draws, the mean and in round brackets the range."
        )
        columns = ["edit", "held against", "tokens of", "KL", "of the largest", "n"]
        yield Grid("What edits of a view do to its predictions", columns, rows, note)


def _told(edit: Mapping[str, Any]) -> str:
    """An edit in words: its options and its direction; draws are one."""
    at = {k: v for k, v in _mapping(edit.get("at")).items() if k != "draw"}
    steps = "".join(f", {key} = {value}" for key, value in at.items())
    known = {"method", "direction", "at", "other"}
    rest = [f"{k} = {_text(v)}" for k, v in edit.items() if k not in known and v not in ([], ())]
    beside = f" with {edit['other']}" if "other" in edit else ""
    options = f" ({', '.join(rest)})" if rest else ""
    # Without chosen latents, the direction says no more than where.
    named_too = "" if edit.get("latents", "chosen") != "chosen" else f": {edit['direction']}{steps}"
    return f"{edit.get('method')}{beside}{options}{named_too}"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _counted(one: Record) -> str:
    """How many of how many."""
    return "" if one.value is None else f"{round(one.value * one.n)} of {one.n}"


def _place(one: Record) -> tuple[str, str]:
    return str(one.axes.get("sae")), str(one.axes.get("space"))


def _views(results: Results, sae: object) -> Mapping[str, str]:
    """The views of a crosscoder's pair by side, as the task names them."""
    own = _mapping(_mapping(results.task.get("saes")).get(str(sae)))
    pair = _mapping(_mapping(results.task.get("pairs")).get(str(own.get("pair"))))
    return {side: str(pair.get(side, f"the {side} side")) for side in ("left", "right")}


def _mapping(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, Mapping) else {}
