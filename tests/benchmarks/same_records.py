"""Whether two runs of a task have the same records, whichever versions they were made with.

    python tests/benchmarks/same_records.py RUN_A RUN_B [--within 1e-9] [--field value]

Reads `results.json` of both folders, with nothing of the harness. Records are matched by their id
and all their axes, in whatever order they stand; where several share these, by their options too.
Two numbers are the same where |a - b| ≤ within · max(|a|, |b|), and ≤ within where one of them
is 0. What a later version adds (a record, an option, a key) is listed apart from what differs.

Ends with 1 where a field of a record that both have differs, and where one has no partner.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Record = Mapping[str, Any]
Kind = Literal["differs", "only in A", "only in B"]


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same: a record, or a field of a record."""

    kind: Kind
    record: str
    """Its id and axes."""
    field: str
    """`value`, `ci[0]`, `options.below`; empty where the record itself has no partner."""
    left: Any = None
    right: Any = None

    @property
    def id(self) -> str:
        return self.record.split(" ", 1)[0]

    @property
    def group(self) -> tuple[str, str]:
        """What differences are counted by: the record's id and the field without its numbers."""
        return self.id, self.field.partition("[")[0]

    @property
    def relative(self) -> float:
        """|a - b| / max(|a|, |b|); nan where they are no numbers."""
        if not (_is_number(self.left) and _is_number(self.right)):
            return math.nan
        most = max(abs(self.left), abs(self.right))
        return abs(self.left - self.right) / most if most else 0.0


def name_of(record: Record) -> str:
    """What a record is known by: its id and its axes."""
    axes = {key: record["axes"][key] for key in sorted(record["axes"])}
    return f"{record['id']} {json.dumps(axes)}"


def differences(left: Sequence[Record], right: Sequence[Record], within: float) -> list[Difference]:
    """All differences of two lists of records, in the order of the left one."""
    found: list[Difference] = []
    mine, theirs = _grouped(left), _grouped(right)
    for name in dict.fromkeys([*mine, *theirs]):
        for one, other in _pairs(mine.get(name, []), theirs.get(name, [])):
            if one is None or other is None:
                found.append(Difference("only in B" if one is None else "only in A", name, ""))
            else:
                found += _fields(name, "", one, other, within)
    return found


def _grouped(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        found[name_of(record)].append(record)
    return found


def _pairs(
    left: Sequence[Record], right: Sequence[Record]
) -> Iterator[tuple[Record | None, Record | None]]:
    """Partners: those with equal options first, then what is left in order."""
    rest = list(right)
    alone: list[Record] = []
    for one in left:
        same = [n for n, other in enumerate(rest) if other.get("options") == one.get("options")]
        if same:
            yield one, rest.pop(same[0])
        else:
            alone.append(one)
    for number in range(max(len(alone), len(rest))):
        yield (
            alone[number] if number < len(alone) else None,
            rest[number] if number < len(rest) else None,
        )


def _fields(name: str, where: str, one: Any, other: Any, within: float) -> Iterator[Difference]:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys([*one, *other]):
            inside = f"{where}.{key}" if where else key
            if key not in one or key not in other:
                kind: Kind = "only in A" if key in one else "only in B"
                yield Difference(kind, name, inside, one.get(key), other.get(key))
            else:
                yield from _fields(name, inside, one[key], other[key], within)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, both in enumerate(zip(one, other, strict=True)):
            yield from _fields(name, f"{where}[{number}]", *both, within)
    elif not same(one, other, within):
        yield Difference("differs", name, where, one, other)


def same(one: Any, other: Any, within: float) -> bool:
    """Whether two values are the same; numbers up to a relative difference."""
    if _is_number(one) and _is_number(other):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        if one == other:
            return True
        most = max(abs(one), abs(other))
        least = min(abs(one), abs(other))
        return bool(abs(one - other) <= (within * most if least else within))
    return type(one) is type(other) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def report(found: Sequence[Difference], records: tuple[int, int]) -> list[str]:
    """A line for each kind of difference with how many there are, the largest, and an example."""
    lines = [f"{records[0]} records in A, {records[1]} in B"]
    groups: dict[tuple[Kind, tuple[str, str]], list[Difference]] = defaultdict(list)
    for one in found:
        groups[one.kind, one.group].append(one)
    for (kind, (id, field)), some in groups.items():
        if not field:
            lines.append(f"{kind}: {len(some)} of {id}, such as {some[0].record}")
            continue
        largest = max((one.relative for one in some if one.relative == one.relative), default=None)
        most = "" if largest is None else f", at most {largest:.1e} relative"
        worst = max(some, key=lambda one: -1.0 if math.isnan(one.relative) else one.relative)
        short = [json.dumps(v)[:60] for v in (worst.left, worst.right)]
        lines.append(f"{kind}: {field} of {len(some)} × {id}{most}: {short[0]} and {short[1]}")
    return [*lines, "the same" if not found else f"{len(found)} differences"]


def read(run: Path) -> list[Record]:
    """The records of a run's folder."""
    file = run / "results.json"
    if not file.is_file():
        raise SystemExit(f"{run}: has no results.json. Name the folder of a run that has ended.")
    records: list[Record] = json.loads(file.read_text("utf-8"))["records"]
    return records


def main(words: Sequence[str] | None = None) -> int:
    """Prints what differs; 1 where anything does."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("runs", nargs=2, type=Path, metavar="RUN")
    parser.add_argument("--within", type=float, default=1e-9)
    parser.add_argument(
        "--field", action="append", help="Only these fields of records, such as value."
    )
    given = parser.parse_args(words)
    left, right = map(read, given.runs)
    found = differences(left, right, given.within)
    if given.field:
        found = [one for one in found if not one.field or one.group[1] in given.field]
    print("\n".join(report(found, (len(left), len(right)))))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
