"""Reads the results of an earlier run from its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from harness.contract import ClaimOutcome, FamilyOutcome, Record
from harness.contract.results import Results, Status
from harness.errors import DataError
from harness.results.folder import IDENTITY, RESULTS
from harness.results.json_numbers import not_read, strict_loads
from harness.results.tables import SavedTables
from harness.results.write import SCHEMA

_AGAIN = (
    "Allowed: a results.json as a run has written it. Put it back, or run the task again into "
    "another folder."
)


class _Kept(BaseModel):
    """What of `results.json` makes a `Results`."""

    model_config = ConfigDict(defer_build=True)

    status: Status
    task: dict[str, Any]
    provenance: dict[str, Any]
    records: tuple[Record, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    claims: tuple[ClaimOutcome, ...] = ()
    families: tuple[FamilyOutcome, ...] = ()


def load_results(folder: str | Path) -> Results:
    """The results of an earlier run. Raises DataError when there are none."""
    file = Path(folder) / "results.json"
    try:
        content = strict_loads(file.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("it holds no object")
        if content["schema"] != SCHEMA:
            raise DataError(
                f"{file}: schema {content['schema']}, this version reads {SCHEMA}. Use the version "
                "of sae-harness that wrote it, or run the task again."
            )
        # Through JSON, where strict lets a list be a tuple.
        kept = _Kept.model_validate_json(json.dumps(content), strict=True)
        return Results(**dict(kept), tables=SavedTables(Path(folder)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{file}: is not the results of a run: {where}: {first['msg'].lower()}. {_AGAIN}"
        ) from error
    except FileNotFoundError:
        if (Path(folder) / IDENTITY).is_file():
            raise DataError(
                f"{folder}: this run has not ended: it has no {RESULTS} yet. Give the same "
                "`harness eval` again to finish it."
            ) from None
        raise DataError(f"{folder}: holds no results.json. Name a run's folder.") from None
    except OSError as error:
        raise DataError(
            f"{file}: cannot be read: {error.strerror}. Name a run's folder."
        ) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{file}: is not the results of a run: {not_read(error)}. {_AGAIN}"
        ) from error
