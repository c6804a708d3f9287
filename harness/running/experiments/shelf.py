"""Completions that another run has made already, from the cache."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.contract import Sampling
from harness.registry import Owned
from harness.running.cached_values import CachedValues
from harness.running.code import code_of
from harness.running.experiments.journal import Made, as_value, made_from
from harness.running.session import Session
from harness.store.keys import key_of
from harness.task.prompts import view_spec

KIND = "completions"


class Shelf:
    """The cache, as far as it holds completions of one experiment's model and sampling.

    A completion's own key says what it depends on; an entry is what one batch made of one arm, and
    lies under a hash of that arm, of the model and of the code that made it.
    """

    def __init__(self, session: Session, experiment: str, sampling: Sampling) -> None:
        view = session.task.spec.experiments[experiment].view
        self._cached = CachedValues(session.cache, KIND)
        code = code_of(_owners(session, experiment)) if session.cache else ""
        self._made_by = (session.fingerprint(view), repr(sampling), code)

    def made(self, arm: str) -> Iterator[Made]:
        """What other runs made of an arm, by its key, in an order of its own."""
        for file, made in self._cached.all(key_of(self._made_by, arm), made_from):
            if made.arm == arm:
                self._cached.used(file)
                yield made

    def keep(self, batch: Iterable[Made]) -> None:
        """Puts into the cache what a batch made."""
        for made in batch:
            folder, name = key_of(self._made_by, made.arm), key_of(sorted(made.completions))
            self._cached.put_into(folder, name, as_value(made))


def _owners(session: Session, experiment: str) -> list[Owned]:
    """Whose code decides what is written: the backend, the intervention, and formats of SAEs."""
    task = session.task
    model = view_spec(task.spec, task.spec.experiments[experiment].view).model
    owners = [task.models[model].owner, *(sae.owner for sae in task.saes.values())]
    if intervention := task.interventions.get(experiment):
        owners.append(intervention.owner)
    return owners
