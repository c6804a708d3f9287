"""The latents that a row of activations has chosen: which are active, and a mixture of some."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from harness.contract import Direction, Sae
from harness.contract.latents import Latents, offsets_of
from harness.errors import ModelError


def latents_of(name: str, direction: Direction, sae: Sae | None, named: tuple[int, ...]) -> Sae:
    """The SAE that an edit runs on the direction's features, or on those that are `named`.

    Raises ModelError where there is no SAE or no latent, where the SAE has no such latent, and for
    one that needs whole sequences or writes elsewhere than it reads.
    """
    if sae is None or not (named or direction.features):
        raise ModelError(
            f"arm {name!r}: the direction is made of no SAE features, so there is no latent to "
            "look at. Allowed: directions such as sae_features and feature. Use one of them, or "
            "an intervention that needs no SAE"
        )
    if sae.facts.needs_sequence or sae.facts.site_out not in (None, sae.facts.site):
        raise ModelError(
            f"arm {name!r}: its SAE "
            f"{'needs whole sequences' if sae.facts.needs_sequence else 'writes elsewhere'}. "
            "Allowed: SAEs that rebuild each token where they read it. Use another SAE"
        )
    width = sae.facts.d_sae
    largest = max(named or direction.features)
    if width is not None and largest >= width:
        raise ModelError(
            f"arm {name!r}: the SAE has no latent {largest}. Allowed: 0 to {width - 1}. "
            "Choose another latent"
        )
    return sae


def encoded(x: Float[Tensor, "rows pos d"], sae: Sae) -> Latents:
    """The latents of every position, row after row, from float32 (or more) activations."""
    return sae.encode(x.reshape(-1, x.shape[-1]).to(torch.promote_types(x.dtype, torch.float32)))


def inside(latents: Latents, positions: int, chosen: Int[Tensor, "rows n"]) -> Bool[Tensor, " nnz"]:
    """Whether each active latent is one of those that its row has chosen."""
    row = latents.token // positions
    offset = torch.arange(len(chosen), device=chosen.device)[:, None] * latents.d_sae
    return torch.isin(row * latents.d_sae + latents.indices, (offset + chosen).flatten())


def only(latents: Latents, kept: Bool[Tensor, " nnz"]) -> Latents:
    """Some of the active latents of every token."""
    counts = torch.bincount(latents.token[kept], minlength=latents.tokens)
    return replace(
        latents,
        offsets=offsets_of(counts),
        indices=latents.indices[kept],
        values=latents.values[kept],
    )


def values_of(
    latents: Latents, positions: int, chosen: Int[Tensor, "rows n"]
) -> Float[Tensor, "tokens n"]:
    """z of each token for the latents that its row has chosen; 0 where one is not active."""
    few = only(latents, inside(latents, positions, chosen))
    token = few.token
    same = few.indices[:, None] == chosen[token // positions]
    out = few.values.new_zeros(latents.tokens, chosen.shape[1])
    # Each number gets one value and zeros, so the order of the sum changes no bit.
    return out.index_add_(0, token, torch.where(same, few.values[:, None], 0))


def mixture(
    sae: Sae,
    latents: Latents,
    positions: int,
    chosen: Int[Tensor, "rows n"],
    amounts: Float[Tensor, "tokens n"],
) -> Float[Tensor, "tokens d"]:
    """Σ_j amount_j W_dec[j] of the chosen latents, in the scale in which each token is rebuilt.

    As x̂(the amounts) − x̂(nothing): so it holds for SAEs that scale their input, too.
    """
    token, place = amounts.nonzero(as_tuple=True)
    counts = torch.bincount(token, minlength=latents.tokens)
    some = replace(
        latents,
        offsets=offsets_of(counts),
        indices=chosen[token // positions, place],
        values=amounts[token, place],
    )
    none = only(latents, torch.zeros_like(latents.indices, dtype=torch.bool))
    return sae.reconstruct(some) - sae.reconstruct(none)
