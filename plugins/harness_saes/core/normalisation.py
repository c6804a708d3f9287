"""Per-token normalisation of activations, and the way back: pure functions, no state kept."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, where

from harness_saes.core.config import Config

_EPSILON = 1e-5
"""sae_lens adds this to the standard deviation when it divides, but not when it scales back."""


def normalised(
    x: Float[Tensor, "tokens d_in"], config: Config
) -> tuple[Float[Tensor, "tokens d_in"], dict[str, Tensor]]:
    """x as the encoder reads it, and what `restore` needs: `scale` and `shift` per token.

    `constant_norm_rescale`: x/s with s = ‖x‖/√d_in, 1 for a token of length 0. `layer_norm`:
    (x − m)/(s + 1e-5) with m the mean and s the standard deviation (unbiased) of the token.
    Anything else leaves x as it is. Where the SAE reads centred activations, x is x minus the
    token's mean, which `restore` adds again.
    """
    read, context = _scaled(centred(x, config), config)
    if config.centred:
        mean = x.mean(dim=1)
        context["shift"] = context["shift"] + mean if "shift" in context else mean
    return read, context


def centred(x: Float[Tensor, "tokens d_in"], config: Config) -> Float[Tensor, "tokens d_in"]:
    """x without each token's mean where the SAE was trained on such activations, else x."""
    return x - x.mean(dim=1, keepdim=True) if config.centred else x


def _scaled(x: Tensor, config: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """x normalised, token by token, and by what."""
    if config.normalize == "constant_norm_rescale":
        scale = x.norm(dim=1) / config.d_in**0.5
        # A token of length 0 has no direction to rescale: it stays 0.
        scale = where(scale > 0, scale, 1)
        return x / scale[:, None], {"scale": scale}
    if config.normalize == "layer_norm":
        shift = x.mean(dim=1)
        moved = x - shift[:, None]
        scale = moved.norm(dim=1) / max(1, config.d_in - 1) ** 0.5  # unbiased
        return moved / (scale + _EPSILON)[:, None], {"scale": scale, "shift": shift}
    return x, {}


def through_norm(x: Float[Tensor, "tokens d_in"], config: Config) -> Float[Tensor, "tokens d_in"]:
    """x as the model's norm gives it before its gain, for transcoders that read it there; else x.

    `rms`: `x / √(mean x² + ε)`. `layer`: the same of x minus its mean. Means are over d_in.
    """
    if config.norm is None:
        return x
    moved = x - x.mean(dim=1, keepdim=True) if config.norm == "layer" else x
    return moved / (moved.square().mean(dim=1, keepdim=True) + config.norm_epsilon).sqrt()


def restore(out: Float[Tensor, "tokens d_in"], context: Mapping[str, Tensor]) -> None:
    """Scales a reconstruction back, in place, to the activations that `normalised` was given."""
    if "scale" in context:
        out *= context["scale"][:, None]
    if "shift" in context:
        out += context["shift"][:, None]
