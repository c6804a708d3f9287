"""The section on whose features a crosscoder's are, and on what swapping them does."""

from __future__ import annotations

from harness.contract import Grid, Results, SectionOptions
from harness_sections import samples
from harness_sections.crosscoder_run import crosscoder_run
from harness_sections.sides import FeatureSides


def grids() -> dict[str, Grid]:
    panel = FeatureSides(SectionOptions()).panel(crosscoder_run())
    assert panel is not None
    assert panel.title == "Whose features"
    return {block.title: block for block in panel.blocks if isinstance(block, Grid)}


def test_the_laws_hold(tmp_path) -> None:
    for sample in samples.feature_sides(tmp_path):
        sample()


def test_places_and_artefacts_stand_with_their_counts_and_the_names_of_views() -> None:
    rows = grids()["Whose features they are"].rows
    assert [row[2:] for row in rows] == [
        ["base alone", "0.10", "5 of 50"],
        ["both alike", "0.60", "30 of 50"],
        ["chat alone", "0.20", "10 of 50"],
        ["in between", "0.10", "5 of 50"],
        ["of chat alone: free of artefacts", "0.30 [0.20, 0.40]", "3 of 10"],
        ["of chat alone: complete shrinkage", "0.70 [0.60, 0.80]", "7 of 10"],
    ]
    ((*_, other, error, _, _, _, _),) = grids()["How much of a feature the other side has"].rows
    assert (other, error) == ("base", "0.25")
    ((sae, feature, what, *_),) = grids()["Features that are one model's own"].rows
    assert (sae, feature, what) == ("both", 62, "free of artefacts")


def test_swaps_stand_beside_the_largest_kl_and_draws_are_one_row() -> None:
    rows = grids()["What edits of a view do to its predictions"].rows
    assert [row[:1] + row[3:] for row in rows] == [
        ["latent_swap with base (latents = none)", "2", "1.00", "90 tokens"],
        ["latent_swap with base: own, k = 1", "1.00", "0.50", "90 tokens"],
        ["latent_swap with base: any", "1.85 (1.80 to 1.90)", "0.93", "90 tokens"],
    ]


def test_without_any_of_it_there_is_no_panel() -> None:
    assert FeatureSides(SectionOptions()).panel(Results("complete", {}, {}, ())) is None
