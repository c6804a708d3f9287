"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_STATISTICS = {
    "feature_shift": (
        "features that appeared, disappeared or changed between two models",
        "feature_shift:FeatureShift",
    ),
    "contexts": (
        "where in the text each feature of an SAE is most active",
        "contexts:Contexts",
    ),
    "flip_rate": (
        "latents that a fine-tune, or a few directions of its change, turns on and off",
        "flip_rate.flip_rate:FlipRate",
    ),
    "pc_feature_cosine": (
        "how principal components of a change are aligned with an SAE's features",
        "pc_feature_cosine:PcFeatureCosine",
    ),
    "decoder_norms": (
        "how a crosscoder's latents are shared out between both models: norms and cosines of rows",
        "decoder_norms:DecoderNorms",
    ),
    "latent_scaling": (
        "which one-sided latents of a crosscoder are artefacts: what the other side has of them",
        "latent_scaling.latent_scaling:LatentScaling",
    ),
    "few_rows": (
        "what few decoder rows could say of a change, against random rows and components",
        "change.few_rows:FewRows",
    ),
    "change_rest": (
        "the components of what an SAE leaves of a change: one direction, or many",
        "change.change_rest:ChangeRest",
    ),
    "change_latents": (
        "which latents carry a change: how many, woken ones, and by crossing a threshold",
        "change.change_latents:ChangeLatents",
    ),
    "mean_difference": (
        "how a fine-tune moves the first tokens of any text: the mean change, and its null",
        "mean_difference.mean_difference:MeanDifference",
    ),
    "latent_attribution": (
        "which latents carry a change of behaviour: gradients from one model to the other",
        "attribution.latent_attribution:LatentAttribution",
    ),
    "shift_along": (
        "how far a fine-tune moves text along a direction, such as a persona vector",
        "shift_along:ShiftAlong",
    ),
    "kept_vectors": (
        "keeps the vectors of a direction, or an SAE's decoder rows, for analyses to read",
        "kept_vectors.kept_vectors:KeptVectors",
    ),
    "direction_cosines": (
        "how far directions point the same way, each with each",
        "direction_cosines:DirectionCosines",
    ),
    "latent_moments": (
        "sums, squares and squared changes of every latent: what sts is made from",
        "moments:LatentMoments",
    ),
    "token_counts": (
        "which tokens some data are made of, and how often each is there",
        "token_counts:TokenCounts",
    ),
}
"""By name: a summary, and the class; its options are called as it is, with `Options` behind, and
are in the module `options` beside it."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The statistics."""
    return tuple(_component(name, *given) for name, given in _STATISTICS.items())


def _component(name: str, summary: str, load: str) -> Component:
    where = f"{__package__}.{load}"
    folder, made = where.rpartition(".")[0], load.partition(":")[2]
    # A group of statistics in a folder has its samples there.
    module = f"{__package__}.change" if load.startswith("change.") else __package__
    samples = f"{module}.samples:{name}"
    options = f"{folder}.options:{made}Options"
    return Component("statistic", name, summary, where, options, samples=samples)
