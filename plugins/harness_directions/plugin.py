"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl


def _direction(
    name: str, summary: str, load: str, options: str, module: str = "options"
) -> Component:
    return Component(
        kind="direction",
        name=name,
        summary=summary,
        load=f"harness_directions.{load}",
        options=f"harness_directions.{module}:{options}",
    )


@hookimpl
def harness_components() -> Iterable[Component]:
    """The direction finders."""
    return (
        _direction(
            "difference_in_means",
            "mean activation on one set of prompts minus the mean on another, at full length",
            "difference_in_means:DifferenceInMeans",
            "DifferenceInMeans",
        ),
        _direction(
            "sae_features",
            "a direction rebuilt from the k SAE features that tell two sets of prompts apart best",
            "sae_features:SaeFeatures",
            "SaeFeatures",
        ),
        _direction(
            "random",
            "control: Gaussian directions as long as another one",
            "random_vectors:RandomVectors",
            "RandomVectors",
        ),
        _direction(
            "random_features",
            "control: a direction rebuilt from k random features among those active on the prompts",
            "random_features:RandomFeatures",
            "RandomFeatures",
        ),
        _direction(
            "feature",
            "the decoder row of one SAE feature",
            "feature:Feature",
            "Feature",
        ),
        _direction(
            "principal_components",
            "the principal components of what changed between two views of the same tokens",
            "principal_components:PrincipalComponents",
            "PrincipalComponents",
            module="principal_components_options",
        ),
        Component(
            kind="direction",
            name="shifted_features",
            summary="the SAE features that change most between the sides of a pair",
            load="harness_directions.shifted_features:ShiftedFeatures",
            options="harness_directions.shifted_options:ShiftedFeatures",
        ),
        Component(
            kind="direction",
            name="matched_features",
            summary="control: features that are active as often as the most shifted ones",
            load="harness_directions.shifted_features:MatchedFeatures",
            options="harness_directions.shifted_options:MatchedFeatures",
        ),
    )
