"""The answer to "what differs between these two models?", put together from its sentences."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import Results
from harness.results.answer.features import features
from harness.results.answer.how_deep import how_deep
from harness.results.answer.how_far import how_far
from harness.results.answer.main_direction import main_direction
from harness.results.answer.poor_fit import poor_fit
from harness.results.answer.sentence import Sentence, Template

TEMPLATES: Sequence[Template] = (how_far, how_deep, main_direction, features, poor_fit)
"""In the order in which their sentences are read."""


def two_models(results: Results) -> list[Sentence]:
    """How far two models are apart, at which depth, along what, and in which features."""
    return [sentence for template in TEMPLATES for sentence in template(results)]
