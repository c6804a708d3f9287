"""What the laws are tried on: each section on a run that has what it shows, and on an empty one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.contract import Record, Results, Section, SectionOptions
from harness.testing import check_section
from harness_sections.analyses import Analyses
from harness_sections.claims import Claims
from harness_sections.completions import Samples
from harness_sections.conclusions import Conclusions
from harness_sections.difference_lens import DifferenceLens
from harness_sections.directions import Directions
from harness_sections.example_run import example_run
from harness_sections.features import Features
from harness_sections.fine_tunes.fine_tunes import FineTunes
from harness_sections.forecast.section import Forecast
from harness_sections.gates import Gates
from harness_sections.interventions import Interventions
from harness_sections.layers.layer_profiles import LayerProfiles
from harness_sections.layers.pair_tables import PairTables
from harness_sections.layers.sae_figures import SaeFigures
from harness_sections.measurements import Measurements
from harness_sections.newness import Newness
from harness_sections.origin import Origin
from harness_sections.quality import Quality
from harness_sections.receipts import Receipts
from harness_sections.records import Records
from harness_sections.selection import Selection

Cases = Iterator[partial[None]]


def _cases(section: Section) -> Cases:
    yield partial(check_section, section, example_run())
    yield partial(check_section, section, Results("complete", {}, {}, ()))


def claim_outcomes(folder: Path) -> Cases:
    """A claim that holds, and one that was written afterwards and does not."""
    return _cases(Claims(SectionOptions()))


def plain_answers(folder: Path) -> Cases:
    """One verdict of an analysis."""
    return _cases(Conclusions(SectionOptions()))


def new_or_repurposed(folder: Path) -> Cases:
    """A written direction, with few rows and components."""
    return _cases(Newness(SectionOptions()))


def direction_selection(folder: Path) -> Cases:
    """Candidates of which one was chosen, some discarded and one does not exist."""
    return _cases(Selection(SectionOptions()))


def gate_outcomes(folder: Path) -> Cases:
    """A gate that holds, and one that does not."""
    return _cases(Gates(SectionOptions()))


def fine_tunes(folder: Path) -> Cases:
    """Two fine-tunes at two layers."""
    return _cases(FineTunes(SectionOptions()))


def forecast(folder: Path) -> Cases:
    """Three domains."""
    return _cases(Forecast(SectionOptions()))


def score_figures(folder: Path) -> Cases:
    """A sweep of two directions, with controls."""
    return _cases(Interventions(SectionOptions()))


def refusal_harm_quality(folder: Path) -> Cases:
    """Scores of every group, and of what was written."""
    return _cases(Quality(SectionOptions()))


def layer_profiles(folder: Path) -> Cases:
    """One pair at three layers."""
    return _cases(LayerProfiles(SectionOptions()))


def sae_fit_by_layer(folder: Path) -> Cases:
    """Three settings at three layers."""
    return _cases(SaeFigures(SectionOptions()))


def rebuilt_directions(folder: Path) -> Cases:
    """Two directions rebuilt from one to 64 features."""
    return _cases(Directions(SectionOptions()))


def side_by_side(folder: Path) -> Cases:
    """Four prompts under eleven arms."""
    return _cases(Samples(SectionOptions()))


def pairs_by_site(folder: Path) -> Cases:
    """One pair at three layers."""
    return _cases(PairTables(SectionOptions()))


def base_measurements(folder: Path) -> Cases:
    """Of the preflight, of pairs and of views."""
    return _cases(Measurements(SectionOptions()))


def changed_features(folder: Path) -> Cases:
    """Eight features, four of them with labels."""
    return _cases(Features(SectionOptions()))


def first_tokens(folder: Path) -> Cases:
    """Two positions of a logit lens, in a run of other things."""
    section, place = DifferenceLens(SectionOptions()), {"pair": "p", "site": "resid_post.4"}
    rows = [
        {**place, "position": at, "source": source, "place": 1 + n, "token": f" word{n}", "id": n,
         "probability": 0.5, "scale": None, "word": "word0" if n == 0 else None}
        for at in (1, 2) for source in ("difference", "left") for n in range(3)
    ]  # fmt: skip
    axes = {**place, "source": "difference", "analysis": "lens"}
    null = {"kind": "random words", "value": 300.0, "p": 0.01}
    best = Record("logit_lens.best_rank@1", 1.0, 9, "tokens", "rank", null=null, axes=axes)
    run = example_run()
    more = replace(run, records=(*run.records, best), tables={**run.tables, "lens.tokens": rows})
    yield partial(check_section, section, more)
    yield from _cases(section)


def findings(folder: Path) -> Cases:
    """Of six analyses."""
    return _cases(Analyses(SectionOptions()))


def edit_receipts(folder: Path) -> Cases:
    """Of every arm."""
    return _cases(Receipts(SectionOptions()))


def what_ran(folder: Path) -> Cases:
    """Models, packages and plugins."""
    return _cases(Origin(SectionOptions()))


def every_record(folder: Path) -> Cases:
    """All of them."""
    return _cases(Records(SectionOptions()))
