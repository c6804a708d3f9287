"""The results of a run: one flat list of records, and where they came from."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ValidationError

from harness.contract import Arrays, Axes, Direction, Found, Record
from harness.errors import DataError
from harness.results.tables import COMPLETIONS, SavedTables
from harness.store.files import whole, write_text

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

SCHEMA = 1
Status = Literal["complete", "invalid", "partial"]


@dataclass(frozen=True)
class Results:
    """What `results.json` holds. `records` is unique by (id, options, axes)."""

    status: Status
    task: Mapping[str, Any]
    provenance: Mapping[str, Any]
    records: tuple[Record, ...]
    problems: tuple[str, ...] = ()
    """Why the run is invalid."""
    warnings: tuple[str, ...] = ()
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict, repr=False)

    @property
    def frame(self) -> pd.DataFrame:
        """The records as a DataFrame, one column per axis.

        An axis that is called like a field of a record is in a column `axis_<name>`.
        """
        import pandas as pd

        rows = []
        for record in self.records:
            fields = _row(record)
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

    def figures(self) -> list[go.Figure]:
        """The figures of the report, for a notebook."""
        from harness.report.notebook import figures

        return figures(self)

    def _repr_html_(self) -> str:
        from harness.report.notebook import headline

        return headline(self)


def _row(record: Record) -> dict[str, Any]:
    row = asdict(record)
    row["ci"] = None if record.ci is None else list(record.ci)
    return row


def unique(records: Sequence[Record]) -> tuple[Record, ...]:
    """Records in order, identical ones once. Two that differ in their value alone are a bug."""
    seen: dict[str, Record] = {}
    for record in map(_sound, records):
        identity = [record.id, record.options, record.axes]
        key = json.dumps(identity, sort_keys=True, default=str)
        if key in seen and seen[key] != record:
            raise AssertionError(f"two records with one identity: {seen[key]} and {record}")
        seen[key] = record
    return tuple(seen.values())


def _sound(record: Record) -> Record:
    """The record, with what is no number made undefined: one bad value must not cost a run."""
    numbers = [n for n in (record.value, *(record.ci or ())) if n is not None]
    if any(not math.isfinite(number) for number in numbers):
        why = record.undefined or f"came out as {record.value}, with interval {record.ci}"
        return replace(record, value=None, ci=None, undefined=why)
    if record.value is None and not record.undefined:
        return replace(record, undefined="no reason was given")
    return record


def _strict(value: Any) -> Any:
    """Plain JSON without NaN: numpy's numbers become Python's, what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _strict(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_strict(inner) for inner in value]
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


def write_results(folder: Path, results: Results) -> None:
    """Writes `results.json` and the tables; tables of an earlier run with other analyses go."""
    for file in (folder / "tables").glob("*.parquet"):
        if file.name.removesuffix(".parquet") not in results.tables:
            file.unlink()
    for name, rows in results.tables.items():
        if name != COMPLETIONS:
            _write_table(folder / "tables" / f"{name}.parquet", rows)
    content = {
        "schema": SCHEMA,
        "status": results.status,
        "task": _strict(results.task),
        "provenance": _strict(results.provenance),
        "problems": list(results.problems),
        "warnings": list(results.warnings),
        "records": [_strict(_row(_sound(record))) for record in results.records],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / "results.json", text + "\n")


def _write_table(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist([_strict(row) for row in rows])
    with whole(file) as partial:
        pyarrow.parquet.write_table(table, partial)


def write_directions(folder: Path, found: Mapping[str, Sequence[Found]]) -> None:
    """Writes every defined direction as safetensors, with how it was found as metadata."""
    import numpy as np
    from safetensors.numpy import save_file

    for name, variants in found.items():
        for variant in variants:
            direction = variant.direction
            if not isinstance(direction, Direction):
                continue
            file = folder / "directions" / f"{_file_name(name, variant.axes)}.safetensors"
            metadata = {
                "site": str(direction.site),
                "sae": direction.sae or "",
                "features": json.dumps(direction.features),
                "weights": json.dumps(direction.weights),
                "axes": json.dumps(dict(variant.axes)),
            }
            # safetensors writes the memory as it lies: a view would come out as other numbers.
            vectors = np.ascontiguousarray(direction.vectors)
            with whole(file) as partial:
                save_file({"vectors": vectors}, partial, metadata)


def write_arrays(folder: Path, arrays: Sequence[Arrays]) -> None:
    """Writes the arrays of statistics as `arrays/<name>.safetensors`, one file a variant."""
    import numpy as np
    from safetensors.numpy import save_file

    for one in arrays:
        file = folder / "arrays" / f"{_file_name(one.statistic, one.axes)}.safetensors"
        # safetensors writes the memory as it lies: a view would come out as other numbers.
        values = {name: np.asarray(value, order="C") for name, value in one.values.items()}
        with whole(file) as partial:
            save_file(values, partial, {"axes": json.dumps(dict(one.axes))})


def _file_name(name: str, axes: Axes) -> str:
    """`chat_features[k=8]`; where a value makes no file name, its characters are replaced and a
    hash keeps names apart."""
    inside = ",".join(f"{key}={value}" for key, value in axes.items())
    full = f"{name}[{inside}]" if inside else name
    plain = re.sub(r"[^A-Za-z0-9_.=,\[\]+-]", "_", full)[:100]
    if plain == full:
        return full
    return f"{plain}-{hashlib.sha256(full.encode()).hexdigest()[:8]}"


class _Kept(BaseModel):
    """What of `results.json` makes a `Results`."""

    status: Status
    task: dict[str, Any]
    provenance: dict[str, Any]
    records: tuple[Record, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no number in JSON")


def load_results(folder: str | Path) -> Results:
    """The results of an earlier run. Raises DataError when there are none."""
    file = Path(folder) / "results.json"
    try:
        content = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_number)
        if content["schema"] != SCHEMA:
            raise DataError(f"{file}: schema {content['schema']}, this version reads {SCHEMA}.")
        # Through JSON, where strict lets a list be a tuple.
        kept = _Kept.model_validate_json(json.dumps(content), strict=True)
        return Results(**dict(kept), tables=SavedTables(Path(folder)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{file}: is not the results of a run: {where}: {first['msg'].lower()}."
        ) from error
    except FileNotFoundError:
        raise DataError(f"{folder}: holds no results.json. Name a run's folder.") from None
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read: {error.strerror}. Name a run's folder."
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{file}: is not the results of a run: {error}.") from error
