"""The results of a run as sections of the report read them: one flat list of records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harness.contract.claims import ClaimOutcome
from harness.contract.values import Record

if TYPE_CHECKING:
    import pandas as pd

Status = Literal["complete", "invalid"]


@dataclass(frozen=True)
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

        Raises KeyError when there is none or more than one.
        """
        found = [
            record
            for record in self.records
            if id in (record.id, record.id.partition("@")[0])
            and all(record.axes.get(key) == value for key, value in axes.items())
        ]
        if len(found) != 1:
            raise KeyError(f"{len(found)} records with id {id!r} and axes {axes}")
        return found[0].value


def record_fields(record: Record) -> dict[str, Any]:
    """The fields of a record by name, as `results.json` writes them: the interval is a list."""
    fields = asdict(record)
    fields["ci"] = None if record.ci is None else list(record.ci)
    return fields
