"""What a person asks of a training, as a task: the same language, checks and components."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from harness.contract.described import fields_of
from harness.errors import UsageError
from harness.registry import Registry
from harness.store.files import write_text
from harness.task.data_spec import DataSpec
from harness.task.file import KeyPath, Origin, Source
from harness.task.gates import Gate, parse
from harness.task.resolve import resolve
from harness.task.spec import ModelSpec
from harness.task.task import Task

PAIR = "training"
"""The pair of the model in training and its base."""
BASE, TUNED = "base", "tuned"
"""The two models, and a view of each."""
IN_MEMORY = "in-memory"
"""The `path` of a model that no file holds."""
ROWS, TOKENS = 64, 128
"""How many texts of the probe are read, and how much of each, unless somebody says otherwise."""
BACKEND: str = fields_of(ModelSpec)["backend"].default
_METRICS = Path(__file__).with_name("metrics.toml")

Table = Mapping[str, Any]
"""Keys and values as they stand in a task file."""


@dataclass(frozen=True)
class Asked:
    """Everything that is measured of a training, and what must hold of it."""

    probe: str | Path | Sequence[Any] | Table
    """A file of rows, a list of texts or of conversations, or a table as in `[data.NAME]`."""
    saes: Mapping[str, str | Path | Table] = field(default_factory=dict)
    """SAEs of the base: by name, where it is, or a table as in `[saes.NAME]`."""
    sites: Sequence[str] = ()
    """Further sites, for metrics that need no SAE."""
    metrics: Sequence[str] | Mapping[str, Table] | None = None
    """Names of metrics, or tables as in `[metrics.NAME]`; without it a few that are quick."""
    statistics: Mapping[str, Table] = field(default_factory=dict)
    """Tables as in `[statistics.NAME]`, such as a feature shift."""
    prompt: Table = field(default_factory=dict)
    """How the texts are written, as in a view's `prompt`."""
    preflight: Table | bool = True
    """Whether the SAEs are checked against the base before anything else, as in `[preflight]`."""
    stop_unless: Sequence[str] = ()
    """Conditions in the language of gates that end the training where one does not hold."""
    warn_unless: Sequence[str] = ()
    """Conditions that are only told where one does not hold."""

    def gates(self) -> tuple[list[Gate], list[Gate]]:
        """The conditions that stop, and those that warn; UsageError where one is none."""
        return _gates("stop_unless", self.stop_unless), _gates("warn_unless", self.warn_unless)

    def task(self, folder: Path, models: Mapping[str, Table], registry: Registry) -> Task:
        """The task that this comes to, whose run lies in `folder`; TaskError with all that is
        wrong. Texts that are given as a list are written there."""
        values = {
            "name": PAIR,
            "title": "What does this training change?",
            "models": models,
            "views": {name: {"model": name, "prompt": self._prompt()} for name in (BASE, TUNED)},
            "saes": {name: {"model": BASE, **_table(one)} for name, one in self.saes.items()},
            "data": {"probe": self._data(folder)},
            "pairs": {
                PAIR: {
                    "left": BASE,
                    "right": TUNED,
                    "data": "probe",
                    "saes": list(self.saes),
                    "sites": list(self.sites),
                }
            },
            "metrics": {name: {"pair": PAIR, **one} for name, one in self._metrics().items()},
            "statistics": {name: {"pair": PAIR, **one} for name, one in self.statistics.items()},
            "gates": {gate.name: {"assert": gate.text} for many in self.gates() for gate in many},
        }
        if self.saes and self.preflight is not False:
            own = self.preflight if isinstance(self.preflight, Mapping) else {}
            values["preflight"] = {"data": "probe", "max_tokens": TOKENS, **own}
        origins: dict[KeyPath, Origin] = {
            (key,): Origin(None, given=f"training, {key}") for key in values
        }
        file = folder / "task.toml"
        return resolve(Source(file, json.loads(json.dumps(values, default=str)), origins), registry)

    def _prompt(self) -> Table:
        return {"max_tokens": TOKENS, **self.prompt}

    def _metrics(self) -> Mapping[str, Table]:
        if isinstance(self.metrics, Mapping):
            return self.metrics
        if self.metrics is not None:
            return {name: {} for name in self.metrics}
        ours = tomllib.loads(_METRICS.read_text(encoding="utf-8"))
        found: dict[str, Table] = ours["with_saes" if self.saes else "without_saes"]
        return found

    def _data(self, folder: Path) -> Table:
        probe = self.probe
        if isinstance(probe, Mapping):
            return probe
        file = Path(probe) if isinstance(probe, (str, Path)) else _written(folder, probe)
        rows = DataSpec(file=str(file.expanduser().absolute()), at_most=ROWS)
        return rows.model_dump(exclude_unset=True)


def _table(given: str | Path | Table) -> Table:
    return given if isinstance(given, Mapping) else {"path": str(given)}


def _gates(name: str, texts: Sequence[str]) -> list[Gate]:
    if isinstance(texts, str):
        raise UsageError(f"{name}: must be a list of conditions, not one text. Put it in brackets.")
    try:
        return [parse(f"{name}.{number}", text) for number, text in enumerate(texts, 1)]
    except ValueError as error:
        raise UsageError(f"{name}: {error}.") from None


def _written(folder: Path, rows: Iterable[Any]) -> Path:
    """Texts, conversations or rows as a file of rows, so that the run can be made once more."""
    file = folder / "probe.jsonl"
    lines = [
        json.dumps(row if isinstance(row, Mapping) else {"text": row}, ensure_ascii=False)
        for row in islice(rows, ROWS)
    ]
    if not lines:
        raise UsageError("probe: has no texts. Give at least one that the two models read.")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(file, "\n".join(lines) + "\n")
    return file
