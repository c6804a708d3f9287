"""From padded activations to batches of measured tokens, encoded once and shared by all jobs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Activations, Batch, Model, Sae, Site, Stream, Tokens
from harness.errors import ModelError
from harness.latents import Latents


@dataclass(frozen=True)
class Measured:
    """The tokens of a padded batch that a stream measures."""

    row: Int[Tensor, " tokens"]
    """For each token, its row: the index of its document."""
    offset: Int[Tensor, " tokens"]
    """For each token, its place among its prompt's tokens, padding not counted."""

    def of(self, activations: Activations, site: Site) -> Float[Tensor, "tokens d_site"]:
        """What stands at a site for these tokens, wherever the padding is."""
        values = activations.sites[site]
        start = torch.tensor(activations.start)
        column = start[self.row] + self.offset
        return values[self.row.to(values.device), column.to(values.device)]


def measured(tokens: Sequence[Tokens], which: str, masked: frozenset[int]) -> Measured:
    """The tokens that count, by the policy of a stream.

    `last`: the last token of each prompt, whatever it is. `all`: every token of the span that is
    no BOS, EOS or padding and not at position 0: models without a BOS keep a sink of massive norm
    there, and one such token would dominate any ratio of sums.
    """
    rows: list[int] = []
    offsets: list[int] = []
    for row, prompt in enumerate(tokens):
        if which == "last":
            kept = [len(prompt.ids) - 1] if prompt.ids else []
        else:
            start, end = prompt.span
            kept = [i for i in range(max(start, 1), end) if prompt.ids[i] not in masked]
        rows += [row] * len(kept)
        offsets += kept
    return Measured(torch.tensor(rows, dtype=torch.long), torch.tensor(offsets, dtype=torch.long))


class ModelSide:
    """One side of a batch. Encodes and decodes lazily, each (SAE, site) once."""

    def __init__(
        self,
        values: Mapping[Site, Float[Tensor, "tokens d"]],
        selected: Int[Tensor, " selected"],
        saes: Mapping[str, Sae],
        sae_sites: Mapping[str, Site],
        layers: int,
    ) -> None:
        self._values = values
        self._selected = selected
        self._saes = saes
        self._sae_sites = sae_sites
        self._layers = layers
        self._float: dict[Site, Tensor] = {}
        self._latents: dict[tuple[str, Site], Latents] = {}
        self._reconstructions: dict[tuple[str, Site], Tensor] = {}

    @property
    def device(self) -> torch.device:
        """Where the activations are."""
        return next((x.device for x in self._values.values()), torch.device("cpu"))

    def x(self, site: Site) -> Float[Tensor, "tokens d_site"]:
        """Activations at a site, float32."""
        site = site.at(self._layers)
        if site not in self._float:
            self._float[site] = self._values[site].float()
        return self._float[site]

    def latents(self, sae: str, site: Site | None = None) -> Latents:
        """Latents of the selected tokens; encoded once, whoever asks."""
        key = self._key(sae, site)
        if key not in self._latents:
            x = self.x(key[1])
            whole = len(self._selected) == len(x)
            self._latents[key] = self._saes[sae].encode(x if whole else x[self._selected])
        return self._latents[key]

    def reconstruction(self, sae: str, site: Site | None = None) -> Float[Tensor, "selected d"]:
        """x̂ of the selected tokens; decoded once, whoever asks."""
        key = self._key(sae, site)
        if key not in self._reconstructions:
            self._reconstructions[key] = self._saes[sae].reconstruct(self.latents(sae, key[1]))
        return self._reconstructions[key]

    def _key(self, sae: str, site: Site | None) -> tuple[str, Site]:
        return sae, (site or self._sae_sites[sae]).at(self._layers)


@dataclass(frozen=True)
class Reader:
    """Reads the batches of some streams that share one rendering: one forward per model."""

    streams: tuple[Stream, ...]
    models: Mapping[str, Model]
    """By view."""
    sites: Mapping[str, tuple[Site, ...]]
    """By view, everything that any job asks for."""
    saes: Mapping[str, Sae]
    sae_sites: Mapping[str, Site]

    def read(self, tokens: Sequence[Tokens]) -> Iterator[Batch]:
        """One batch for each stream, from one forward of each model."""
        views = dict.fromkeys(v for s in self.streams for v in (s.view, s.right) if v is not None)
        by_model: dict[int, Activations] = {}
        for view in views:
            model = self.models[view]
            if id(model) in by_model:
                continue
            shared = [other for other in views if self.models[other] is model]
            sites = tuple(dict.fromkeys(site for other in shared for site in self.sites[other]))
            self._check_vocabulary(view, model, tokens)
            by_model[id(model)] = model.activations(tokens, sites)
            self._check_finite(view, by_model[id(model)], tokens)
        documents = tuple(prompt.example for prompt in tokens)
        sides: dict[tuple[int, str, frozenset[int]], ModelSide] = {}
        for stream in self.streams:
            # What is special to either side is measured on neither.
            sides_of = [self.models[v] for v in (stream.view, stream.right) if v is not None]
            masked = frozenset().union(*(model.masked_ids for model in sides_of))
            kept = measured(tokens, stream.tokens, masked)

            # The same tokens of the same model are one side, encoded once for all streams.
            what = (stream.tokens, masked)

            def side(
                view: str, kept: Measured = kept, what: tuple[str, frozenset[int]] = what
            ) -> ModelSide:
                model = self.models[view]
                key = (id(model), *what)
                if key not in sides:
                    sides[key] = self._side(model, by_model[id(model)], kept)
                return sides[key]

            left = side(stream.view)
            right = side(stream.right) if stream.right is not None else None
            row = kept.row.to(left.device)
            everything = torch.arange(len(row), device=left.device)
            yield Batch(stream.name, documents, row, everything, left, right, ids=row, position=row)

    def _side(self, model: Model, activations: Activations, kept: Measured) -> ModelSide:
        values = {site: kept.of(activations, site) for site in activations.sites}
        everything = torch.arange(len(kept.row))
        layers = model.facts.layers or 0
        return ModelSide(values, everything, self.saes, self.sae_sites, layers)

    def _check_vocabulary(self, view: str, model: Model, tokens: Sequence[Tokens]) -> None:
        size = model.facts.vocabulary
        largest = max((max(prompt.ids) for prompt in tokens if prompt.ids), default=0)
        if size is not None and largest >= size:
            raise ModelError(
                f"views.{view}: token {largest} is beyond the model's vocabulary of {size}. Both "
                "sides of a pair read the left one's tokens: choose models that share a tokenizer."
            )

    def _check_finite(self, view: str, found: Activations, tokens: Sequence[Tokens]) -> None:
        for site, values in found.sites.items():
            # A sum is finite only if everything in it is; one reduction instead of a mask.
            if not torch.isfinite(values.float().abs().sum()):
                for row, prompt in enumerate(tokens):
                    start = found.start[row]
                    if not torch.isfinite(values[row, start : start + len(prompt.ids)]).all():
                        raise ModelError(
                            f"views.{view}: the activations at {site} are not finite for document "
                            f'{prompt.example} ({prompt.text[:60]!r}). Try dtype = "float32"; '
                            "if they stay so, the weights are broken."
                        )
