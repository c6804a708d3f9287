"""What this plugin provides. Light: nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from harness.contract import Component, hookimpl

_SECTIONS = {
    "claim_outcomes": ("claims:Claims", "what the task expected, and how that came out"),
    "family_outcomes": (
        "discoveries:Discoveries",
        "what the task asked many numbers at once, and which of them are discoveries",
    ),
    "plain_answers": ("conclusions:Conclusions", "what the analyses conclude, in words"),
    "new_or_repurposed": (
        "newness:Newness",
        "whether a fine-tune wrote something new: the conclusion, and the numbers behind it",
    ),
    "feature_sides": (
        "sides:FeatureSides",
        "whose features a crosscoder's are, artefacts among them, and what swapping them does",
    ),
    "what_carries_the_change": (
        "attribution:Attribution",
        "which latents carry a change of behaviour, and what happens when it is taken back",
    ),
    "league": (
        "league:League",
        "at which rank each method finds what was planted, beside chance and a baseline",
    ),
    "gate_outcomes": ("gates:Gates", "which conditions of the task hold"),
    "fine_tunes": (
        "fine_tunes.fine_tunes:FineTunes",
        "flips and components of the change, by fine-tune, layer, width and checkpoint",
    ),
    "forecast": (
        "forecast.section:Forecast",
        "STS against measured changes of accuracy, and the mixture that it advises",
    ),
    "score_figures": ("interventions:Interventions", "scores against a sweep, with intervals"),
    "refusal_harm_quality": (
        "quality:Quality",
        "refusal, harm and quality of compliance side by side, with length and repetition",
    ),
    "layer_profiles": (
        "layers.layer_profiles:LayerProfiles",
        "dense cosine beside sparse overlap, IR and ER, against depth, and how cosines are spread",
    ),
    "sae_fit_by_layer": (
        "layers.sae_figures:SaeFigures",
        "FVU on other text and in the other model, and ER and IR, against depth",
    ),
    "direction_selection": (
        "selection:Selection",
        "candidates of a selection by position and layer, and which was chosen",
    ),
    "rebuilt_directions": ("directions:Directions", "how well directions were rebuilt, as a table"),
    "side_by_side": ("completions:Samples", "completions of the same prompts under each arm"),
    "pairs_by_site": ("layers.pair_tables:PairTables", "every number of every pair, by site"),
    "base_measurements": ("measurements:Measurements", "preflight, pairs and single views"),
    "first_tokens": (
        "difference_lens:DifferenceLens",
        "what fine-tuning left in the first tokens of unrelated text, as tokens, with nulls",
    ),
    "changed_features": ("features:Features", "features that changed, their meaning and clusters"),
    "what_goes_together": (
        "together.section:Together",
        "two numbers over the SAEs, layers or checkpoints of a run, or over runs in an order",
    ),
    "findings": ("analyses:Analyses", "numbers and tables of the task's analyses"),
    "edit_receipts": ("receipts:Receipts", "what the edits did to the activations"),
    "what_ran": ("origin:Origin", "models, versions, command and the task itself"),
    "every_record": ("records:Records", "every number of the results"),
}


@hookimpl
def harness_components() -> Iterable[Component]:
    """The sections."""
    return tuple(
        Component(
            kind="section",
            name=name,
            summary=summary,
            load=f"harness_sections.{load}",
            options="harness.contract:SectionOptions",
            samples=f"harness_sections.samples:{name}",
        )
        for name, (load, summary) in _SECTIONS.items()
    )
