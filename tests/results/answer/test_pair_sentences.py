"""Sentences about pairs of models: flip the records and the sentence flips."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.contract import Record, Results
from harness.results.answer.depth import depth
from harness.results.answer.flips import flips, injected_flips
from harness.results.answer.moved import features_kept, moved_tokens
from harness.results.answer.profile import _names
from harness.results.answer.sae_fit import sae_fit

Make = Callable[..., Record]
Of = Callable[..., Results]
FILTER = {"options": {"cosine_below": 0.9}}
TASK = {"name": "x", "pairs": {"p": {"left": "before", "right": "after"}}}


def said(found: Any) -> list[str]:
    return [sentence.text for sentence in found]


def one(found: Any) -> str:
    (text,) = said(found)
    return text


# ── Depth ────────────────────────────────────────────────────────────────────────────────────────


def test_depth_names_the_site_of_the_largest_change(measured: Make, results: Of) -> None:
    def cosines(first: float, second: float) -> Results:
        return results(
            measured("cosine.raw", first, 1, 1.0), measured("cosine.raw", second, 2, 1.0)
        )

    text = one(depth(cosines(0.9, 0.5)))
    assert text.startswith("`p`: the two models are furthest apart at resid_post.2 (cosine")
    assert "least at resid_post.1" in text
    assert "furthest apart at resid_post.1 (" in one(depth(cosines(0.5, 0.9)))


def test_depth_measures_from_what_identical_models_have(measured: Make, results: Of) -> None:
    """Where 0 is the same, the largest number is the largest change."""
    found = results(*(measured("difference.relative", v, s, 0.0) for v, s in ((0.2, 1), (0.6, 2))))
    assert "furthest apart at resid_post.2 (" in one(depth(found))


def test_depth_says_where_no_site_stands_out(measured: Make, results: Of) -> None:
    found = results(*(measured("cosine.raw", v, s, 1.0) for v, s in ((0.9, 1), (0.905, 2))))
    assert "no site stands out" in one(depth(found))


@pytest.mark.parametrize("value", [1.0, 0.995])
def test_depth_says_where_nothing_differs(measured: Make, results: Of, value: float) -> None:
    found = results(*(measured("cosine.raw", value, s, 1.0) for s in (1, 2)))
    assert "no difference between the two models seen at any of 2 sites" in one(depth(found))


def test_depth_without_intervals_is_not_judged(measured: Make, results: Of) -> None:
    found = results(
        *(measured("difference.relative", v, s, 0.0, ci=None) for v, s in ((0.2, 1), (0.6, 2)))
    )
    assert "there is no interval to judge by" in one(depth(found))


def test_depth_at_one_site_compares_nothing(measured: Make, results: Of) -> None:
    text = one(depth(results(measured("cosine.raw", 0.5, 1, 1.0))))
    assert text.endswith("0.50 [0.49, 0.51] at resid_post.1 (1.00 if nothing differed).")


def test_depth_is_silent_without_its_records(measured: Make, results: Of) -> None:
    assert said(depth(results())) == []
    assert said(depth(results(measured("cosine.raw", 0.5, 1, 1.0, domain="law")))) == []
    assert said(depth(results(measured("something.else", 0.5, 1, 1.0)))) == []


# ── Tokens that moved, and the features there ────────────────────────────────────────────────────


def test_moved_tokens_name_the_site_with_most(measured: Make, results: Of) -> None:
    def shares(first: float, second: float) -> Results:
        return results(
            *(measured("filtered_share", v, s, **FILTER) for v, s in ((first, 1), (second, 2)))
        )

    text = one(moved_tokens(shares(0.2, 0.6)))
    assert text == "`p`: 20% to 60% of the tokens moved (cosine_below=0.9), most at resid_post.2."
    assert "most at resid_post.1" in one(moved_tokens(shares(0.6, 0.2)))
    assert "no token is seen to have moved" in one(moved_tokens(shares(0.0, 0.005)))
    assert said(moved_tokens(results())) == []


def test_moved_tokens_are_read_from_cosines_where_nothing_was_filtered(
    measured: Make, results: Of
) -> None:
    below = {"options": {"below": 0.8}}
    text = one(moved_tokens(results(measured("cosine.share_below", 0.25, 1, 0.0, **below))))
    assert text == "`p`: 25% of the tokens moved (cosine_below=0.8), at resid_post.1."


@pytest.mark.parametrize("options", [{"cosine_below": None}, {"cosine_quantile": 0.1}, {}])
def test_another_filter_says_nothing_of_movement(
    measured: Make, results: Of, options: dict[str, float | None]
) -> None:
    """A tenth of the tokens, or all that are no sinks: their share is no share that moved."""
    share = measured("filtered_share", 0.1, 1, options=options)
    assert said(moved_tokens(results(share))) == []
    below = measured("cosine.share_below", 0.25, 1, 0.0, options={"below": 0.9})
    assert one(moved_tokens(results(share, below))).startswith("`p`: 25% of the tokens moved")


def kept(measured: Make, results: Of, shared: float, chance: float = 0.02) -> str:
    return one(
        features_kept(
            results(
                measured("intersection_ratio.per_token", shared, 1, 1.0, **FILTER),
                measured("intersection_ratio.chance", chance, 1, ci=None, **FILTER),
                measured("explained_ratio.ratio_of_means", 0.4, 1, **FILTER),
            )
        )
    )


def test_features_kept_beside_chance_and_identity(measured: Make, results: Of) -> None:
    text = kept(measured, results, 0.3)
    assert "of the features active in either model, 30% are active in both" in text
    assert "1.00 if nothing differed, 0.02 by chance" in text
    assert "what the SAE misses there is 0.40 times the change (ER)" in text
    assert "share no more active features than chance" in kept(measured, results, 0.3, 0.35)
    assert "no change of the active features seen" in kept(measured, results, 1.0)


def test_features_kept_need_their_record(measured: Make, results: Of) -> None:
    assert said(features_kept(results(measured("intersection_ratio.chance", 0.1, 1)))) == []


# ── SAEs ─────────────────────────────────────────────────────────────────────────────────────────


def fvus(measured: Make, results: Of, *both: tuple[float, float], **more: Any) -> Results:
    records = [
        measured("fvu.pooled", value, site, view=view, **more)
        for site, pair in enumerate(both)
        for view, value in zip(("before", "after"), pair, strict=True)
    ]
    return results(*records, task=TASK)


def test_sae_fit_says_which_view_is_explained_worse(measured: Make, results: Of) -> None:
    text = one(sae_fit(fvus(measured, results, (0.1, 0.3), (0.1, 0.5))))
    assert "the SAEs explain after worse than before at 2 of 2 places, most at resid_post.1" in text
    assert "FVU 0.50 [0.49, 0.51] in after, 0.10 [0.09, 0.11] in before" in text
    assert "explain after better than before" in one(
        sae_fit(fvus(measured, results, (0.3, 0.1), (0.5, 0.1)))
    )
    assert "no difference seen" in one(sae_fit(fvus(measured, results, (0.3, 0.305))))
    assert "no interval" in one(sae_fit(fvus(measured, results, (0.1, 0.3), ci=None)))


def test_sae_fit_needs_both_views_of_the_task(measured: Make, results: Of) -> None:
    assert said(sae_fit(results(measured("fvu.pooled", 0.1, 1, view="before"), task=TASK))) == []
    both = fvus(measured, results, (0.1, 0.3))
    assert said(sae_fit(replace(both, task={"name": "x"}))) == []


# ── Flips ────────────────────────────────────────────────────────────────────────────────────────


def test_flips_name_the_pair_with_most(measured: Make, results: Of) -> None:
    def flipped(first: float, second: float) -> Results:
        return results(
            measured("flip_rate.token", first, 1, 0.0, pair="p", injection="none"),
            measured("flip_rate.token", second, 1, 0.0, pair="q", injection="none"),
            measured("flip_rate.token", 99.0, 1, pair="q", injection="random"),
        )

    text = one(flips(flipped(5.0, 2.0)))
    assert text.startswith("Most latents flip in `p` at resid_post.1: 5 [4.99, 5.01] per token")
    assert "fewest in `q`" in text
    text = one(flips(flipped(2.0, 5.0)))
    assert text.startswith("Most latents flip in `q`")
    assert "fewest in `p`" in text
    assert one(flips(flipped(2.0, 2.005))).startswith("No difference seen between the flips of 2")
    assert one(flips(flipped(0.0, 0.0))) == "No latent flips in any of 2 pairs."
    assert said(flips(results())) == []


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ((1.2, 1.4), "more in 2 of 2 cases, fewer in 0, no difference seen in 0"),
        ((0.8, 0.6), "more in 0 of 2 cases, fewer in 2, no difference seen in 0"),
        (
            (1.2, 1.005),
            "more in 1 of 2 cases, fewer in 0, no difference seen in 1; by chance alone "
            "a difference would be seen in about 0.1.",
        ),
        ((1.001, 0.999), ": no difference seen in any of 2 cases"),
    ],
)
def test_injected_flips_are_held_against_random_vectors(
    measured: Make, results: Of, ratios: tuple[float, float], expected: str
) -> None:
    records = [measured("flip_rate.over_random", v, s, 1.0) for s, v in enumerate(ratios)]
    text = one(injected_flips(results(*records)))
    assert "as many latents as random vectors of the same length" in text
    assert expected in text


def test_injected_flips_without_records_or_intervals(measured: Make, results: Of) -> None:
    assert said(injected_flips(results())) == []
    bare = measured("flip_rate.over_random", 2.0, 1, 1.0, ci=None)
    assert "no interval" in one(injected_flips(results(bare)))


@pytest.mark.parametrize(
    ("entry", "called"),
    [
        ({"path": "google/gemma-2-2b"}, "gemma-2-2b"),
        ({"path": "/x/base", "adapter": "/x/lora/"}, "lora"),
        ({"gguf": "/x/chat.Q4_1.gguf", "tokenizer": "/x/base"}, "chat.Q4_1"),
        ({}, "tuned"),
    ],
    ids=["hub", "adapter", "gguf", "nothing"],
)
def test_a_model_is_called_like_its_adapter_folder_or_file(
    entry: dict[str, str], called: str
) -> None:
    task = {
        "pairs": {"p": {"left": "base", "right": "tuned"}},
        "models": {"base": {"path": "/x/base"}, "tuned": entry},
    }
    assert _names(task, "p") == ("base", called)
