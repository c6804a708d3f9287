"""Where something planted stands, held against sorting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from harness_analyses.found.planted import Items, Line, Pointed, Scores, units, unlike

RNG = np.random.default_rng(0)


def test_the_rank_is_that_of_a_sorted_list():
    scores = RNG.normal(size=40)
    for ids in ((3,), (5, 9, 30), (11, 11, 2)):
        place = Scores(scores).place(Items(ids))
        ordered = sorted(range(40), key=lambda one: -scores[one])
        best = min(ordered.index(one) for one in set(ids))
        # Planted ones that come behind the best do not push each other back.
        assert place.rank == best + 1
        assert (place.planted, place.candidates) == (len(set(ids)), 40)
        assert place.score == max(scores[list(ids)])


def test_the_best_score_is_rank_1_and_what_is_not_listed_comes_last():
    listed = np.full(10, -np.inf)
    listed[[4, 7]] = 2.0, 1.0
    assert Scores(listed).place(Items((4,))).rank == 1
    assert Scores(listed).place(Items((4,))).p == pytest.approx(0.1)
    absent = Scores(listed).place(Items((0, 1)))
    assert (absent.rank, absent.p) == (9, 1.0)


def test_an_item_beyond_the_candidates_is_said():
    assert "12 was planted, and there are 10 candidates" in Scores(np.zeros(10)).place(Items((12,)))


def test_the_rank_of_a_direction_is_counted_one_candidate_after_the_other():
    among, vectors, planted = (RNG.normal(size=shape) for shape in ((50, 6), (3, 6), (1, 6)))

    def nearest(direction):
        cosines = [
            abs(direction @ v) / np.linalg.norm(direction) / np.linalg.norm(v) for v in vectors
        ]
        return max(cosines)

    own = nearest(planted[0])
    expected = 1 + sum(nearest(one) >= own for one in among)
    said = Pointed(units(vectors), units(among))
    for sign in (1, -1):
        place = said.place(Line(units(sign * planted)[0]))
        assert place.rank == expected
        assert place.score == pytest.approx(own)
        assert place.candidates == 51


def test_a_candidate_that_is_the_planted_direction_does_not_stand_against_it():
    among = units(RNG.normal(size=(20, 5)))
    said = Pointed(among[3:4], among)
    place = said.place(Line(-among[3]))
    assert (place.rank, place.candidates, place.score) == (1, 20, pytest.approx(1.0))


def test_random_directions_have_uniform_ranks():
    rng = np.random.default_rng(3)
    among = units(rng.normal(size=(99, 8)))
    p = np.array(
        [
            Pointed(units(rng.normal(size=(2, 8))), among).place(Line(one)).p
            for one in units(rng.normal(size=(1500, 8)))
        ]
    )
    for quantile in (0.05, 0.25, 0.5, 0.75):
        assert np.mean(p <= quantile) == pytest.approx(quantile, abs=0.04)


def test_vectors_without_a_direction_are_left_out():
    kept = units(np.array([[0.0, 0.0], [3.0, 4.0], [np.nan, 1.0]]))
    assert kept.tolist() == [[0.6, 0.8]]


def test_truths_that_share_something_are_no_null_of_each_other():
    others = [("same", Items((2, 7))), ("apart", Items((8,)))]
    assert unlike(Items((1, 2)), others) == [("apart", Items((8,)))]
    assert unlike(None, others) == others
    east, north = np.eye(2)
    near = units(np.array([[1.0, 0.2]]))[0]
    found = unlike(Line(east), [("near", Line(-near)), ("north", Line(north))])
    assert [name for name, _ in found] == ["north"]


def test_another_width_is_said():
    said = Pointed(np.eye(3)[:1], np.eye(3)).place(Line(np.eye(4)[0]))
    assert said == "what was planted has 4 numbers, and what was found 3"
