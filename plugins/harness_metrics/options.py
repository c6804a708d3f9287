"""Options of the metrics. No torch here."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, model_validator

from harness.contract import Encodes, MetricOptions


def _distinct(variants: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(variants)) < len(variants):
        raise ValueError("a variant is named twice")
    return variants


Chosen = (Field(min_length=1), AfterValidator(_distinct))
"""Variants: at least one, each once."""


def _of_data(numbers: int) -> int:
    """Sums that are kept for the data alone, as a share of those that each of 257 rows has."""
    return numbers // 257


class FvuOptions(MetricOptions):
    """Fraction of variance unexplained."""

    paired: ClassVar[bool] = False

    variants: Annotated[tuple[Literal["pooled", "batch_mean"], ...], *Chosen] = ("pooled",)
    """`pooled`: the variance about the mean over all evaluated tokens. `batch_mean`: about the
    mean of each group of 32 tokens of a document."""

    def keeps(self, width: int, latents: int) -> int:
        """The sum of the activations, and a few numbers more."""
        return 4 + width

    def rebuilds(self) -> bool:
        """Yes."""
        return True


class L0Options(MetricOptions):
    """Mean number of active latents per token."""

    paired: ClassVar[bool] = False
    latents_alone: ClassVar[bool] = True


class CosineOptions(MetricOptions):
    """Cosines between both sides; of latents and reconstructions too where there is an SAE."""

    on_sae: ClassVar[bool] = False

    variants: Annotated[
        tuple[Literal["raw", "latent", "recon", "share_below", "quantiles"], ...], *Chosen
    ] = ("raw", "latent", "recon", "share_below", "quantiles")
    """What to measure; reconstructions cost a decoding of both sides."""
    below: float = Field(0.9, ge=-1, le=1)
    """`share_below` counts the tokens whose cosine is smaller than this."""

    def keeps(self, width: int, latents: int) -> int:
        """A histogram of angles, where quantiles are asked for."""
        return 16 + 1025 * ("quantiles" in self.variants)

    def encodes(self) -> Encodes:
        """Both sides, where latents or reconstructions are asked for."""
        return Encodes() if {"latent", "recon"} & {*self.variants} else Encodes(())

    def rebuilds(self) -> bool:
        """Where reconstructions are compared."""
        return "recon" in self.variants


class DisplacementOptions(MetricOptions):
    """How far activations moved, as a share of their length."""

    on_sae: ClassVar[bool] = False


class ExplainedRatioOptions(MetricOptions):
    """What an SAE fails to explain of the right side, over how far the sides are apart."""

    variants: Annotated[
        tuple[Literal["ratio_of_means", "mean_of_ratios", "median"], ...], *Chosen
    ] = ("ratio_of_means", "mean_of_ratios", "median")
    """How the tokens are put together."""
    norm: Literal["rms", "msq", "none"] = "rms"
    """What each side's activations are divided by: the root of their mean square, their mean
    square (the paper's letter, which makes the number depend on their unit), or nothing."""
    scale_ratio: float | None = Field(None, gt=0)
    """A known right scale over the left one, in place of the measured one: then every variant is
    exact. `explained_ratio.scale_ratio` of an earlier run tells it."""
    input: Literal["raw", "rescaled"] = "raw"
    """What the SAE reads of the right side: its activations as they are, or brought to the scale of
    the left side's, on which it was trained; that needs `scale_ratio`."""

    @property
    def known_ratio(self) -> float | None:
        """The right scale over the left one, where it is known before anything is read."""
        return 1.0 if self.norm == "none" else self.scale_ratio

    @model_validator(mode="after")
    def _one_scale(self) -> ExplainedRatioOptions:
        if self.norm == "none" and self.scale_ratio is not None:
            raise ValueError('norm = "none" leaves the scales alone; leave scale_ratio out')
        if self.input == "rescaled" and self.scale_ratio is None:
            raise ValueError(
                'input = "rescaled" needs scale_ratio: the scales are known at the end of a pass, '
                "the SAE reads in it. explained_ratio.scale_ratio of an earlier run tells it"
            )
        return self

    def keeps(self, width: int, latents: int) -> int:
        """A histogram at each node of a grid of scales, where the median is asked for."""
        nodes, bins = (17, 231) if self.known_ratio is None else (1, 1843)
        return 4 * nodes + nodes * bins * ("median" in self.variants)

    def encodes(self) -> Encodes:
        """The right side: as it is, or anew in another scale."""
        return Encodes((), anew=1) if self.input == "rescaled" else Encodes(("right",))

    def rebuilds(self) -> bool:
        """Yes."""
        return True


class FvuChangeOptions(MetricOptions):
    """What an SAE's latents do not rebuild of a change, over that change."""

    variants: Annotated[tuple[Literal["pooled", "centered", "errors", "tokens"], ...], *Chosen] = (
        "pooled",
        "errors",
        "tokens",
    )
    """`pooled`: of all tokens together. `centered`: less the mean shift. `errors`: how the errors
    on both sides go together, and what `pooled` were if they did not. `tokens`: the share of
    tokens above 0.5, and the median."""
    floor: Literal["bfloat16", "float16", "float32", "none"] = "bfloat16"
    """The dtype by half a step of which the left side is moved, to see what that adds; `none`
    measures no floor, and saves one more encoding of that side."""

    def encodes(self) -> Encodes:
        """Both sides, and the left one once more, moved by half a step."""
        return Encodes(anew=int(self.floor != "none"))

    def rebuilds(self) -> bool:
        """Yes."""
        return True


class IntersectionRatioOptions(MetricOptions):
    """Latents active on both sides, out of those active on either."""

    latents_alone: ClassVar[bool] = True

    variants: Annotated[tuple[Literal["per_token", "micro", "chance"], ...], *Chosen] = (
        "per_token",
        "micro",
        "chance",
    )
    """`per_token`: the mean of each token's ratio. `micro`: all tokens together. `chance`: what
    that would be of shuffled tokens; keeps two numbers for each latent."""

    def keeps(self, width: int, latents: int) -> int:
        """For chance, two numbers for each latent, which are kept for the data alone."""
        return 6 + _of_data(2 * latents) * ("chance" in self.variants)


class LatentOverlapOptions(MetricOptions):
    """Jaccard overlap of the largest latents of both sides."""

    latents_alone: ClassVar[bool] = True

    variants: Annotated[tuple[Literal["topk", "topk_dataset"], ...], *Chosen] = (
        "topk",
        "topk_dataset",
    )
    """`topk`: at each token. `topk_dataset`: by their means over all tokens; keeps two numbers for
    each latent."""
    k: int = Field(128, ge=1)
    """How many of the largest latents are compared."""

    def keeps(self, width: int, latents: int) -> int:
        """For `topk_dataset`, two numbers for each latent, kept for the data alone."""
        return 3 + _of_data(2 * latents) * ("topk_dataset" in self.variants)


class L1DivergenceOptions(MetricOptions):
    """Sum of absolute differences between the latents of both sides."""

    latents_alone: ClassVar[bool] = True


class KlOptions(MetricOptions):
    """Divergences between the next-token distributions of both sides."""

    on_sae: ClassVar[bool] = False
    on_logits: ClassVar[bool] = True

    variants: Annotated[
        tuple[Literal["next_token", "next_token_reverse", "jensen_shannon"], ...], *Chosen
    ] = ("next_token", "next_token_reverse")
    """`next_token`: of the left side from the right one, KL(left ‖ right). `next_token_reverse`:
    KL(right ‖ left). `jensen_shannon`: of both from their mean; takes three times as long."""


class CkaOptions(MetricOptions):
    """Linear centered kernel alignment of both sides' activations."""

    on_sae: ClassVar[bool] = False

    variants: Annotated[tuple[Literal["linear", "debiased"], ...], *Chosen] = (
        "linear",
        "debiased",
    )
    """`linear`: the usual one, which few tokens make too large. `debiased`: without that."""


class DeadShareOptions(MetricOptions):
    """Share of an SAE's latents that are never active."""

    paired: ClassVar[bool] = False

    def keeps(self, width: int, latents: int) -> int:
        """A number for each latent, kept for the data alone."""
        return 3 + _of_data(latents)


class ActivationNormOptions(MetricOptions):
    """Quantiles of the lengths of activations."""

    paired: ClassVar[bool] = False
    on_sae: ClassVar[bool] = False

    variants: Annotated[
        tuple[Literal["p01", "p05", "p25", "p50", "p75", "p95", "p99"], ...], *Chosen
    ] = ("p05", "p50", "p95", "p99")
    """Which quantiles, in percent: `p50` is the median."""

    def keeps(self, width: int, latents: int) -> int:
        """A histogram of lengths."""
        return 2303
