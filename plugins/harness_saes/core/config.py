"""What decides an SAE's numbers beside its weights, in the same words for every format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness.contract import SaeFacts
from harness.contract.sites import Site, site_from_hook_name
from harness.contract.values import JSON

Normalize = Literal[
    "none",
    "expected_average_only_in",
    "constant_norm_rescale",
    "layer_norm",
    "constant_scalar_rescale",
]
TOPK = ("topk", "abstopk")
BATCHTOPK = ("batchtopk", "matryoshka_batchtopk")
"""Training checkpoints; sae_lens exports them for inference as jumprelu."""
SKIP = ("skip_transcoder", "jumprelu_skip_transcoder")
"""Those with a linear path beside the latents, the tensor W_skip."""
JUMPRELU = ("jumprelu", "jumprelu_transcoder", "jumprelu_skip_transcoder")
TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")


@dataclass(frozen=True)
class Config:
    """What decides an SAE's numbers, beside its weights, and what its files say about it."""

    architecture: str
    d_in: int
    d_sae: int
    d_out: int | None = None
    """Numbers per token that a transcoder writes; None for an SAE, which writes d_in of them."""
    k: int | None = None
    """Latents per token of topk and abstopk, groups of groupmax; None of all others."""
    apply_b_dec_to_input: bool = True
    """Whether the encoder reads x − b_dec; nothing to a transcoder, which never does."""
    normalize: Normalize = "none"
    rescale_by_decoder_norm: bool = False
    """Whether latents are selected and measured as if decoder rows had length 1."""
    rules: Mapping[str, JSON] = field(default_factory=dict)
    """Parameters of an architecture that sae_lens computes itself, under their names there."""
    needs_sequence: bool = False
    """Whether a token's latents depend on the tokens before it."""
    hook: str | None = None
    """Where it reads, as a TransformerLens hook name."""
    hook_out: str | None = None
    """Where a transcoder's output belongs, as a TransformerLens hook name."""
    site: Site | None = None
    """Where it reads, of formats that have other names for places; it goes before `hook`."""
    site_out: Site | None = None
    """Where a transcoder's output belongs; it goes before `hook_out`."""
    model: str | None = None
    neuronpedia: str | None = None

    @property
    def width_out(self) -> int:
        """Numbers per token of a reconstruction."""
        return self.d_in if self.d_out is None else self.d_out

    @property
    def subtracts_b_dec(self) -> bool:
        """Whether the encoder reads x − b_dec."""
        return self.apply_b_dec_to_input and self.d_out is None

    @property
    def facts(self) -> SaeFacts:
        """Architecture, widths, sites and model, as the contract has them."""
        return SaeFacts(
            architecture=self.architecture,
            d_in=self.d_in,
            d_sae=self.d_sae,
            site=self.site or _site(self.hook),
            site_out=self.site_out or _site(self.hook_out),
            signed=self.architecture == "abstopk",
            needs_sequence=self.needs_sequence,
            model=self.model,
            neuronpedia=self.neuronpedia,
        )


def _site(hook: str | None) -> Site | None:
    return site_from_hook_name(hook) if hook else None
