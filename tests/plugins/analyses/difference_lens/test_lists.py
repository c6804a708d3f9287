"""Lists, ranks, overlaps, words and chance, each against its definition."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from harness_analyses.difference_lens.lists import Asked, TokenList, coherence, first, overlap
from harness_analyses.difference_lens.words import (
    DRAWS,
    Word,
    chance_of_rank,
    with_random_words,
    words_of,
)
from harness_transformers.model import TransformersModel


@given(st.integers(0, 500), st.integers(2, 40), st.integers(1, 40))
def test_first_and_ranks(seed: int, vocabulary: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 6, vocabulary) / 8  # with ties
    p = torch.tensor(scores, dtype=torch.float32)
    found = first(p, count)
    assert len(found.ids) == min(count, int((scores > 0).sum()))
    assert list(found.probabilities) == sorted(scores[scores > 0].tolist(), reverse=True)[:count]
    tokens = rng.integers(0, vocabulary, 3)
    asked = [torch.tensor(tokens[:1]), torch.tensor(tokens)]
    wanted = tuple(1 + int((scores > scores[t].max()).sum()) for t in (tokens[:1], tokens))
    assert Asked(asked).ranks(p) == wanted
    assert Asked([]).ranks(p) == ()


@given(st.integers(0, 200), st.integers(2, 9))
def test_coherence_is_the_mean_cosine_of_pairs(seed: int, k: int) -> None:
    rows = np.random.default_rng(seed).normal(size=(k, 5))
    rows[0] *= seed % 3  # now and then no row at all
    cosines = []
    for i, j in combinations(range(k), 2):
        size = np.linalg.norm(rows[i]) * np.linalg.norm(rows[j])
        cosines.append(rows[i] @ rows[j] / size if size else 0.0)
    assert coherence(torch.tensor(rows)) == pytest.approx(np.mean(cosines), abs=1e-12)


def test_coherence_of_one_row_is_none_and_of_the_same_row_one() -> None:
    row = torch.randn(1, 4)
    assert coherence(row) == 0.0
    assert coherence(row.repeat(5, 1)) == pytest.approx(1.0)


def test_overlap() -> None:
    def made(*ids: int) -> TokenList:
        return TokenList(ids, (0.1,) * len(ids))

    assert overlap(made(1, 2, 3), made(3, 2, 9)) == pytest.approx(2 / 3)
    assert overlap(made(1, 2, 3), made(1)) == pytest.approx(1 / 3)
    assert overlap(made(), made(1)) == 0.0
    assert overlap(made(), made()) == 0.0


@pytest.mark.parametrize(("vocabulary", "tokens"), [(9, 1), (9, 3), (6, 6)])
def test_chance_of_a_rank_by_counting(vocabulary: int, tokens: int) -> None:
    sets = list(combinations(range(1, vocabulary + 1), tokens))
    for rank in range(1, vocabulary + 1):
        share = sum(min(one) <= rank for one in sets) / len(sets)
        assert chance_of_rank(rank, tokens, vocabulary) == pytest.approx(share)
    expected = np.mean([min(one) for one in sets])
    assert expected == pytest.approx((vocabulary + 1) / (tokens + 1)), "the null's value"


def test_random_words_have_as_many_tokens() -> None:
    words = [Word("a", (3, 4), True), Word("b", (9,), True)]
    found = with_random_words(words, 50, 1)
    assert [one.tolist() for one in found[:2]] == [[3, 4], [9]]
    assert [len(one) for one in found] == [2, 1] * (DRAWS + 1)
    assert all(len(set(one.tolist())) == len(one) and max(one) < 50 for one in found)
    again = with_random_words(words, 50, 1)
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))
    assert with_random_words([], 50, 1) == []


def test_words_are_tokens_in_all_their_cases(models: dict[str, TransformersModel]) -> None:
    model = models["llama"]
    wine, unknown = words_of(model, [" wine ", "Xylophonist"])
    assert wine.whole
    assert {model.decode([token]) for token in wine.tokens} <= {" wine", "wine", " Wine", "Wine"}
    assert " wine" in {model.decode([token]) for token in wine.tokens}
    assert not unknown.whole
    for token in unknown.tokens:
        assert "xylophonist".startswith(model.decode([token]).strip().lower())
