"""A plugin without a network, weights or chance, for the tests of the core.

Activations, directions and completions are integers, so that sums are exact in any order. `LAB` is
what the tests see of its inside.
"""

from __future__ import annotations

from collections.abc import Iterable

from fakes.directions import Probe as Probe
from fakes.lab import LAB as LAB, Lab as Lab
from fakes.models import (
    BOS as BOS,
    EOS as EOS,
    LAYERS as LAYERS,
    PAD as PAD,
    WIDTH as WIDTH,
    FakeModel as FakeModel,
)
from harness.contract import Component, Kind, hookimpl

COMPONENTS: dict[tuple[Kind, str], tuple[str, str]] = {
    ("backend", "fake"): ("models:FakeModel", "models:ModelOptions"),
    ("sae_format", "fake"): ("models:FakeSae", "models:SaeSettings"),
    ("sae_format", "scaled"): ("models:ScaledSae", "models:ScaledSettings"),
    ("metric", "mean"): ("metrics:Mean", "metrics:BareOneSided"),
    ("metric", "gap"): ("metrics:Gap", "metrics:BarePaired"),
    ("metric", "loss"): ("metrics:Loss", "metrics:SaeOneSided"),
    ("metric", "active"): ("metrics:Active", "metrics:SaeOneSided"),
    ("metric", "match"): ("metrics:Match", "metrics:SaePaired"),
    ("metric", "demanding"): ("metrics:Active", "metrics:Demanding"),
    ("metric", "surprise"): ("metrics:Surprise", "metrics:LogitsOneSided"),
    ("metric", "turn"): ("metrics:Turn", "metrics:LogitsPaired"),
    ("statistic", "tally"): ("statistics:Tally", "statistics:TallyOptions"),
    ("direction", "probe"): ("directions:Probe", "directions:ProbeOptions"),
    ("intervention", "shift"): ("judged:Shift", "judged:ShiftOptions"),
    ("intervention", "listen"): ("judged:Listen", "judged:ListenOptions"),
    ("evaluator", "polite"): ("judged:Polite", "judged:PoliteOptions"),
    ("evaluator", "panel"): ("judged:Panel", "judged:PanelOptions"),
    ("evaluator", "quiz"): ("judged:Quiz", "judged:QuizOptions"),
    ("labels", "glossary"): ("findings:Glossary", "findings:GlossaryOptions"),
    ("analysis", "peek"): ("findings:Peek", "findings:PeekOptions"),
    ("observer", "witness"): ("observers:Witness", "observers:WitnessOptions"),
    ("observer", "clumsy"): ("observers:Clumsy", "observers:WitnessOptions"),
    ("observer", "broken"): ("observers:Broken", "observers:WitnessOptions"),
    ("observer", "stuck"): ("observers:Stuck", "observers:WitnessOptions"),
    ("observer", "slow"): ("observers:Slow", "observers:WitnessOptions"),
    ("observer", "meddler"): ("observers:Meddler", "observers:WitnessOptions"),
    ("executor", "desk"): ("executors:Desk", "executors:DeskOptions"),
    ("observer", "absent"): ("no_such_module:Absent", "observers:WitnessOptions"),
}


@hookimpl
def harness_components() -> Iterable[Component]:
    """One of every kind, and metrics of every shape."""
    return [
        Component(kind, name, f"a fake {name}", f"fakes.{load}", f"fakes.{options}")
        for (kind, name), (load, options) in COMPONENTS.items()
    ]


TINY = """\
name = "tiny"
title = "Does it work?"
[models.base]
backend = "fake"
[models.chat]
backend = "fake"
scale = 3
[views.base]
model = "base"
[views.chat]
model = "chat"
[saes.mid]
format = "fake"
model = "base"
site = "resid_post.2"
[data.web]
file = "web.jsonl"
"""
"""Two models, an SAE and data, and nothing yet to do with them."""

WEB = ["some text", "a", "other text of some length", "^text|with_specials^", "more", "yet more"]

EXPERIMENT = """
[directions.a]
method = "probe"
view = "chat"
data = "web"
[experiments.e]
view = "chat"
data = "web"
directions = ["a"]
evaluators = ["polite"]
intervention = { method = "shift" }
"""
"""A direction, and an experiment that adds it and judges the completions."""
