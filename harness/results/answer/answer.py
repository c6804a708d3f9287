"""The answer of a run: the sentences of all templates, those of most weight first."""

from __future__ import annotations

from dataclasses import replace

from harness.contract import Results
from harness.results.answer.carried import carried
from harness.results.answer.degenerate import degenerate
from harness.results.answer.depth import depth
from harness.results.answer.effects import effects
from harness.results.answer.fine_tunes import baselines_over_tunes, forecasts_over_tunes
from harness.results.answer.flips import flips, injected_flips
from harness.results.answer.forecast import accuracy_changes, forecasts, shift_overlaps
from harness.results.answer.league import league
from harness.results.answer.moved import features_kept, moved_tokens
from harness.results.answer.rankings import rankings
from harness.results.answer.sae_fit import sae_fit
from harness.results.answer.sentence import Sentence, Template
from harness.results.answer.sides import sides
from harness.results.answer.words import concluded, gaps, validity

TEMPLATES: tuple[Template, ...] = (
    validity,
    league,
    concluded,
    effects,
    rankings,
    sides,
    carried,
    degenerate,
    flips,
    injected_flips,
    forecasts_over_tunes,
    baselines_over_tunes,
    forecasts,
    accuracy_changes,
    shift_overlaps,
    depth,
    moved_tokens,
    features_kept,
    sae_fit,
    gaps,
)
"""Sentences of the same weight keep this order."""


_AGAIN = 0.04
"""What each further sentence of one template weighs less, so that no template fills the answer."""


def answer(results: Results) -> tuple[Sentence, ...]:
    """What the run answers, most telling sentence first; empty where nothing can be said."""
    found = [sentence for template in TEMPLATES for sentence in _of(template, results)]
    return tuple(sorted(found, key=lambda sentence: -sentence.weight))


def _of(template: Template, results: Results) -> list[Sentence]:
    ordered = sorted(template(results), key=lambda sentence: -sentence.weight)
    return [
        replace(one, weight=max(0.0, one.weight - _AGAIN * place))
        for place, one in enumerate(ordered)
    ]
