"""The sentences on a difference: flip the numbers, and the sentence flips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from harness.contract import Record, Results
from harness.results.answer.lines import fitting, lines
from harness.results.answer.profile import percent, profiles
from harness.results.answer.two_models import two_models

TASK = {
    "models": {"one": {"path": "/a/base"}, "two": {"path": "/a/base", "adapter": "/b/tune"}},
    "views": {"l": {"model": "one"}, "r": {"model": "two"}},
    "pairs": {"change": {"left": "l", "right": "r"}},
}
Sizes = Mapping[str, float | None]


def record(id: str, value: float | None, site: str | None = None, **axes: Any) -> Record:
    place = {} if site is None else {"site": site}
    why = None if value is not None else "no token was measured"
    more = {"undefined": why} if why else {}
    return Record(
        id, value, 100, "tokens", "ratio", axes={"pair": "change", **place, **axes}, **more
    )


def results(
    sizes: Sizes, moved: Sizes | None = None, kl: float | None = 0.5, **more: Any
) -> Results:
    moved = moved or {site: float(bool(size)) for site, size in sizes.items()}
    records = [
        *(record("displacement.per_token@1", size, site) for site, size in sizes.items()),
        *(record("displacement.moved@1", moved[site], site) for site in sizes),
        *([] if kl is None else [record("kl.next_token@1", kl)]),
        *more.pop("records", ()),
    ]
    return Results("complete", TASK, {}, tuple(records), **more)


def said(found: Results) -> list[str]:
    return [sentence.text for sentence in two_models(found)]


LATE = {"embed": 0.0, "resid_post.0": 0.0, "resid_post.1": 0.2, "resid_post.2": 0.25}
EARLY = {"embed": 0.0, "resid_post.0": 0.1, "resid_post.1": 0.5, "resid_post.2": 0.55}


def test_equal_models_differ_in_nothing() -> None:
    (one,) = said(results(dict.fromkeys(LATE, 0.0), kl=0.0))
    assert one.startswith("Nothing differs: on all 100 tokens, at all 4 sites")
    assert "and so is what they predict" in one


def test_a_single_moved_token_is_not_nothing() -> None:
    (one,) = said(results(dict.fromkeys(LATE, 1e-8), {**dict.fromkeys(LATE, 0.0), "embed": 0.01}))
    assert "Nothing" not in one
    assert "by rounding alone: by at most 1e-08" in one


def test_a_head_that_alone_was_tuned_is_said() -> None:
    (one,) = said(results(dict.fromkeys(LATE, 0.0), kl=0.3))
    assert "equal activations at all 4 sites" in one
    assert "KL 0.30" in one
    (other,) = said(results(dict.fromkeys(LATE, 0.0), kl=None))
    assert "predict" not in other


def test_a_change_that_enters_late_names_its_block() -> None:
    far, deep = said(results(LATE))
    assert "base and tune differ: activations by up to 25%" in far
    assert deep.startswith("The change enters in block 1: nothing differs up to resid_post.0")
    assert "20% at resid_post.1" in deep


def test_rounding_before_it_is_told_from_nothing() -> None:
    _, deep = said(results({**LATE, "resid_post.0": 2e-7}))
    assert "block 1: nothing but rounding differs up to resid_post.0" in deep


def test_a_change_everywhere_says_so_and_where_it_grows() -> None:
    _, deep = said(results(EARLY))
    assert deep.startswith("The change begins in block 0, and every block's output differs")
    assert "grows most in block 1, from 10% to 50% (resid_post.1)" in deep
    _, flipped = said(results({**EARLY, "resid_post.1": 0.12}))
    assert "grows most in block 2, from 12% to 55%" in flipped
    _, first = said(results({**EARLY, "resid_post.0": 0.45}))
    assert "begins in block 0, where it grows most (to 45% at resid_post.0)" in first


def test_embeddings_and_gaps_between_sites_are_named() -> None:
    _, deep = said(results({**EARLY, "embed": 0.05}))
    assert deep.startswith("The change begins in the token embeddings, and every block's")
    _, gap = said(results({"resid_post.3": 0.0, "resid_post.7": 0.2}))
    assert "enters in blocks 4 to 7: nothing differs up to resid_post.3" in gap


def test_what_was_not_measured_is_not_known() -> None:
    found = results(dict.fromkeys(LATE), dict.fromkeys(LATE), kl=None)
    assert said(found)[0] == "Whether base and tune differ is not known: no token was measured."


def test_the_order_of_the_records_is_that_of_nothing() -> None:
    shuffled = {site: LATE[site] for site in sorted(LATE, reverse=True)}
    assert said(results(shuffled)) == said(results(LATE))


def test_a_run_without_the_metric_says_nothing() -> None:
    bare = Results("complete", TASK, {}, (record("fvu.pooled@1", 0.9, "resid_post.1", view="l"),))
    assert said(bare) == []


# ── Features and directions ──────────────────────────────────────────────────────────────────────


def row(feature: int, delta: float, site: str = "resid_post.1", sae: str = "s") -> dict[str, Any]:
    return {
        "pair": "change", "sae": sae, "site": site, "feature": feature, "delta": delta,
        "frequency_left": 0.01, "frequency_right": 0.04,
    }  # fmt: skip


def label(feature: int, value: float, token: str, sae: str = "s") -> dict[str, Any]:
    context = {"tokens": ["a ", token, " b"], "mark": 1, "value": value}
    return {"sae": sae, "feature": feature, "description": "d", "contexts": [context]}


def features(rows: Sequence[Any], sizes: Sizes = LATE, **tables: Any) -> list[str]:
    found = results(sizes, tables={"features.features": rows, **tables})
    return [text for text in said(found) if text.startswith("Feature")]


def test_the_features_that_moved_most_come_first_and_say_which_way() -> None:
    rows = [row(1, 0.1), row(2, -0.3), row(3, 0.2), row(4, 0.01)]
    found = features(rows)
    assert [text.split(" (")[0] for text in found] == [
        "Feature 2 fell at resid_post.1", "Feature 3 rose", "Feature 1 rose",
    ]  # fmt: skip
    flipped = features([{**one, "delta": -one["delta"]} for one in rows])
    assert flipped[0].startswith("Feature 2 rose")
    assert "(1% to 4% of tokens)" in found[0]


def test_a_feature_that_is_as_often_active_says_how_far_its_mean_moved() -> None:
    same = {**row(1, -0.31), "frequency_left": 0.101, "frequency_right": 0.1}
    found = features([same])
    assert found == ["Feature 1 fell at resid_post.1 (its mean by 0.31, 10% of tokens in both)"]


def test_they_are_those_where_the_change_enters() -> None:
    rows = [row(1, 0.9, "resid_post.0"), row(2, 0.1), row(3, 0.5, "resid_post.2")]
    assert features(rows)[0].startswith("Feature 2 rose at resid_post.1")
    assert features([rows[0], rows[2]])[0].startswith("Feature 3 rose at resid_post.2")
    assert features([rows[0]])[0].startswith("Feature 1 rose at resid_post.0")


def test_a_feature_is_shown_where_it_is_strongest_on_either_side() -> None:
    before, after = [label(1, 2.0, "old")], [label(1, 3.0, "new")]
    tables = {"labels.b": before, "labels.a": after}
    assert features([row(1, 0.1)], **tables)[0].endswith(": …a «new» b…")
    weaker = {"labels.b": before, "labels.a": [label(1, 1.0, "new")]}
    assert features([row(1, 0.1)], **weaker)[0].endswith(": …a «old» b…")


def test_what_somebody_wrote_goes_before_contexts() -> None:
    written = [{"sae": "s", "feature": 1, "description": "full stops", "contexts": None}]
    tables = {"labels.b": [label(1, 2.0, "x")], "labels.f": written}
    assert features([row(1, 0.1)], **tables)[0].endswith("of tokens): full stops")


def test_equal_models_have_no_features_that_moved() -> None:
    assert features([row(1, 0.0)], dict.fromkeys(LATE, 0.0)) == []


@pytest.mark.parametrize(
    ("share", "cosine", "text"),
    [
        (1.0, 1.0, "Feature 7 is the direction that holds 100% of the change at resid_post.1"),
        (0.6, 0.7, "Feature 7 is nearest to the direction that holds 60% of the change"),
        (0.6, 0.2, "One direction holds 60% of the change at resid_post.1; no feature points"),
        (0.4, 1.0, None),
        (None, None, None),
    ],
)
def test_one_direction(share: float | None, cosine: float | None, text: str | None) -> None:
    site = "resid_post.1"
    records = [
        record("pc_explained_variance@1", share, site, pc=1),
        record("pc_explained_variance@1", 0.99, "resid_post.2", pc=1),
        Record(
            "pc_feature_cosine.max_abs@1", cosine, 100, "features", "cosine",
            null={"kind": "random", "value": 0.3}, axes={"pair": "change", "site": site,
            "pc": 1, "sae": "s"}, undefined=None if cosine is not None else "nothing changed",
        ),
    ]  # fmt: skip
    near = {"pair": "change", "sae": "s", "site": site, "pc": 1, "rank": 1, "feature": 7}
    found = said(results(LATE, records=records, tables={"alignment.features": [near]}))
    mine = [one for one in found if "direction" in one]
    assert [one[: len(text)] for one in mine] == [text] if text else mine == []


def test_an_sae_that_explains_little_is_named() -> None:
    poor = [record("fvu.pooled@1", 0.7, "resid_post.1", view="l", sae="s")]
    assert "the SAE s leaves 70% unexplained" in said(results(LATE, records=poor))[-1]
    fine = [
        record("fvu.pooled@1", 0.3, "resid_post.1", view="l", sae="s"),
        record("fvu.pooled@1", 0.9, "resid_post.1", view="r", sae="s"),
    ]
    assert "unexplained" not in said(results(LATE, records=fine))[-1]


# ── Lines ────────────────────────────────────────────────────────────────────────────────────────


def test_no_line_is_wider_and_none_is_hostile() -> None:
    evil = [label(1, 2.0, "\x1b[31m\n‮evil " * 9)]
    found = two_models(results(LATE, tables={"f": [row(1, 0.1)], "labels.x": evil}))
    shown = list(lines(found, 80))
    assert max(map(len, shown)) <= 80
    assert all(line.isprintable() for line in shown)


@pytest.mark.parametrize("most", [0, 1, 2, 5, 50])
def test_only_whole_sentences_are_shown(most: int) -> None:
    found = two_models(results(LATE, tables={"f": [row(n, 0.1) for n in range(3)]}))
    shown, whole = fitting(found, 40, most), list(lines(found, 40))
    assert len(shown) <= most
    assert shown == whole[: len(shown)]
    assert shown == whole or not whole[len(shown)].startswith(" ")


def test_percent() -> None:
    assert [percent(x) for x in (0.0, 2.2e-7, 0.034, 0.5, 0.999, 1.25)] == [
        "0%", "2.2e-05%", "3.4%", "50%", "100%", "125%",
    ]  # fmt: skip


def test_sites_off_the_residual_stream_are_in_no_profile() -> None:
    (profile,) = profiles(results({**LATE, "mlp_out.1": 0.9}))
    assert [str(step.site) for step in profile.steps] == list(LATE)
