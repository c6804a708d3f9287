"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

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
    "sided_features": (
        "the features that a crosscoder writes to one model of a pair alone",
        "sided_features:SidedFeatures",
    ),
    "shared_features": (
        "control: features that a crosscoder writes to both models, and that write as much",
        "sided_features:SharedFeatures",
    ),
}
"""By name: a summary, and the class; its options are called as it is, with `Options` behind."""


_SELECTION = {
    "closing_means": (
        "the difference in means at every token that closes a prompt and every site, in one pass",
        "closing_means:ClosingMeans",
    ),
    "selected_direction": (
        "of many directions, the one without which a model refuses least and else stays as it is",
        "selected_direction:SelectedDirection",
    ),
}
"""Likewise, in the folder `selection`."""


@hookimpl
def harness_components() -> Iterable[Component]:
    """The direction finders."""
    return (*_of("", _FINDERS), *_of(".selection", _SELECTION))


def _of(folder: str, finders: Mapping[str, tuple[str, str]]) -> Iterator[Component]:
    return (
        Component(
            kind="direction",
            name=name,
            summary=summary,
            load=f"harness_directions{folder}.{load}",
            options=f"harness_directions{folder}.options:{load.partition(':')[2]}Options",
            samples=f"harness_directions{folder}.samples:{name}",
        )
        for name, (summary, load) in finders.items()
    )
