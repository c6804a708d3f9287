"""The arms of a run: what one state of a model wrote in an experiment, and how it was scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.contract import JSON, Axes, ExportedRun, LeftOut, Record
from harness.errors import DataError
from harness.results import COMPLETIONS, grouped, record_name, records_by_experiment
from harness.text import shown_path
from harness_exports.arms.edits import PLAIN, Edit, edits_of
from harness_exports.arms.kept_directions import KeptDirection, kept_directions
from harness_exports.arms.tables import table

Row = Mapping[str, Any]
"""A completion as `samples/` keeps it: example, text, prompt, completion, verdicts, …"""
_WRITTEN = frozenset(
    {"experiment", "example", "copy_of", "text", "prompt", "thought", "completion"}
    | {"tokens", "stopped", "unfinished", "verdicts"}
)
"""The columns of a completion that are no axes of its arm."""
_AROUND = frozenset({"experiment", "view", "data", "evaluator", "check"})
"""Axes of what edits did that are no axes of the arm."""


@dataclass(frozen=True)
class Arm:
    """One experiment with one direction, or with none: one state of a model."""

    experiment: str
    axes: Axes
    """Its direction, and which of its variants: `{"direction": "chat_features", "k": 8}`."""
    view: str
    """The view that wrote, by its name in the task."""
    data: str | None
    """The data that were asked; None where a benchmark brings its own questions."""
    records: tuple[Record, ...]
    """Its numbers: scores, lengths, receipts."""
    rows: tuple[Row, ...]
    """What it wrote; empty of a benchmark, and of a direction that does not exist."""
    edits: tuple[Edit, ...]
    """What acted on the model: none in the arm that is left as it is."""

    @property
    def lost(self) -> bool:
        """Whether it wrote completions, and the folder of the run has none of them any more."""
        written = [r for r in self.records if "data" in r.axes and not r.id.startswith("edit.")]
        return not self.rows and any(r.n > 0 for r in written)

    @property
    def label(self) -> str:
        """`chat_features k=8`; `as it is` without a direction."""
        return arm_label(self.axes)

    @property
    def words(self) -> str:
        """What acted on the model: `ablation(chat_features k=8)`; empty where nothing did."""
        return " + ".join(edit.words for edit in self.edits)


def arm_label(axes: Axes) -> str:
    """The direction with the axes that say which of its variants it is."""
    if axes.get("direction", PLAIN) == PLAIN:
        return "as it is"
    rest = [f"{key}={value}" for key, value in axes.items() if key != "direction"]
    return " ".join([str(axes["direction"]), *rest])


def arms_of(run: ExportedRun) -> list[Arm]:
    """The arms of all experiments, in the order of the results.

    Raises DataError where the samples or directions of the run cannot be read.
    """
    rows = grouped(_completions(run), lambda row: str(row["experiment"]))
    records = records_by_experiment(run.results)
    found = kept_directions(run.folder)
    return [
        arm
        for name in dict.fromkeys([*records, *rows])
        for arm in _arms(run, name, records.get(name, ()), rows.get(name, ()), found)
    ]


def edited_left_out(arms: Sequence[Arm], why: str) -> Iterator[LeftOut]:
    """One thing left out for all arms of an experiment that are under an intervention."""
    edited = [arm for arm in arms if arm.edits]
    if edited:
        words = "1 arm" if len(edited) == 1 else f"{len(edited)} arms"
        yield LeftOut(f"{edited[0].experiment}: {words} under an intervention", why)


def _arms(
    run: ExportedRun,
    experiment: str,
    records: Sequence[Record],
    rows: Sequence[Row],
    found: Sequence[KeptDirection],
) -> Iterator[Arm]:
    names = _axes_of_arms(records, rows)
    by_record = grouped(records, lambda record: _key(record.axes, names))
    by_row = grouped(rows, lambda row: _key(row, names))
    spec = table(run.results.task, "experiments", experiment)
    for key in dict.fromkeys([*by_record, *by_row]):
        mine, written = tuple(by_record.get(key, ())), tuple(by_row.get(key, ()))
        axes = _axes([*written, *(record.axes for record in mine)][0], names)
        view = next((r.axes["view"] for r in mine if "view" in r.axes), spec.get("view"))
        data = next((r.axes["data"] for r in mine if "data" in r.axes), spec.get("data"))
        yield Arm(
            experiment,
            axes,
            str(view),
            None if data is None else str(data),
            mine,
            written,
            edits_of(run.results.task, spec, str(view), axes, _receipt(mine), found),
        )


def _axes_of_arms(records: Sequence[Record], rows: Sequence[Row]) -> frozenset[str]:
    """The axes that tell arms apart: those of completions, which records have, too, and those of
    receipts. What else a record has, such as a domain, is a part of the arm."""
    known = {key for record in records for key in record.axes}
    beside = {key for row in rows for key in row if key not in _WRITTEN}
    receipts = [record for record in records if record.id.startswith("edit.")]
    named = {key for r in receipts for key in r.axes if key not in _AROUND}
    return frozenset({"direction"} | (beside & known if known else beside) | named)


def _key(axes: Mapping[str, Any], names: frozenset[str]) -> tuple[tuple[str, JSON], ...]:
    """What is the same in all rows and records of an arm, whatever order its axes are in."""
    return tuple(sorted(_axes(axes, names).items()))


def _axes(axes: Mapping[str, Any], names: frozenset[str]) -> dict[str, JSON]:
    """The axes of an arm; the direction first, the others in their order."""
    mine = {key: axes[key] for key in axes if key in names and key != "direction"}
    return {"direction": axes.get("direction", PLAIN), **mine}


def _receipt(records: Sequence[Record]) -> dict[str, JSON]:
    """What edits did, by the name of the number: `{"relative": 0.47, "share of …": 4e-08}`."""
    return {
        str(r.axes.get("check", record_name(r).removeprefix("edit."))): r.value
        for r in records
        if r.id.startswith("edit.")
    }


def _completions(run: ExportedRun) -> Sequence[Row]:
    rows = run.results.tables.get(COMPLETIONS, ())
    for row in rows:
        asked = isinstance(row.get("example"), str) and isinstance(row.get("completion"), str)
        verdicts = row.get("verdicts")
        judged = isinstance(verdicts, Mapping) and all(
            isinstance(one, Mapping) for one in verdicts.values()
        )
        if not (asked and judged):
            raise DataError(
                f"{shown_path(run.folder / 'samples')}: a row of {row.get('experiment')!r} is no "
                "completion with verdicts. Allowed: what a run has written there. Run the task "
                "again into another folder."
            )
    return rows
