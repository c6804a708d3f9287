"""What a run fetches and writes: downloads that are not in the cache, and the run's folder."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.planning.cost.gated import terms
from harness.task.task import Task

STORED_BYTES = 2
"""Bytes of a number as weights are stored on the hub, where no file tells: most are bfloat16."""
PER_COMPLETION = 700
"""Bytes of a completion's row beside its texts: keys, hashes, verdicts."""


@dataclass(frozen=True)
class Download:
    """Something that is not here, or of which nobody can know whether it is here."""

    what: str
    """The entry of the task that wants it."""
    name: str
    """A hub id or an address."""
    size: int | None = None
    """Bytes; None where nothing tells."""
    perhaps: bool = False
    """Whether it may be in a cache that cannot be looked into from here."""

    @property
    def terms(self) -> str | None:
        """Whose terms probably have to be accepted first; offline nobody can know."""
        return terms(self.name)


def downloads(task: Task) -> Iterator[Download]:
    """Lists everything that a run fetches, each repository once."""
    seen: set[str] = set()
    for name, entry in task.models.items():
        needs, facts = entry.options.needs(), task.model_facts[name]
        if needs.download is not None and needs.download not in seen:
            seen.add(needs.download)
            size = needs.download_bytes or STORED_BYTES * (facts.parameters or 0)
            yield Download(f"models.{name}", needs.download, size or None)
    for name, sae in task.saes.items():
        needs, known = sae.options.needs(), task.sae_facts(name)
        if needs.download is not None:
            size = needs.download_bytes or 2 * (known.d_in or 0) * (known.d_sae or 0) * 4
            yield Download(f"saes.{name}", needs.download, size or None, perhaps=True)
    for name, spec in task.spec.data.items():
        where = spec.hub or spec.url
        if where is not None and where not in seen and not (spec.hub and _cached(spec.hub)):
            seen.add(where)
            yield Download(f"data.{name}", where, perhaps=spec.url is not None)


def _cached(dataset: str) -> bool:
    """Whether a data set of the hub has been fetched before."""
    # A constant module: importing it is cheap and starts nothing.
    from huggingface_hub.constants import HF_HOME, HF_HUB_CACHE

    repository = Path(HF_HUB_CACHE) / f"datasets--{dataset.replace('/', '--')}" / "snapshots"
    prepared = Path(HF_HOME) / "datasets" / dataset.replace("/", "___")
    return repository.is_dir() or prepared.is_dir()


def files_bytes(completions: int, characters: int) -> int:
    """Bytes of a run's folder: completions with their prompts, in the journal, the samples and
    the report; everything else is small beside them. `characters` are those of each of them."""
    return completions * (3 * characters + PER_COMPLETION)
