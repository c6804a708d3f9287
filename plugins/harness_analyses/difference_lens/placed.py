"""Prompts in which a vector stands in the place of the last token's activation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Arm, Edit, Example, Model, Prompt, Site, Tokens
from harness.errors import ModelError
from harness_analyses.difference_lens.head import checked, rows_at_a_time


@dataclass(frozen=True)
class _Place:
    """The last token of a prompt, told apart from the others by its own activation."""

    tokens: Tokens
    near: Float[Tensor, " d"]
    """What the model has there."""
    radius: float
    """Half the distance to the nearest other activation of the prompt."""


class Placed:
    """The identity prompts of a model, with room for a vector at one site."""

    def __init__(
        self, model: Model, site: Site, prompts: Sequence[Sequence[str]], vocabulary: int
    ) -> None:
        texts = ["\n".join([*(f"{word} -> {word}" for word in lines), "?"]) for lines in prompts]
        examples = [Example(f"identity-{n}", text) for n, text in enumerate(texts)]
        tokens = model.render(examples, Prompt())
        found = model.activations(tokens, [site])
        self._model, self._site, self._vocabulary = model, site, vocabulary
        self._places = [
            _place(one, x[start : start + len(one.ids)], site)
            for one, x, start in zip(tokens, found.sites[site], found.start, strict=True)
        ]
        self._longest = max(len(one.ids) for one in tokens)

    def logits(self, vectors: Float[Tensor, "n d"]) -> Iterator[list[Float[Tensor, " vocab"]]]:
        """For each vector, the next-token logits after each prompt, float32 on the CPU.

        The vector stands at the last position of the prompt, where the site is; all positions
        before it are as they were. Raises ModelError where it did not stand at exactly one.
        """
        each = len(self._places)
        size = max(1, rows_at_a_time(self._vocabulary, self._longest) // each)
        for begin in range(0, len(vectors), size):
            found = list(self._read(vectors[begin : begin + size]))
            for row in range(0, len(found), each):
                yield found[row : row + each]

    def _read(self, vectors: Float[Tensor, "n d"]) -> Iterator[Float[Tensor, " vocab"]]:
        pairs = [(vector, place) for vector in vectors.float() for place in self._places]
        arms = [_arm(n, vector, place, self._site) for n, (vector, place) in enumerate(pairs)]
        tokens = [replace(place.tokens, arm=n) for n, (_, place) in enumerate(pairs)]
        with self._model.edited(arms) as receipts:
            found = self._model.activations(tokens, [], logits=True)
        last = [
            (row, start + len(one.ids) - 1)
            for row, (one, start) in enumerate(zip(tokens, found.start, strict=True))
        ]
        return checked(found.logits, last, [one.changed for one in receipts])


def _place(tokens: Tokens, x: Float[Tensor, "pos d"], site: Site) -> _Place:
    """The last token of a prompt. Raises ModelError where another one has its activation."""
    x = x.detach().float().cpu()
    apart = (x[:-1] - x[-1]).norm(dim=1)
    radius = float(apart.min()) / 2 if len(apart) else float("inf")
    if not radius > 0:
        raise ModelError(
            f"site {site}: the last token of the prompt {tokens.text!r} has the activation of one "
            "before it there, so that they cannot be told apart. Allowed: a deeper site."
        )
    return _Place(tokens, x[-1], min(radius, torch.finfo(torch.float32).max))


def _arm(n: int, vector: Tensor, place: _Place, site: Site) -> Arm:
    parameters = {"vector": vector, "near": place.near, "radius": torch.tensor(place.radius)}
    return Arm(str(n), (Edit(site, put_where_near, parameters),), gated=True)


def put_where_near(
    x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
) -> Float[Tensor, "rows pos d"]:
    """The vector where ‖x − near‖ < radius, and x, every bit of it, elsewhere.

    An edit is not told which position it acts on; a token's activation says which token it is.
    """
    apart = (x.float() - parameters["near"][:, None]).norm(dim=-1)
    here = apart < parameters["radius"][:, None]
    return torch.where(here[..., None], parameters["vector"][:, None].to(x.dtype), x)
