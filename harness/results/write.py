"""Writes the folder of a run: `results.json`, tables, directions and arrays."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract import Arrays, Axes, Direction, Found, Record
from harness.contract.results import Results, record_fields
from harness.results.arrow import table_of
from harness.results.tables import COMPLETIONS
from harness.store.files import whole, write_text
from harness.text import well_formed

if TYPE_CHECKING:
    import numpy as np

SCHEMA = 1
"""The version of the form of `results.json`."""


def unique(records: Sequence[Record]) -> tuple[Record, ...]:
    """Records in order, identical ones once. Two that differ in their value alone are a bug."""
    seen: dict[str, Record] = {}
    for record in map(sound, records):
        key = identity_of(record)
        if key in seen and seen[key] != record:
            raise AssertionError(f"two records with one identity: {seen[key]} and {record}")
        seen[key] = record
    return tuple(seen.values())


def identity_of(record: Record) -> str:
    """What tells a record from all others of its run, as a text: its id, options and axes."""
    return json.dumps([record.id, record.options, record.axes], sort_keys=True, default=str)


def sound(record: Record) -> Record:
    """The record, with what is no number made undefined: one bad value must not cost a run."""
    numbers = [n for n in (record.value, *(record.ci or ())) if n is not None]
    if any(not math.isfinite(number) for number in numbers):
        why = record.undefined or f"came out as {record.value}, with interval {record.ci}"
        return replace(record, value=None, ci=None, undefined=why)
    if record.value is None and not record.undefined:
        return replace(record, undefined="no reason was given")
    return record


def writable(value: object) -> str:
    """A value as a text that files and tables take: what a stranger said may be no Unicode."""
    return well_formed(str(value))


def strict_json(value: Any, text: Callable[[object], str] = writable) -> Any:
    """Plain JSON without NaN: numpy's numbers become Python's, what is not finite becomes null.

    `text` writes texts, and values that JSON does not have.
    """
    if isinstance(value, Mapping):
        return {writable(key): strict_json(inner, text) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [strict_json(inner, text) for inner in value]
    if hasattr(value, "item") and not isinstance(value, (str, bytes)):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (int, float, bool)) or value is None else text(value)


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
        "task": strict_json(results.task),
        "provenance": strict_json(results.provenance),
        "problems": list(results.problems),
        "warnings": list(results.warnings),
        "claims": [strict_json(asdict(claim)) for claim in results.claims],
        **_families(results),
        "records": [strict_json(record_fields(sound(record))) for record in results.records],
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / "results.json", text + "\n")


def _families(results: Results) -> dict[str, Any]:
    """Families, where the task names some: what every version read is there without them."""
    found = [strict_json(asdict(one)) for one in results.families]
    return {"families": found} if found else {}


def _write_table(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    from pyarrow import parquet

    table = table_of([strict_json(row) for row in rows])
    with whole(file) as partial:
        parquet.write_table(table, partial)


def write_directions(folder: Path, found: Mapping[str, Sequence[Found]]) -> None:
    """Writes every defined direction as safetensors, with how it was found as metadata."""
    for name, variants in found.items():
        for variant in variants:
            direction = variant.direction
            if not isinstance(direction, Direction):
                continue
            metadata = {
                "site": str(direction.site),
                "sae": direction.sae or "",
                "features": json.dumps(direction.features),
                "weights": json.dumps(direction.weights),
            }
            tensors = {"vectors": direction.vectors}
            if direction.origin is not None:
                tensors["origin"] = direction.origin
            if direction.readers is not None:
                tensors["readers"] = direction.readers
            _write_tensors(folder / "directions", name, variant.axes, tensors, metadata)


def write_arrays(folder: Path, arrays: Sequence[Arrays]) -> None:
    """Writes the arrays of statistics as `arrays/<name>.safetensors`, one file a variant."""
    for one in arrays:
        _write_tensors(folder / "arrays", one.statistic, one.axes, one.values, {})


def _write_tensors(
    folder: Path,
    name: str,
    axes: Axes,
    values: Mapping[str, np.ndarray],
    metadata: Mapping[str, str],
) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    # safetensors writes the memory as it lies: a view would come out as other numbers.
    tensors = {key: np.asarray(value, order="C") for key, value in values.items()}
    with whole(folder / f"{_file_name(name, axes)}.safetensors") as partial:
        save_file(tensors, partial, {**metadata, "axes": json.dumps(dict(axes))})


def _file_name(name: str, axes: Axes) -> str:
    """`chat_features[k=8]`; where a value makes no file name, its characters are replaced and a
    hash keeps names apart."""
    inside = ",".join(f"{key}={value}" for key, value in axes.items())
    full = f"{name}[{inside}]" if inside else name
    plain = re.sub(r"[^A-Za-z0-9_.=,\[\]+-]", "_", full)[:100]
    if plain == full:
        return full
    return f"{plain}-{hashlib.sha256(full.encode()).hexdigest()[:8]}"
