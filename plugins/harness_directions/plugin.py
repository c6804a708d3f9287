"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_FINDERS = {
    "difference_in_means": (
        "mean activation on one set of prompts minus the mean on another, at full length",
        "difference_in_means:DifferenceInMeans",
    ),
    "sae_features": (
        "a direction rebuilt from the k SAE features that tell two sets of prompts apart best",
        "sae_features:SaeFeatures",
    ),
    "linear_probe": (
        "the weights of a logistic regression that tells two sets of text apart",
        "concepts.linear_probe:LinearProbe",
    ),
    "leace": (
        "the least change after which no linear reader tells two sets of text apart",
        "concepts.leace:Leace",
    ),
    "persona_vector": (
        "what answers that show a trait have on average, less those that do not",
        "concepts.persona_vector:PersonaVector",
    ),
    "decoder_difference": (
        "what two sets of text differ in, as an SAE says it: the difference of its reconstructions",
        "concepts.decoder_difference:DecoderDifference",
    ),
    "contrast_pca": (
        "the principal components of differences between two sets of text (RepE)",
        "concepts.contrast_pca:ContrastPca",
    ),
    "class_pca": (
        "the principal components of one set of text: along what it varies",
        "concepts.class_pca:ClassPca",
    ),
    "random": (
        "control: Gaussian directions as long as another one",
        "random_vectors:RandomVectors",
    ),
    "random_features": (
        "control: a direction rebuilt from k random features among those active on the prompts",
        "random_features:RandomFeatures",
    ),
    "feature": ("the decoder row of one SAE feature", "feature:Feature"),
    "principal_components": (
        "the principal components of what changed between two views of the same tokens",
        "principal_components:PrincipalComponents",
    ),
    "shifted_features": (
        "the SAE features that change most between the sides of a pair",
        "shifted_features:ShiftedFeatures",
    ),
    "matched_features": (
        "control: features that are active as often as the most shifted ones",
        "shifted_features:MatchedFeatures",
    ),
    "attributed_features": (
        "the features that carry a change of behaviour between two models, by gradients",
        "attributed_features:AttributedFeatures",
    ),
    "attributed_controls": (
        "control: features that are active as often as those of attributed_features",
        "attributed_features:AttributedControls",
    ),
    "sided_features": (
        "the features that a crosscoder writes to one model of a pair alone",
        "sided_features:SidedFeatures",
    ),
    "shared_features": (
        "control: features that a crosscoder writes to both models, and that write as much",
        "sided_features:SharedFeatures",
    ),
    "genuine_features": (
        "the features of one model alone that are no artefacts of a crosscoder's training",
        "genuine_features:GenuineFeatures",
    ),
    "other_features": (
        "control: as many other features of a crosscoder that are active, drawn at random",
        "genuine_features:OtherFeatures",
    ),
    "closing_means": (
        "the difference in means at every token that closes a prompt and every site, in one pass",
        "selection.closing_means:ClosingMeans",
    ),
    "selected_direction": (
        "of many directions, the one without which a model refuses least and else stays as it is",
        "selection.selected_direction:SelectedDirection",
    ),
}
"""By name: a summary, and the class; its options are called as it is, with `Options` behind, and
are in the module `options` beside it."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The direction finders."""
    return tuple(_component(name, *given) for name, given in _FINDERS.items())


def _component(name: str, summary: str, load: str) -> Component:
    module, _, made = f"{__package__}.{load}".partition(":")
    # A group of finders in a folder has its options and samples there.
    folder = module.rpartition(".")[0]
    return Component(
        kind="direction",
        name=name,
        summary=summary,
        load=f"{module}:{made}",
        options=f"{folder}.options:{made}Options",
        samples=f"{folder}.samples:{name}",
    )
