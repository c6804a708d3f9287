"""What entries of a task are, in the place of what the task calls them: for keys of the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.contract import OneByOne, Options
from harness.running.session import Session
from harness.store.keys import key_of
from harness.task.contents import by_content
from harness.task.prompts import view_spec


class Contents:
    """Hashes of models, views and SAEs: two tasks that call one by different names have the same.

    What is asked for is loaded.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def model(self, name: str) -> str:
        """A model: its files and numbers, and the backend that runs it."""
        owner = self._session.task.models[name].owner
        model = self._session.model(name)
        return key_of(model.fingerprint, str(owner), owner.plugin.version)

    def view(self, name: str) -> str:
        """A view: its model with its edit, and how its prompts are written. The rows of its
        demonstrations are a matter of the documents."""
        spec = view_spec(self._session.task.spec, name)
        prompt = spec.prompt.model_dump(mode="json")
        if prompt["demonstrations"] is not None:
            del prompt["demonstrations"]["data"]
        return key_of(self._session.fingerprint(name), prompt)

    def sae(self, name: str) -> str:
        """An SAE: its numbers, the format that reads it, and where it reads and writes."""
        task = self._session.task
        places = [
            str(task.sae_site(name)),
            str(task.sae_out(name)),
            *map(str, task.sae_sites(name)),
        ]
        return key_of(self._session.sae_fingerprint(name), places)

    def named(self, table: str, name: str) -> str | None:
        """What stands for an entry of a table; None of a table that is not known here."""
        task = self._session.task
        if table == "models" and name in task.models:
            return self.model(name)
        if table == "views" and name in task.spec.views:
            return self.view(name)
        if table == "saes" and name in task.saes:
            return self.sae(name)
        return None

    def options(self, options: Options) -> dict[str, Any]:
        """Options by what they name."""
        return by_content(options, named=self.named)


def lasting(models: Mapping[str, object]) -> bool:
    """Whether all of these models are the same tomorrow: none that a server has under a name."""
    return not any(isinstance(model, OneByOne) for model in models.values())
