"""All completions of a run in the form in which the page's script reads them: every text once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.contract import JSON, Grid, Results
from harness.report.embed import script_json
from harness.results.completions import answer_of, arm_axes
from harness.results.numbers import format_number
from harness.results.tables import COMPLETIONS
from harness.text import LONGEST, visible

FIRST = 12
"""Completions that stand in the page as a plain table, for readers without scripts."""
_NAME = 200
_VERDICT = 100
_CELL = 600
"""Characters of names, of a verdict that is a text, and of a text in the plain table."""
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Completions:
    """The rows of the table of completions; there is at least one."""

    rows: Sequence[Row]

    def packed(self, room: int) -> str:
        """The JSON of as many as there is room for, in characters; at least one prompt's.

        What stays is whole: prompts under all arms of their experiment, in turn the next one of
        each experiment. How many there are in all stands beside them.
        """
        pack, rows = _Pack(), dict[int, list[int]]()
        # A row is five numbers, none of them longer than that of all texts.
        each = 5 * (len(str(3 * len(self.rows))) + 2) + 4
        for places in self._rounds():
            sizes = pack.sizes()
            more = {place: pack.row(self.rows[place]) for place in places}
            if rows and pack.paid + each * (len(rows) + len(more)) > room:
                pack.cut(sizes)
                break
            rows |= more
        # In their order, whatever the rounds were.
        packed = [rows[place] for place in sorted(rows)]
        return script_json({**pack.content(), "rows": packed, "total": len(self.rows)})

    def _rounds(self) -> Iterator[list[int]]:
        """Places of rows: the first prompt of each experiment with all its arms, the second …"""
        found: dict[str, dict[object, list[int]]] = {}
        for place, row in enumerate(self.rows):
            mine = found.setdefault(str(row.get("experiment")), {})
            mine.setdefault(row.get("example"), []).append(place)
        prompts = [list(mine.values()) for mine in found.values()]
        for turn in range(max(map(len, prompts), default=0)):
            yield from (mine[turn] for mine in prompts if turn < len(mine))

    def first(self) -> Grid:
        """The first of them as a table, each with its verdicts."""
        shown = self.rows[:FIRST]
        title = f"The first {len(shown):,} of {len(self.rows):,} completions"
        cells: list[list[JSON]] = [
            [
                str(row.get("experiment")), _arm(row), visible(row.get("text", ""), _CELL),
                visible(answer_of(row), _CELL),
                ", ".join(f"{name} {_written(value)}" for name, value in _verdicts(row).items()),
            ]
            for row in shown
        ]  # fmt: skip
        note = "All of them are in samples/, one file for each experiment."
        return Grid(title, ("experiment", "arm", "prompt", "completion", "verdicts"), cells, note)


def completions_of(results: Results) -> Completions | None:
    """The completions of a run, or None where nothing was written."""
    rows = results.tables.get(COMPLETIONS, ())
    return Completions(rows) if rows else None


@dataclass
class _Index:
    """Things by their number, each once."""

    things: list[Any] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    """By JSON: to Python 1 and True are one thing."""
    _texts: dict[str, int] = field(default_factory=dict)
    """The places of those that are texts: most come many times."""
    paid: int = 0
    """The characters of all of them."""

    def of(self, thing: Any) -> int:
        if not isinstance(thing, str):
            return self._of(thing)
        if thing not in self._texts:
            self._texts[thing] = self._of(thing)
        return self._texts[thing]

    def _of(self, thing: Any) -> int:
        key = json.dumps(thing)
        if key not in self.places:
            self.places[key] = len(self.things)
            self.things.append(thing)
            self.paid += len(script_json(thing)) + 2
        return self.places[key]


@dataclass
class _Pack:
    """Rows as numbers of what they consist of."""

    arms: _Index = field(default_factory=_Index)
    texts: _Index = field(default_factory=_Index)
    scores: _Index = field(default_factory=_Index)
    verdicts: _Index = field(default_factory=_Index)
    _shown: dict[tuple[str, int], str] = field(default_factory=dict)
    """What `visible` made of a text: most come many times."""

    @property
    def paid(self) -> int:
        """The characters of everything but the rows."""
        return sum(index.paid for index in self._all())

    def row(self, row: Row) -> list[int]:
        """The numbers of a row; its texts are cut where they are very long."""
        arm = [self._visible(row.get("experiment"), _NAME), self._visible(_arm(row), _NAME)]
        thought = str(row.get("thought") or "")
        return [
            self.arms.of(arm),
            self._text(str(row.get("text", ""))),
            self._text(answer_of(row)),
            self._text(thought) if thought else -1,
            self.verdicts.of(
                [
                    [self.scores.of(name), said]
                    for name, said in _verdicts(row, self._visible).items()
                ]
            ),
        ]

    def _text(self, text: str) -> int:
        return self.texts.of(self._visible(text, LONGEST))

    def _visible(self, text: object, longest: int) -> str:
        key = str(text), longest
        if key not in self._shown:
            self._shown[key] = visible(*key)
        return self._shown[key]

    def sizes(self) -> list[int]:
        """How many things there are, of each sort."""
        return [len(index.things) for index in self._all()]

    def cut(self, sizes: Sequence[int]) -> None:
        """Takes away what came since there were so many; nothing is put in after that."""
        for index, size in zip(self._all(), sizes, strict=True):
            del index.things[size:]

    def _all(self) -> tuple[_Index, ...]:
        return self.arms, self.texts, self.scores, self.verdicts

    def content(self) -> dict[str, Any]:
        return {
            "arms": self.arms.things,
            "texts": self.texts.things,
            "scores": self.scores.things,
            "verdicts": self.verdicts.things,
        }


def _arm(row: Row) -> str:
    """An arm in words: its direction, then its other axes."""
    axes = arm_axes(row)
    rest = [f"{key} = {value}" for key, value in axes.items() if key != "direction"]
    return ", ".join([str(axes.get("direction", "")), *rest])


def _verdicts(row: Row, shown: Callable[[object, int], str] = visible) -> dict[str, JSON]:
    """What evaluators said, by score; with the evaluator's name where there are several. `shown`
    makes texts harmless."""
    said = {str(name): one for name, one in (row.get("verdicts") or {}).items() if _is_table(one)}
    return {
        shown(f"{score} ({name})" if len(said) > 1 else score, _NAME): _plain(value, shown)
        for name, one in said.items()
        for score, value in one.items()
    }


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping)


def _plain(value: Any, shown: Callable[[object, int], str]) -> JSON:
    """A verdict as JSON: yes or no, a number, a text, or nothing where it was not judged."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) < float("inf") else None
    return shown(value, _VERDICT)


def _written(value: JSON) -> str:
    match value:
        case None:
            return "not judged"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return format_number(float(value))
    return value
