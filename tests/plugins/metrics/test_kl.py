"""Divergences of next-token distributions against scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special

from harness.contract import Target
from harness.errors import ModelError
from harness.testing import check_metric
from harness.testing.support.batches import array_batch
from harness_metrics import documents, options
from harness_metrics.kl import Kl

from .conftest import SITE

ALL = ("next_token", "next_token_reverse", "jensen_shannon")


def made(tokens=30, vocabulary=11, sharp=1.0, shift=0.0, selected=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(tokens, vocabulary, generator=generator) * sharp + shift
    y = x + sharp * torch.randn(tokens, vocabulary, generator=generator)
    activations = {SITE: torch.zeros(tokens, 2)}
    document = [i % min(4, tokens) for i in range(tokens)]
    return array_batch(document, activations, activations, selected=selected, logits=(x, y))


def metric(*variants):
    return Kl(options.Kl(variants=variants or ALL), Target(SITE))


def reference(batch):
    kept = batch.selected
    log_p, log_q = (
        special.log_softmax(side.logits()[kept].double().numpy(), axis=1)
        for side in (batch.left, batch.right)
    )
    p, q = np.exp(log_p), np.exp(log_q)
    m = (p + q) / 2
    shannon = (special.rel_entr(p, m) + special.rel_entr(q, m)).sum(1) / 2
    return [
        (p * (log_p - log_q)).sum(1).mean(),
        (q * (log_q - log_p)).sum(1).mean(),
        shannon.mean(),
    ]


@pytest.mark.parametrize(
    "batch",
    [
        {},
        {"sharp": 30.0},
        {"shift": 1e4},
        {"selected": [0, 3, 4, 17]},
        {"vocabulary": 2},
        {"vocabulary": 5000, "tokens": 9},
    ],
    ids=str,
)
def test_against_scipy(batch):
    check_metric(metric(), made(**batch), reference=reference, side="pair")


def values(found, batch):
    sums = {k: v.sum(0, keepdim=True).numpy() for k, v in found.sums(batch, batch.left).items()}
    return [float(one[0]) for one in found.value(sums)]


def test_identical_sides_are_exactly_zero():
    batch = made(tokens=200, vocabulary=300, sharp=8.0)
    x = batch.left.logits()
    same = array_batch(
        batch.document.tolist(),
        batch.left.activations,
        batch.right.activations,
        logits=(x, x.clone()),
    )
    assert values(metric(), same) == [0.0, 0.0, 0.0]


def test_pieces_change_nothing(monkeypatch):
    batch = made(tokens=40)
    whole = values(metric(), batch)
    monkeypatch.setitem(documents._PIECE, "cpu", 30)
    assert values(metric(), batch) == whole


def with_logits(x, y):
    activations = {SITE: torch.zeros(len(x), 2)}
    return array_batch([0] * len(x), activations, activations, logits=(x, y))


def test_impossible_tokens():
    """What neither side can say changes nothing; what only one can say is infinitely far."""
    x, y = torch.randn(6, 5), torch.randn(6, 5)
    never = torch.full((6, 2), -torch.inf)
    both = with_logits(torch.cat([x, never], 1), torch.cat([y, never], 1))
    assert values(metric(), both) == pytest.approx(values(metric(), with_logits(x, y)), rel=1e-12)
    one = with_logits(torch.cat([x, never], 1), torch.cat([y, torch.zeros(6, 2)], 1))
    forward, reverse, shannon = values(metric(), one)
    assert math.isfinite(forward)
    assert math.isinf(reverse)
    assert 0 < shannon < math.log(2)


def test_opposite_certainties_are_ln_two_apart():
    x = torch.tensor([[900.0, -900.0]])
    forward, reverse, shannon = values(metric(), with_logits(x, -x))
    assert forward == reverse == pytest.approx(1800)
    assert shannon == pytest.approx(math.log(2), rel=1e-12)


def test_only_what_was_asked_for():
    found = metric("next_token_reverse", "next_token")
    assert values(found, made()) == pytest.approx(reference(made())[1::-1])
    ids = [value.id for value in Kl(options.Kl(), Target(SITE)).values]
    assert ids == ["kl.next_token@1", "kl.next_token_reverse@1"]


def test_vocabularies_of_different_sizes_are_refused():
    with pytest.raises(
        ModelError, match=r"over 5 tokens, the right side's over 7\..*share a token"
    ):
        values(metric(), with_logits(torch.zeros(3, 5), torch.zeros(3, 7)))
