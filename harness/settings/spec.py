"""What may stand in a person's configuration file, as a pydantic model."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from harness.errors import UsageError
from harness.store.cache import size_of
from harness.task.tables import Spec


class SettingsSpec(Spec):
    """`~/.config/sae-harness/config.toml`: how runs go on this machine. Nothing in it says what is
    measured."""

    device: str | None = Field(None, min_length=1, max_length=80)
    """Where a model runs whose task does not say it, such as "cuda:1"."""
    dtype: str | None = Field(None, min_length=1, max_length=80)
    """What a model computes in whose task does not say it, such as "bfloat16"."""
    executor: str | dict[str, Any] | None = None
    """Who computes the parts of a run whose task has no `[executor]`: a name, or such a table."""
    workers: int | None = None
    """How many workers that executor has."""
    cache: str | Literal[False] | None = None
    """The folder of what runs keep for other runs; false: nothing is kept. HARNESS_CACHE wins."""
    cache_limit: str | None = None
    """How large that folder may become, such as "50GB". HARNESS_CACHE_LIMIT wins."""
    offline: bool = False
    """Whether nothing is fetched from the hub. HF_HUB_OFFLINE wins."""

    @field_validator("cache_limit")
    @classmethod
    def _is_a_size(cls, text: str | None) -> str | None:
        if text is not None:
            try:
                size_of(text, "")
            except UsageError as error:
                raise ValueError(str(error).removeprefix(": ")) from None
        return text

    @field_validator("cache")
    @classmethod
    def _is_a_place(cls, place: str | Literal[False] | None) -> str | Literal[False] | None:
        if isinstance(place, str) and not place.strip():
            raise ValueError("names no folder. Allowed: a folder, or false to keep nothing")
        return place

    @model_validator(mode="after")
    def _says_workers_once(self) -> SettingsSpec:
        table = self.executor if isinstance(self.executor, dict) else {}
        if self.workers is not None and "workers" in table:
            raise ValueError("executor.workers and workers say the same: leave one of them out")
        return self
