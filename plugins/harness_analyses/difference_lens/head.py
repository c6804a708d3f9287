"""A model's final norm and head, as the model itself applies them to a vector.

The last block's output is replaced by the vector, and the model goes on to its logits: no weight is
looked up by name, so it works for every backend that offers edits and logits.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from harness.contract import Arm, Edit, Model, Site, Tokens
from harness.errors import ModelError
from harness_analyses.difference_lens.options import ROWS as _ROWS

_NUMBERS = 2**25
"""At most so many logits are asked for at a time."""


def rows_at_a_time(vocabulary: int, length: int) -> int:
    """How many prompts of so many tokens are read at a time, so that their logits fit."""
    return max(1, min(_ROWS, _NUMBERS // max(1, vocabulary * length)))


class Head:
    """Norm and unembedding of a model: logits(v) = W_U · Norm(v), as its last block hands on v."""

    def __init__(self, model: Model) -> None:
        assert model.facts.layers is not None, "a loaded model knows its blocks"
        self._model = model
        self._site = Site("resid_post", model.facts.layers - 1)
        (first,) = self._read(torch.ones(1, model.facts.d_model or 1))
        self.vocabulary = int(first.shape[-1])
        """How many logits it writes."""

    def logits(self, vectors: Float[Tensor, "n d"]) -> Iterator[Float[Tensor, " vocab"]]:
        """The logits of each vector, float32 on the CPU.

        Raises ModelError where a vector did not reach the head, or its logits are not finite.
        """
        size = rows_at_a_time(self.vocabulary, 1)
        for begin in range(0, len(vectors), size):
            yield from self._read(vectors[begin : begin + size])

    def rows(self, tokens: Sequence[int]) -> Float[Tensor, "tokens d"]:
        """The row of W_U of some tokens, times the gain of the norm: how the logit of each grows
        along each axis of the stream, once the norm has made vectors alike in length.

        It is measured: column i is (logits(a e_i) − logits(−a e_i)) / 2, with e_i the i-th unit
        vector and a = √d, in which the norm's and the head's biases cancel. A norm that takes the
        mean off takes it off the rows, too.
        """
        d = self._model.facts.d_model or 0
        chosen = torch.tensor(list(tokens), dtype=torch.long)
        axes = torch.eye(d) * d**0.5
        columns = [
            (plus[chosen] - minus[chosen]) / 2
            for plus, minus in zip(self.logits(axes), self.logits(-axes), strict=True)
        ]
        return torch.stack(columns, dim=1)

    def _read(self, vectors: Float[Tensor, "n d"]) -> list[Float[Tensor, " vocab"]]:
        arms = [
            Arm(str(n), (Edit(self._site, put, {"vector": vector}),))
            for n, vector in enumerate(vectors.float())
        ]
        tokens = [Tokens("head", (0,), (0, 1), "", arm=n) for n in range(len(arms))]
        with self._model.edited(arms) as receipts:
            found = self._model.activations(tokens, [], logits=True)
        return list(checked(found.logits, [(row, start) for row, start in enumerate(found.start)],
                            [one.changed for one in receipts]))  # fmt: skip


def put(
    x: Float[Tensor, "rows pos d"], parameters: Mapping[str, Tensor]
) -> Float[Tensor, "rows pos d"]:
    """The vector of each row, at all of its positions."""
    return parameters["vector"][:, None].expand(x.shape).to(x.dtype).clone()


def checked(
    logits: Tensor | None, places: Sequence[tuple[int, int]], changed: Sequence[int]
) -> Iterator[Float[Tensor, " vocab"]]:
    """The logits at a row and column each, float32 on the CPU.

    Raises ModelError where an edit changed another number of tokens than one, or made logits that
    are not finite: what would be read there is not the vector.
    """
    assert logits is not None, "logits were asked for"
    for (row, column), count in zip(places, changed, strict=True):
        if count != 1:
            raise ModelError(
                f"a vector was put in the place of {count} tokens of a prompt, and it must be one. "
                "Allowed: a site where the tokens of a prompt have different activations."
            )
        found = logits[row, column].detach().float().cpu()
        if not found.isfinite().all():
            raise ModelError(
                "the model makes logits that are not finite of a vector. Allowed: finite ones. "
                "Load the model in another dtype, such as bfloat16 or float32."
            )
        yield found
