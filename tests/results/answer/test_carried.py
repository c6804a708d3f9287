"""The sentence about an attribution: how the change splits, and what few latents carry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from harness.contract import Record, Results
from harness.results.answer.carried import carried

Make = Callable[..., Record]
OPTIONS = {"scalar": "log_odds", "words": ["I"], "order": "integrated"}


def measured(record: Make, tops: dict[int, float | None], **options: Any) -> list[Record]:
    here = {"pair": "p", "site": "resid_post.4", "sae": "s"}
    parts = {"change": 16.0, "up": 12.0, "down": 4.0, "gap": 0.01}
    made = [record(f"latent_attribution.{part}", v, **here) for part, v in parts.items()]
    null = {"kind": "dealt out anew", "value": 0.1}
    for k, value in tops.items():
        made.append(
            replace(record("latent_attribution.top", value, k=k, **here), null=value and null)
        )
    return [replace(one, options={**OPTIONS, **options}) for one in made]


def said(found: Any) -> list[str]:
    return [sentence.text for sentence in found]


def test_the_fewest_that_carry_half_are_named(
    record: Make, results: Callable[..., Results]
) -> None:
    found = carried(results(*measured(record, {1: 0.2, 4: 0.55, 16: 0.8})))
    assert said(found) == [
        'Over `p`, the log-odds of "I" changes by 16 nats: 12 by the activations at resid_post.4, '
        "4 by the layers above; the first 4 latents carry 0.55 of the activations' part (0.10 with "
        "directions dealt out anew)."
    ]
    (few,) = said(carried(results(*measured(record, {1: 0.2, 4: 0.3}))))
    assert "the first 4 latents carry 0.30" in few
    (one,) = said(carried(results(*measured(record, {1: 0.7}))))
    assert "the first latent carries 0.70" in one


def test_where_nothing_is_ranked_it_says_why(record: Make, results: Callable[..., Results]) -> None:
    (text,) = said(carried(results(*measured(record, {1: None, 4: None}))))
    assert text.endswith("; no latent is ranked: every weight is 0.")


def test_what_differs_in_how_it_was_made_has_a_sentence_of_its_own(
    record: Make, results: Callable[..., Results]
) -> None:
    more = measured(record, {4: 0.5}, scalar="logit_difference", other="Sure")
    found = said(carried(results(*measured(record, {4: 0.6}), *more)))
    assert len(found) == 2
    assert 'the logit of "I" minus that of "Sure"' in found[1]


def test_nothing_measured_says_nothing(record: Make, results: Callable[..., Results]) -> None:
    assert not said(carried(results()))
    undefined = [replace(one, value=None, undefined="no prompt") for one in measured(record, {})]
    assert not said(carried(results(*undefined)))
