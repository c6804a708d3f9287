"""Words as tokens: which of a model's tokens a word is, or begins with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch

from harness.contract import Model
from harness_analyses.difference_lens.lists import Tokens

DRAWS = 499
"""How many sets of random words stand beside the words."""


@dataclass(frozen=True)
class Word:
    """A word that is looked for in lists of tokens."""

    text: str
    tokens: tuple[int, ...]
    """The ids of tokens that are the word, with and without a blank and in its usual cases."""
    whole: bool
    """Whether they are all of it; else they are only its first piece."""


def words_of(model: Model, texts: Sequence[str]) -> list[Word]:
    """The words as tokens of a model; a word that has none is left out.

    A word is one token or not, by how it is written: as it stands, in small letters, with a
    capital, in capitals, each with a blank before it and without. Those that are one token count.
    Where none is, the first tokens of ` word` and `word` do: what a lens says is one token long.
    """
    found = (_word(model, text) for text in texts)
    return [word for word in found if word.tokens]


def _word(model: Model, text: str) -> Word:
    bare = text.strip() or text
    written = dict.fromkeys((bare, bare.lower(), bare.capitalize(), bare.upper()))
    spelled = [
        model.encode(f"{blank}{one}", special=False) for one in written for blank in (" ", "")
    ]
    if whole := {ids[0] for ids in spelled if len(ids) == 1}:
        return Word(text, tuple(sorted(whole)), True)
    return Word(text, tuple(sorted({ids[0] for ids in spelled[:2] if ids})), False)


def with_random_words(words: Sequence[Word], vocabulary: int, seed: int) -> list[Tokens]:
    """The tokens of the words, then those of `DRAWS` sets of as many random words.

    A random word is as many tokens as the word whose place it takes, each as likely as any other
    of the vocabulary.
    """
    rng = np.random.default_rng([seed, vocabulary])
    own = [torch.tensor(word.tokens) for word in words]
    drawn = [
        torch.from_numpy(rng.choice(vocabulary, min(len(one), vocabulary), replace=False))
        for _ in range(DRAWS)
        for one in own
    ]
    return [*own, *drawn]


def chance_of_rank(rank: int, tokens: int, vocabulary: int) -> float:
    """How likely the best of so many random tokens has this rank or a better one.

    `1 − C(V − r, m) / C(V, m)`, with V tokens in all, m of the word and r the rank.
    """
    return 1 - prod(max(0, vocabulary - rank - one) / (vocabulary - one) for one in range(tokens))
