"""What the laws are tried on: each section on a run that has what it shows, and on an empty one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from harness.contract import Record, Results, Section, SectionOptions
from harness.testing import check_section
from harness_sections.analyses import Analyses
from harness_sections.attribution import Attribution
from harness_sections.claims import Claims
from harness_sections.completions import Samples
from harness_sections.conclusions import Conclusions
from harness_sections.crosscoder_run import crosscoder_run
from harness_sections.difference_lens import DifferenceLens
from harness_sections.directions import Directions
from harness_sections.discoveries import Discoveries
from harness_sections.example_run import example_run
from harness_sections.features import Features
from harness_sections.fine_tunes.fine_tunes import FineTunes
from harness_sections.forecast.section import Forecast
from harness_sections.gates import Gates
from harness_sections.interventions import Interventions
from harness_sections.layers.layer_profiles import LayerProfiles
from harness_sections.layers.pair_tables import PairTables
from harness_sections.layers.sae_figures import SaeFigures
from harness_sections.league import League
from harness_sections.measurements import Measurements
from harness_sections.newness import Newness
from harness_sections.origin import Origin
from harness_sections.quality import Quality
from harness_sections.receipts import Receipts
from harness_sections.records import Records
from harness_sections.selection import Selection
from harness_sections.sides import FeatureSides
from harness_sections.together.section import Together

Cases = Iterator[partial[None]]


def _cases(section: Section) -> Cases:
    yield partial(check_section, section, example_run())
    yield partial(check_section, section, Results("complete", {}, {}, ()))


def family_outcomes(folder: Path) -> Cases:
    """A family with a discovery, and one of which nothing was measured."""
    return _cases(Discoveries(SectionOptions()))


def claim_outcomes(folder: Path) -> Cases:
    """A claim that holds, and one that was written afterwards and does not."""
    return _cases(Claims(SectionOptions()))


def what_goes_together(folder: Path) -> Cases:
    """A number that falls with sparsity, at three SAEs."""
    return _cases(Together(SectionOptions()))


def plain_answers(folder: Path) -> Cases:
    """One verdict of an analysis."""
    return _cases(Conclusions(SectionOptions()))


def new_or_repurposed(folder: Path) -> Cases:
    """A written direction, with few rows and components."""
    return _cases(Newness(SectionOptions()))


def feature_sides(folder: Path) -> Cases:
    """A crosscoder's shares, the artefacts among them, and two edited views."""
    yield partial(check_section, FeatureSides(SectionOptions()), crosscoder_run())
    yield from _cases(FeatureSides(SectionOptions()))


def what_carries_the_change(folder: Path) -> Cases:
    """A split, its latents, and two doses of an edit, in a run of other things."""
    section, place = Attribution(SectionOptions()), {"pair": "p", "sae": "s", "statistic": "a"}
    nats = {"n": 9, "n_of": "prompts", "unit": "nats", "ci_why": "few", "axes": place}
    null = {"kind": "directions dealt out anew", "value": 0.1, "largest": 0.2}
    records = [
        Record(f"latent_attribution.{part}@1", 2.0, **nats)
        for part in ("change", "up", "down", "latents", "error", "rest", "gap")
    ]
    for k, share in ((1, 0.3), (4, 0.7)):
        at = {**nats, "unit": "ratio", "axes": {**place, "k": k}}
        records.append(Record("latent_attribution.top@1", share, null=null, **at))
        for draw, score in enumerate((1.0, 0.5)):
            arm = {"experiment": "e", "direction": "carriers", "k": k, "draw": draw}
            at = {**nats, "unit": "share", "axes": arm}
            records.append(Record("refusal_score@1", score / k, **at))
        at = {**nats, "unit": "nats/token", "axes": {"pair": f"kl_{k}"}}
        records.append(Record("kl.next_token@1", 0.1 * k, **at))
    rows = [
        {**place, "rank": rank, "feature": 7 * rank, "attribution": 1 / rank, "left": 1.0,
         "right": 0.5, "low": None if rank > 1 else 0.5, "high": None if rank > 1 else 1.5,
         "positive": 1.0, "moved": 3.0, "rank_by_change": 3 - rank}
        for rank in (1, 2)
    ]  # fmt: skip
    run = example_run()
    edits = {f"without_{k}": {"edit": {"direction": "carriers", "at": {"k": k}}} for k in (1, 4)}
    task = {
        **run.task,
        "directions": {"carriers": {"method": "attributed_features"}},
        "views": edits,
        "pairs": {f"kl_{k}": {"left": "chat", "right": f"without_{k}"} for k in (1, 4)},
    }
    tables = {**run.tables, "a.features": rows}
    more = replace(run, records=(*run.records, *records), tables=tables, task=task)
    yield partial(check_section, section, more)
    yield from _cases(section)


def league(folder: Path) -> Cases:
    """A method, a control and the baseline on two models, one of them the null."""
    section, run = League(SectionOptions()), example_run()
    more = replace(run, records=(*run.records, *_over_models()), tables=_ranks())
    yield partial(check_section, section, more)
    yield from _cases(section)


def _ranks() -> dict[str, list[dict[str, object]]]:
    """The table of a league."""
    rows = [
        {"method": method, "sort": "tokens", "role": role, "pair": pair, "kind": kind, "seed": 0,
         "planted": how, "rank": rank if how == "training" else None, "candidates": 2048,
         "chance": 512.0, "p": 0.001, "permuted_p": 0.25, "score": 2.0, "words": "wine",
         "of_others": None if how == "training" else 0.4, "text": "a word", "why": None}
        for method, role, rank in (("lens", "method", 1), ("mean", "control", 90),
                                   ("completions", "baseline", 12))
        for pair, kind, how in (("fact", "false_fact", "training"), ("null", "benign", "nothing"))
    ]  # fmt: skip
    return {"cup.league": rows}


def _over_models() -> tuple[Record, ...]:
    null = {"kind": "label-permuted truth", "value": 0.1}
    axes = {"analysis": "cup", "method": "lens", "kind": "all"}
    hits = Record("found.hits@1", 1.0, 3, "organisms", "share", ci=(0.4, 1.0), null=null,
                  axes={**axes, "k": 1})  # fmt: skip
    mean = Record("found.mrr@1", 1.0, 3, "organisms", "reciprocal rank", ci_why="few", axes=axes)
    return hits, mean


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
