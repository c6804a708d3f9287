"""What decides an SAE's numbers beside its weights, in the same words for every format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from harness.contract import SaeFacts, TokensLeftOut
from harness.contract.sites import Site
from harness.contract.values import JSON

Normalize = Literal[
    "none",
    "expected_average_only_in",
    "constant_norm_rescale",
    "layer_norm",
    "constant_scalar_rescale",
]
Norm = Literal["rms", "layer"]
"""A norm without its gain: `rms` divides by the root of the mean square, `layer` takes the mean
away before."""
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
    centred: bool = False
    """Whether the SAE reads activations without their mean over d_in, and before `normalize`."""
    rescale_by_decoder_norm: bool = False
    """Whether latents are selected and measured as if decoder rows had length 1."""
    rules: Mapping[str, JSON] = field(default_factory=dict)
    """Parameters of an architecture that sae_lens computes itself, under their names there."""
    needs_sequence: bool = False
    """Whether a token's latents depend on the tokens before it."""
    site: Site | None = None
    """Where it reads."""
    site_out: Site | None = None
    """Where a transcoder's output belongs."""
    model: str | None = None
    neuronpedia: str | None = None
    place: str | None = None
    """Where it reads, in the words of its files, where that is no site."""
    partial: bool = False
    """Whether its latents are only some of those that write at `site_out`: one layer of a CLT."""
    blocks: int | None = None
    """Of one layer of a CLT, how many layers there are."""
    norm: Norm | None = None
    """A transcoder may read activations through the model's norm, before that norm's gain."""
    norm_epsilon: float = 0.0
    """What that norm adds to the mean square before its root."""
    notes: tuple[str, ...] = ()
    """What a reader of its numbers should know, by what its files say."""
    not_trained_on: TokensLeftOut | None = None
    """Which tokens its training left out, by its files or by its card."""

    @property
    def subtracts_b_dec(self) -> bool:
        """Whether the encoder reads x − b_dec."""
        return self.apply_b_dec_to_input and self.d_out is None

    @property
    def facts(self) -> SaeFacts:
        """Architecture, widths, sites and model, as the contract has them."""
        mine = {f.name for f in fields(Config)}
        same = {f.name: getattr(self, f.name) for f in fields(SaeFacts) if f.name in mine}
        return SaeFacts(**same, signed=self.architecture == "abstopk")

    @classmethod
    def of(cls, facts: SaeFacts, d_in: int, d_sae: int, **others: Any) -> Config:
        """Of an SAE without b_dec before the encoder; `facts` has its architecture and places."""
        return cls(
            architecture=str(facts.architecture),
            d_in=d_in,
            d_sae=d_sae,
            apply_b_dec_to_input=False,
            site=facts.site,
            site_out=facts.site_out,
            model=facts.model,
            neuronpedia=facts.neuronpedia,
            **others,
        )
