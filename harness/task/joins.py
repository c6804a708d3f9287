"""SAEs that join several activations: what is wrong with where a task puts them, or uses them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.contract import MetricOptions, SaeFacts
    from harness.task.spec import SaeSpec


def unjoined(spec: SaeSpec, facts: SaeFacts) -> str | None:
    """What is wrong where an SAE of a pair is given a model alone, or one of a model a pair.

    None where nothing is, and where its files do not tell.
    """
    if spec.model is not None and facts.of_pair:
        return (
            f"it reads both sides of a pair at once, and {spec.model} is a model alone. Allowed: "
            'pair = "…", whose two models it was trained on, in place of model.'
        )
    if spec.pair is not None and facts.d_in is not None and not facts.of_pair:
        return (
            f"it reads one model, and {spec.pair} is a pair. Allowed: the model whose activations "
            'it was trained on. Write model = "…" in place of pair.'
        )
    if any((one.side is None) == (one.site is None) for one in facts.inputs):
        return (
            "what it joins is neither both sides of a pair at one site nor several sites of one "
            "model. Allowed: inputs with a side each, or with a site each. Report it to the author "
            "of its format."
        )
    if facts.inputs and facts.needs_sequence:
        return (
            "it joins several activations and needs whole sequences, which cannot be had together. "
            "Use an SAE whose latents do not depend on other tokens."
        )
    return None


def unfit_metric(
    owner: object, options: MetricOptions, sae: str, facts: SaeFacts, of_pair: bool, paired: bool
) -> str | None:
    """Why a metric cannot measure an SAE that joins several activations; None where it can.

    `paired` is whether it measures a pair rather than one view.
    """
    if not options.on_sae:
        return None
    if of_pair and not paired:
        return (
            f"the SAE {sae} reads both sides of a pair at once, and one view has no other side. "
            "Give the metric a pair."
        )
    if options.paired and of_pair:
        return (
            f"{owner} compares what an SAE makes of both sides, and {sae} makes one thing of both "
            "together. Allowed: metrics of one side, such as fvu and l0, or SAEs of one model. "
            "Write saes = […] without it."
        )
    if options.paired and facts.inputs and not options.latents_alone:
        return (
            f"{owner} measures at one site, and the SAE {sae} joins {len(facts.inputs)}. Allowed: "
            "fvu, and metrics of latents alone. Write saes = […] without it."
        )
    return None


def unrebuilt(owner: object, options: MetricOptions, sae: str, facts: SaeFacts) -> str | None:
    """Why a metric of reconstructions cannot measure an SAE; None where it can.

    The latents of one layer of a cross-layer transcoder are a part of what is written, not all.
    """
    if not (facts.partial and options.rebuilds()):
        return None
    return (
        f"{owner} compares activations with what an SAE rebuilds of them, and the latents of {sae} "
        "are only a part of what is written there: it is one layer of a cross-layer transcoder. "
        "Allowed: metrics of latents, such as l0. Write saes = […] without it."
    )


def unfit_reduction(
    owner: object, able: bool, sae: str, facts: SaeFacts, of_pair: bool
) -> str | None:
    """Why a statistic or a direction finder cannot use an SAE that joins several activations."""
    if able or not (of_pair or facts.inputs):
        return None
    what = "both sides of a pair" if of_pair else f"{len(facts.inputs)} sites"
    return (
        f"{owner} uses SAEs of one site of one model, and {sae} reads {what} at once. Allowed: "
        "an SAE that was trained on one model at one site."
    )
