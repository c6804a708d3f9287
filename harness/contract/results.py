"""The results of a run as sections of the report read them: one flat list of records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import listed
from harness.text import sheet

if TYPE_CHECKING:
    import pandas as pd

    from harness.contract.claims import ClaimOutcome
    from harness.contract.families import FamilyOutcome
    from harness.contract.values import Record

Status = Literal["complete", "invalid"]


@dataclass(frozen=True, repr=False)
class Results:
    """Everything that a run found. No two records have the same id, options and axes."""

    status: Status
    """`invalid` where a preflight, a sentinel or a receipt failed: `problems` says which."""
    task: Mapping[str, Any]
    """The task file, resolved: running it again gives the same run."""
    provenance: Mapping[str, Any]
    """Versions, fingerprints, seed and command line."""
    records: tuple[Record, ...]
    problems: tuple[str, ...] = ()
    """Why the run is invalid."""
    warnings: tuple[str, ...] = ()
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict, repr=False)
    """Rows by the name of their table; `completions` has a row for every completion."""
    claims: tuple[ClaimOutcome, ...] = ()
    """What the task expected, and how that came out."""
    families: tuple[FamilyOutcome, ...] = ()
    """What the task asked many numbers at once, and how many discoveries are among them."""

    @property
    def frame(self) -> pd.DataFrame:
        """The records as a DataFrame, one column per axis.

        An axis that is called like a field of a record is in a column `axis_<name>`.
        """
        import pandas as pd

        rows = []
        for record in self.records:
            fields = record_fields(record)
            axes = fields.pop("axes")
            taken = {*fields, "axes"}
            rows.append({**fields, **{f"axis_{k}" if k in taken else k: axes[k] for k in axes}})
        return pd.DataFrame(rows)

    def value(self, id: str, **axes: Any) -> float | None:
        """The value of the one record with this id (with or without version) and these axes.

        Raises KeyError when there is none or more than one: it says what is near, or what tells
        them apart.
        """
        named = [r for r in self.records if id in (r.id, r.id.partition("@")[0])]
        found = [r for r in named if all(r.axes.get(key) == axes[key] for key in axes)]
        if len(found) != 1:
            raise RecordNotFound(_not_one(self.records, id, axes, named, found))
        return found[0].value

    def __repr__(self) -> str:
        """One screen: how the run ended, its claims, and which numbers it has."""
        return sheet(self._shown(), self._rows())

    def _shown(self) -> str:
        return f"Results of {self.task.get('name') or 'a run'}: {self.status}"

    def _rows(self) -> list[tuple[str, str]]:
        """What there is, and how it is had."""
        ids = Counter(record.id.partition("@")[0] for record in self.records)
        outcomes = Counter(claim.status for claim in self.claims)
        rows = [("problem", text) for text in self.problems[:3]]
        if outcomes:
            told = ", ".join(f"{count} {status}" for status, count in outcomes.items())
            rows.append(("claims", f"{told}: .claims"))
        if self.families:
            told = ", ".join(f"{one.discoveries or 0} of {one.tested}" for one in self.families)
            rows.append(("discoveries", f"{told}: .families"))
        many = ", ".join(f"{name} ×{count}" if count > 1 else name for name, count in ids.items())
        rows.append(("records", f"{len(self.records)}: .frame, .value(id, **axes)"))
        rows.append(("numbers", many))
        rows.append(("tables", ", ".join(self.tables)))
        rows += [("warning", text) for text in self.warnings[:3]]
        hidden = max(0, len(self.problems) - 3) + max(0, len(self.warnings) - 3)
        rows.append(("more", f"{hidden} problems and warnings" if hidden else ""))
        return [(word, text) for word, text in rows if text]


class RecordNotFound(KeyError):
    """There is no record, or more than one, with the id and the axes that were asked for."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show it in quotes, with escapes


def _not_one(
    records: Sequence[Record],
    id: str,
    axes: Mapping[str, Any],
    named: Sequence[Record],
    found: Sequence[Record],
) -> str:
    """Why an id and axes are not those of one record, and what to ask for."""
    asked = f"{len(found)} records with id {id!r}" + (f" and axes {dict(axes)}" if axes else "")
    if not named:
        ids = dict.fromkeys(name for r in records for name in (r.id, r.id.partition("@")[0]))
        near = get_close_matches(id, ids, n=3, cutoff=0.6)
        short = [name for name in near if "@" not in name] or near
        if short:
            return f"{asked}. Near: {', '.join(short)}."
        return f"{asked}. There are: {listed(name for name in ids if '@' not in name)}."
    if found:
        return f"{asked}. Add axes that tell them apart: {_values(found, differing=True)}."
    return f"{asked}. Records with this id have: {_values(named)}."


def _values(records: Sequence[Record], differing: bool = False) -> str:
    """The axes of some records with their values; `differing`: those in which they differ."""
    seen: dict[str, dict[str, None]] = {}
    for record in records:
        for name, value in record.axes.items():
            seen.setdefault(name, {})[repr(value)] = None
    shared = {n for n in seen if len(seen[n]) == 1 and all(n in r.axes for r in records)}
    shown = [
        f"{name} = {', '.join([*values][:8])}{' …' if len(values) > 8 else ''}"
        for name, values in seen.items()
        if not (differing and name in shared)
    ]
    return "; ".join(shown) or "no axes; their options differ"


def record_fields(record: Record) -> dict[str, Any]:
    """The fields of a record by name, as `results.json` writes them: the interval is a list."""
    fields = asdict(record)
    fields["ci"] = None if record.ci is None else list(record.ci)
    return fields
