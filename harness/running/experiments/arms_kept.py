"""What benchmarks found in arms of other runs, from the cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness.contract import BenchmarkOptions, Model, Outcome, Receipt, Record
from harness.running.cached_values import CachedValues
from harness.running.code import code_of
from harness.running.contents import Contents, lasting
from harness.running.experiments.journal import receipt_from
from harness.running.provenance import installed
from harness.running.session import Session
from harness.store.keys import key_of
from harness.task.contents import files_by_content
from harness.task.prompts import view_spec
from harness.task.task import Entry

KIND = "benchmarks"
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Measured:
    """What a benchmark found in one arm, and what the arm's edits did meanwhile."""

    outcome: Outcome
    receipt: Receipt | None


class ArmsKept:
    """The cache, as far as it holds what one benchmark found in the arms of one experiment.

    Only a whole arm is kept; one that was cut off stays in the folder of its run. Nothing is kept
    of models behind a server, and of questions that are looked up by a name: what has that name
    tomorrow may be something else.
    """

    def __init__(self, session: Session, experiment: str, entry: Entry[BenchmarkOptions]) -> None:
        task = session.task
        view = task.spec.experiments[experiment].view
        named = session.models_named(entry.options)
        models = {name: session.model(name) for name in named}
        subject: Mapping[str, Model] = {view: session.view_model(view)}
        shared = not entry.options.asks_elsewhere() and lasting({**models, **subject})
        cache = session.cache if shared else None
        self._cached = CachedValues(cache, KIND)
        self._made_by: tuple[object, ...] = ()
        if cache is not None:
            owners = [entry.owner, task.models[view_spec(task.spec, view).model].owner]
            owners += [task.models[name].owner for name in named]
            owners += [sae.owner for sae in task.saes.values()]
            if intervention := task.interventions.get(experiment):
                owners.append(intervention.owner)
            self._made_by = (
                session.fingerprint(view),
                str(entry.owner),
                entry.owner.plugin.version,
                Contents(session).options(entry.options),
                files_by_content(entry.options),
                task.spec.seed,
                code_of(owners),
                {name: installed(name) for name in entry.options.libraries},
            )

    def find(self, arm: str, label: str) -> Measured | None:
        """What another run found in an arm, by its key; its receipt is called `label`."""
        found = self._cached.one(key_of(self._made_by, arm), measured_from)
        if found is None or found.receipt is None:
            return found
        return replace(found, receipt=replace(found.receipt, arm=label))

    def keep(self, arm: str, found: Measured) -> None:
        """Keeps what was found in a whole arm, where that are plain values."""
        value = asdict(found)
        if _is_plain(value):
            self._cached.put(key_of(self._made_by, arm), value)


def measured_from(value: Any) -> Measured:
    """What was found in an arm, before `asdict`; raises one of `WRONG` where it is something
    else."""
    outcome, receipt = value["outcome"], value["receipt"]
    if outcome["directions"] or outcome["arrays"]:
        raise ValueError("a benchmark has records and tables")
    return Measured(
        Outcome(
            tuple(_record(one) for one in outcome["records"]),
            {name: [dict(row) for row in rows] for name, rows in outcome["tables"].items()},
            notes=tuple(outcome["notes"]),
        ),
        None if receipt is None else receipt_from(receipt),
    )


def _record(value: Any) -> Record:
    ci = value["ci"]
    return Record(**{**value, "ci": None if ci is None else tuple(ci)})


def _is_plain(value: Any) -> bool:
    """Whether a value is the same after it was written as JSON and read again, lists aside."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(one) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)
