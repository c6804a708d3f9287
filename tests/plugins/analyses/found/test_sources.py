"""What methods found, read from tables and arrays; and the log-odds of completions."""

from __future__ import annotations

from math import inf, log

import numpy as np
import pytest

from harness.contract import Arrays, Findings
from harness_analyses.found.completions import Writing, counted, log_odds
from harness_analyses.found.options import MethodOptions
from harness_analyses.found.planted import Pointed, Scores, units
from harness_analyses.found.sources import Candidates, said_of

AMONG = Candidates(6, 4, units(np.random.default_rng(0).normal(size=(9, 3))))
LENS = {"name": "lens", "sort": "tokens", "analysis": ("one", "two"), "table": "tokens",
        "item": "id", "score": "p"}  # fmt: skip
SHIFT = {"name": "shift", "sort": "latents", "statistic": "shift", "array": "z"}
REST = {"name": "rest", "sort": "directions", "statistic": "rest", "array": "components"}


def said(method, findings, pair="a"):
    return said_of(MethodOptions.model_validate(method), pair, findings, AMONG)


def listed(*rows, name="one.tokens"):
    return Findings(tables={name: [{"pair": "a", "id": one, "p": p, **more}
                                   for one, p, more in rows]})  # fmt: skip


def test_the_best_row_of_a_candidate_counts_and_others_come_last():
    found = said(LENS, listed((2, 0.1, {}), (2, 0.4, {}), (5, 0.2, {})))
    assert isinstance(found, Scores)
    assert found.scores.tolist() == [-inf, -inf, 0.4, -inf, -inf, 0.2]


def test_rows_of_other_pairs_and_sources_are_left_out():
    rows = listed((0, 0.9, {"pair": "b"}), (1, 0.9, {"source": "left"}), (2, 0.1, {"source": "d"}))
    found = said({**LENS, "where": {"source": "d"}}, rows)
    assert np.isfinite(found.scores).nonzero()[0].tolist() == [2]


def test_a_small_score_may_be_the_good_one_and_a_negative_one_as_good():
    found = said({**LENS, "ascending": True}, listed((2, 1, {}), (4, 3, {})))
    assert found.scores[2] > found.scores[4] > found.scores[0]
    found = said({**LENS, "magnitude": True}, listed((2, -5, {}), (4, 3, {})))
    assert found.scores[2] == 5


@pytest.mark.parametrize(
    ("item", "score", "what"),
    [
        (6, 0.1, "id is 6, and no number from 0 to 5"),
        (-1, 0.1, "id is -1"),
        ("<b>", 0.1, "id is '<b>'"),
        (1.5, 0.1, "id is 1.5"),
        (None, 0.1, "id is None"),
        (1, "much", "p is 'much', and no number"),
        (1, None, "p is None"),
        (1, float("nan"), "p is nan"),
        (True, 0.1, "id is True"),
    ],
    ids=["beyond", "negative", "text", "half", "missing", "no score", "none", "nan", "yes"],
)
def test_a_row_that_cannot_be_read_is_said(item, score, what):
    assert what in said(LENS, listed((item, score, {})))


def test_what_is_not_there_is_said():
    assert said(LENS, Findings()) == "one.tokens and two.tokens: there is no such table"
    assert "has no row about b" in said(LENS, listed((1, 0.1, {})), pair="b")
    assert "kept no z of a" in said(SHIFT, Findings())


def test_tables_of_several_analyses_are_read_together():
    found = said(LENS, listed((1, 0.3, {}), name="two.tokens"))
    assert found.scores[1] == 0.3


def kept(name, values, pair="a", **more):
    return Arrays(name, {"pair": pair, **more}, values)


def test_an_array_has_a_score_for_each_candidate():
    z = np.array([1.0, -3.0, np.nan, 2.0])
    other = kept("shift", {"z": np.full(4, 9.0)}, pair="b")
    part = kept("shift", {"z": np.full(4, 9.0)}, domain="law")
    findings = Findings(arrays=(kept("shift", {"z": z}), other, part))
    assert said(SHIFT, findings).scores.tolist() == [1.0, -3.0, -inf, 2.0]
    assert said({**SHIFT, "magnitude": True}, findings).scores.argmax() == 1
    wrong = Findings(arrays=(kept("shift", {"z": z[:3]}),))
    assert said(SHIFT, wrong) == "z has shape (3,), and there are 4 latents"


def test_vectors_are_read_whatever_stands_before_their_name_and_groups_are_summed():
    groups = np.random.default_rng(1).normal(size=(5, 2, 3))
    findings = Findings(arrays=(kept("mean", {"a/resid_post.4/change": groups}),))
    found = said({**REST, "statistic": "mean", "array": "change"}, findings)
    assert isinstance(found, Pointed)
    mean = groups.mean(0)
    assert found.vectors == pytest.approx(mean / np.linalg.norm(mean, axis=1, keepdims=True))


def test_vectors_without_length_or_of_another_width_are_said():
    none = Findings(arrays=(kept("rest", {"components": np.zeros((2, 3))}),))
    assert said(REST, none) == "rest kept no components of a, or it is 0"
    wide = Findings(arrays=(kept("rest", {"components": np.ones((2, 5))}),))
    assert said(REST, wide) == "components has 5 numbers a vector, and candidates 3"
    nothing = Candidates(6, None, np.zeros((0, 0)))
    given = MethodOptions.model_validate(REST)
    assert "the dictionary kept no vectors" in said_of(given, "a", wide, nothing)


# ── Completions ──────────────────────────────────────────────────────────────────────────────────


class Letters:
    """Stands in for a model: its tokens are letters."""

    def encode(self, text, *, special=True):
        assert not special
        return [ord(one) - ord("a") for one in text]


def rows(**texts):
    return [
        {"experiment": name, "direction": "none", "completion": one}
        for name, many in texts.items()
        for one in many
    ]


def test_the_log_odds_are_those_of_the_definition():
    counts = counted([[0, 0, 1], [2, 99]], 4)
    assert counts.tolist() == [2, 1, 1, 0]
    for token, c in enumerate((2, 1, 1, 0)):
        odds = (c + 0.5) / (4 + 0.5 * 4 - c - 0.5)
        assert log_odds(counts, 0.5)[token] == pytest.approx(log(odds), abs=1e-12)


def test_the_word_that_is_written_more_often_comes_first():
    given = rows(base=["aabb", "ab"], tuned=["aabc", "cc"])
    found = Writing(Letters(), given, 4, 0.5).said("tuned", "base")
    assert found.scores.argmax() == 2
    edited = [{**row, "direction": "refusal"} for row in rows(tuned=["dddd"])]
    again = Writing(Letters(), [*given, *edited], 4, 0.5).said("tuned", "base")
    assert again.scores.tolist() == found.scores.tolist()


def test_the_same_completions_tell_nothing_apart():
    found = Writing(Letters(), rows(base=["abc"], tuned=["abc"]), 4, 0.5).said("tuned", "base")
    assert np.ptp(found.scores) == 0


def test_without_completions_it_says_so():
    writing = Writing(Letters(), rows(base=["ab"], mute=["", ""]), 4, 0.5)
    assert writing.said("tuned", "base") == "tuned has no completions"
    assert writing.said("mute", "base") == "mute has no completions with a token"
