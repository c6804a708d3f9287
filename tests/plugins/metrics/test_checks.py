"""`check_metric` finds what it promises to find: one broken metric for each law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.contract import MetricValue
from harness.testing import check_metric
from harness.testing.support.batches import array_batch, only, take
from harness.testing.support.laws import missed_laws


class Right:
    """The mean over tokens of the first number of the right side over the left's, as a ratio."""

    values = (MetricValue("ratio@1", "ratio", "tokens", "none", {"kind": "identical", "value": 1}),)

    def __init__(self, site):
        self.site = site

    def sums(self, batch, side):
        document = batch.document[batch.selected]
        x, y = (s.x(self.site)[batch.selected, 0].double().abs() for s in (batch.left, batch.right))
        size = len(batch.documents)
        return {
            name: torch.zeros(size, dtype=torch.float64).index_add(0, document, value)
            for name, value in (("n", torch.ones_like(x)), ("x", x), ("y", y))
        }

    def value(self, sums):
        with np.errstate(invalid="ignore"):
            return [np.where(sums["n"] > 0, sums["y"] / sums["x"], np.nan)]


def reference(batch, site):
    x, y = (s.x(site)[batch.selected, 0].double().abs().sum() for s in (batch.left, batch.right))
    return [float(y / x)]


class NoCount(Right):
    def sums(self, batch, side):
        return {k: v for k, v in super().sums(batch, side).items() if k != "n"}


class OneSum(Right):
    def sums(self, batch, side):
        found = super().sums(batch, side)
        return {**found, "y": found["y"].sum()}


class NotFinite(Right):
    def sums(self, batch, side):
        return {**super().sums(batch, side), "z": torch.full((len(batch.documents),), torch.nan)}


class WrongNumber(Right):
    def value(self, sums):
        return [super().value(sums)[0] * 1.0001]


class MeanOfBatch(Right):
    """Divides by what it saw in the batch: a different number for every batch size."""

    def sums(self, batch, side):
        found = super().sums(batch, side)
        return {**found, "y": found["y"] / found["x"].sum(), "x": found["x"] / found["x"].sum()}


class FirstToken(Right):
    """Reads the token that happens to come first."""

    def sums(self, batch, side):
        found = super().sums(batch, side)
        size = len(batch.documents)
        first = torch.zeros(size, dtype=torch.float64)
        for i in range(size):
            own = (batch.document[batch.selected] == i).nonzero()
            if len(own):
                first[i] = batch.left.x(self.site)[batch.selected][own[0, 0], 0].double().abs()
        return {**found, "x": first}


class CountsDocuments(Right):
    def sums(self, batch, side):
        found = super().sums(batch, side)
        return {**found, "x": found["x"] + 1}


class WritesInput(Right):
    def sums(self, batch, side):
        found = super().sums(batch, side)
        batch.left.x(self.site).mul_(2)
        return found


class OtherNull(Right):
    values = (MetricValue("ratio@1", "ratio", "tokens", "none", {"kind": "identical", "value": 0}),)


class MixesDraws(Right):
    def value(self, sums):
        return [super().value(sums)[0] + (len(sums["n"]) - 1)]


class NothingIsZero(Right):
    def value(self, sums):
        return [np.nan_to_num(super().value(sums)[0])]


class ReadsUnselected(Right):
    """Its scale is that of all tokens, and it does not say so."""

    def sums(self, batch, side):
        found = super().sums(batch, side)
        document, size = batch.document, len(batch.documents)
        for name, one in (("x", batch.left), ("y", batch.right)):
            every = one.x(self.site)[:, 0].double().abs()
            found[name] = torch.zeros(size, dtype=torch.float64).index_add(0, document, every)
        return found


class SaysSo(ReadsUnselected):
    def __init__(self, site):
        super().__init__(site)
        self.values = (replace(self.values[0], unselected=True),)


class TooMany(Right):
    def value(self, sums):
        return super().value(sums) * 2


def test_a_right_one_passes(case):
    check_metric(
        Right(case.site), case.batch, case.batch,
        reference=lambda batch: reference(batch, case.site), side="pair",
    )  # fmt: skip


def test_one_that_says_that_it_reads_unselected_tokens_passes(make):
    case = make(filtered=True)

    def every(batch):
        x, y = (s.x(case.site)[:, 0].double().abs().sum() for s in (batch.left, batch.right))
        return [float(y / x)]

    check_metric(SaysSo(case.site), case.batch, reference=every, side="pair")
    with pytest.raises(AssertionError, match=r"^unselected: ratio@1 is .* Leave them out, or say"):
        check_metric(ReadsUnselected(case.site), case.batch, reference=every, side="pair")


def test_where_every_token_is_selected_the_law_takes_some_out_of_the_selection(make):
    """An author who thinks of no filter ships no sample with one."""
    case = make()
    assert len(case.batch.selected) == len(case.batch.document)
    with missed_laws() as missed:
        check_metric(
            Right(case.site),
            case.batch,
            reference=lambda batch: reference(batch, case.site),
            side="pair",
        )
    assert "unselected" not in missed

    def every(batch):
        tokens = torch.arange(len(batch.document))
        return reference(replace(batch, selected=tokens), case.site)

    with pytest.raises(AssertionError, match="unselected"):
        check_metric(ReadsUnselected(case.site), case.batch, reference=every, side="pair")


@pytest.mark.parametrize(
    ("metric", "law"),
    [
        (NoCount, "sums: n is missing"),
        (OneSum, "sums: y has shape"),
        (NotFinite, "sums: z is not finite"),
        (TooMany, "sums: 2 numbers for 1 values"),
        (WrongNumber, "reference: ratio@1 is"),
        (MeanOfBatch, "split: ratio@1 is"),
        (FirstToken, "order: ratio@1 is"),
        (CountsDocuments, "padding: ratio@1 is"),
        (WritesInput, "inputs: sums modified left"),
        (OtherNull, "null: ratio@1 of identical sides is 1"),
        (MixesDraws, "draws: ratio@1 is"),
        (NothingIsZero, "empty: ratio@1 of no tokens is 0"),
    ],
)
def test_a_broken_one_is_named(make, metric, law):
    case = make(filtered=True)
    built = metric(case.site)
    # Where the law is not `reference`, the reference shares the fault.
    follow = metric in (FirstToken, CountsDocuments)

    def own(batch):
        if not follow:
            return reference(batch, case.site)
        return [
            built.value(
                {k: v.sum(0)[None].numpy() for k, v in built.sums(batch, batch.left).items()}
            )[0][0]
        ]

    with pytest.raises(AssertionError, match=f"^{law}"):
        check_metric(built, case.batch, reference=own, side="pair")


class OnlyTotals(Right):
    """Made of sums of the whole batch alone: one number, however many draws there are."""

    def sums(self, batch, side):
        found = super().sums(batch, side)
        whole = {f"total.{name}": found[name].sum(0, keepdim=True) for name in ("x", "y")}
        return {"n": found["n"], **whole}

    def value(self, sums):
        with np.errstate(invalid="ignore"):
            return [sums["total.y"] / sums["total.x"]]


class TwoNumbers(OnlyTotals):
    def value(self, sums):
        return [np.tile(super().value(sums)[0], 1 + (len(sums["n"]) > 1))]


class OtherInDraws(OnlyTotals):
    def value(self, sums):
        return [super().value(sums)[0] + len(sums["n"]) - 1]


def test_a_metric_of_totals_alone_keeps_the_laws(case):
    """CASES row 34."""
    check_metric(
        OnlyTotals(case.site), case.batch,
        reference=lambda batch: reference(batch, case.site), side="pair",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "law"),
    [(TwoNumbers, "draws: ratio@1 has 2 numbers"), (OtherInDraws, "draws: ratio")],
)
def test_the_laws_cover_a_metric_of_totals_alone(case, metric, law):
    """CASES row 34: what breaks in a run must break a law."""
    with pytest.raises(AssertionError, match=f"^{law}"):
        check_metric(
            metric(case.site), case.batch,
            reference=lambda batch: reference(batch, case.site), side="pair",
        )  # fmt: skip


def test_a_check_of_nothing_is_refused(make):
    case = make(documents=1)
    with pytest.raises(AssertionError, match="no batch"):
        check_metric(Right(case.site), reference=lambda b: [1.0])
    with pytest.raises(AssertionError, match=r"^split: a batch of one document"):
        check_metric(Right(case.site), case.batch, reference=lambda b: [1.0], side="pair")


def test_batches_are_cut_and_turned_as_said(make):
    case = make(tokens=12, documents=3, filtered=True)
    turned = take(case.batch, torch.arange(11, -1, -1), [2, 0, 1])
    assert turned.documents == ("document 2", "document 0", "document 1")
    names = [case.batch.documents[i] for i in case.batch.document.flip(0)]
    assert [turned.documents[i] for i in turned.document] == names
    assert torch.equal(turned.left.x(case.site), case.batch.left.x(case.site).flip(0))
    assert sorted((11 - turned.selected).tolist()) == case.batch.selected.tolist()
    part = only(case.batch, [1])
    assert part.documents == ("document 1",)
    assert not part.document.any()
    assert len(part.document) == int((case.batch.document == 1).sum())


def test_sides_of_arrays_find_the_site_of_their_sae(make):
    case = make()
    side = case.batch.left
    assert torch.equal(side.latents("sae").dense(), side.latents("sae", case.site).dense())
    batch = array_batch([0, 0], {case.site: torch.ones(2, 6)})
    assert (batch.right, batch.documents, batch.stream) == (None, ("0",), "view")
