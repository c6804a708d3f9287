"""The rule of `newness`: what it says of exact numbers, and of numbers with intervals."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from harness.contract import Findings
from harness_analyses.newness.newness import Newness
from harness_analyses.newness.options import NewnessOptions
from harness_analyses.newness.rule import KINDS, Limits, Numbers, kind_of
from harness_analyses.newness.samples import site_records

LIMITS = Limits(low_rank=0.5, said=0.5, unsaid=0.25, missed=0.25, noise=0.5)
shares = st.floats(0, 1)


@pytest.mark.parametrize(
    ("first", "gain", "beyond", "fvu", "expected"),
    [
        (0.95, 0.9, 0.9, 0.6, "repurposed"),
        (
            0.95,
            0.9,
            0.9,
            1.5,
            "repurposed",
        ),  # the encoder misreads it: the rows say it all the same
        (0.95, 0.1, 0.1, 1.5, "new"),
        (0.95, 0.1, 0.1, 0.1, "undecided"),  # no row says it, and yet the latents rebuild it
        (0.95, 0.4, 0.4, 1.0, "undecided"),  # between
        (0.95, None, 0.1, 1.0, "undecided"),
        (0.2, None, 0.9, 0.6, "repurposed"),  # another feature at each token
        (0.2, 1.5, 0.2, 0.1, "repurposed"),  # the latents rebuild it
        (0.2, 0.0, 0.2, 0.6, "diffuse"),  # in many directions no gain makes it new
        (0.2, None, 0.2, 3.0, "diffuse"),
    ],
)
def test_exact_numbers(first, gain, beyond, fvu, expected):
    assert kind_of(Numbers(first, gain, beyond, fvu, 1e-6), LIMITS) == expected
    assert kind_of(Numbers(first, gain, beyond, fvu, None), LIMITS) == expected


@given(shares, st.none() | shares, shares, st.floats(0, 5), st.floats(0.5, 5))
def test_what_may_be_rounding_is_undecided(first, gain, beyond, fvu, rounding):
    assert kind_of(Numbers(first, gain, beyond, fvu, rounding), LIMITS) == "undecided"


@given(shares, shares, shares, st.floats(0.3, 5))
def test_more_gain_is_never_more_new(first, gain, beyond, fvu):
    """Where the dictionary says more of a change, it is not newer."""
    before = kind_of(Numbers(first, gain, beyond, fvu, None), LIMITS)
    after = kind_of(Numbers(first, min(1.0, gain + 0.3), beyond, fvu, None), LIMITS)
    assert not (after == "new" and before != "new")


def concluded(*numbers, half=0.01, rounding=1e-6, **options):
    records = site_records(*numbers, half=half, rounding=rounding)
    return Newness(NewnessOptions(**options)).run(Findings(records=records))


def kinds(outcome):
    return {record.axes["kind"]: (record.value, record.ci) for record in outcome.records}


def test_a_firm_conclusion_is_one_in_its_whole_interval():
    found = concluded(0.95, 0.9, 0.9, 0.6)
    assert kinds(found) == {
        "repurposed": (1, (1, 1)), "new": (0, (0, 0)), "diffuse": (0, (0, 0)),
        "undecided": (0, (0, 0)),
    }  # fmt: skip
    (row,) = found.tables["newness"]
    assert row["conclusion"] == "repurposed"
    assert row["could_be"] == ""
    assert row["verdict"].startswith("repurposed at layer 3 (p, mid): ")


def test_intervals_that_allow_two_kinds_are_undecided_and_name_both():
    found = concluded(0.95, 0.4, 0.4, 0.6, half=0.2)
    assert kinds(found)["undecided"] == (1, (0, 1))
    assert kinds(found)["repurposed"] == (0, (0, 1))
    assert kinds(found)["new"] == (0, (0, 1))
    assert kinds(found)["diffuse"] == (0, (0, 0))
    (row,) = found.tables["newness"]
    assert row["conclusion"] == "undecided"
    assert set(row["could_be"].split(", ")) == {"repurposed", "new"}
    assert "it could be repurposed or new" in row["verdict"]


def test_without_intervals_nothing_is_concluded():
    records = tuple(
        replace(record, ci=None, ci_why="4 documents; an interval needs 20")
        for record in site_records(0.95, 0.9, 0.9, 0.6)
    )
    (row,) = Newness(NewnessOptions()).run(Findings(records=records)).tables["newness"]
    assert row["conclusion"] == "undecided"
    assert "has no interval: 4 documents" in row["verdict"]


def test_identical_models_are_undefined_and_say_why():
    found = concluded(None, None, None, None)
    assert {record.value for record in found.records} == {None}
    assert all("the same activations" in record.undefined for record in found.records)
    (row,) = found.tables["newness"]
    assert row["conclusion"] == "undecided"
    assert "the same activations" in row["verdict"]


def test_rounding_is_told():
    (row,) = concluded(0.95, 0.05, 0.05, 1.2, rounding=0.9).tables["newness"]
    assert row["conclusion"] == "undecided"
    assert "the rounding of its activations may make 0.90" in row["verdict"]


def test_a_number_that_is_missing_is_named():
    everything = site_records(0.95, 0.9, 0.9, 0.6)
    for id, hint in (
        ("fvu_change.pooled@1", "add the metric fvu_change"),
        ("few_rows.fvu@1", "has no k = 1"),
    ):
        records = tuple(record for record in everything if record.id != id)
        found = Newness(NewnessOptions()).run(Findings(records=records))
        assert all(hint in record.undefined for record in found.records)
    nothing = Newness(NewnessOptions()).run(Findings())
    assert all("add the statistic few_rows" in record.undefined for record in nothing.records)


def test_numbers_of_chosen_tokens_and_of_other_pairs_are_passed_over():
    records = site_records(0.95, 0.9, 0.9, 0.6)
    filtered = tuple(replace(record, options={"cosine_below": 0.9}) for record in records)
    assert Newness(NewnessOptions()).run(Findings(records=filtered)).tables == {}
    assert Newness(NewnessOptions(pairs=("q",))).run(Findings(records=records)).tables == {}


@settings(max_examples=50)
@given(shares, shares, shares, st.floats(0, 3), st.floats(0, 0.3))
def test_one_kind_is_one_and_lies_in_its_interval(first, gain, beyond, fvu, half):
    found = concluded(first, gain, beyond, fvu, half=half)
    assert sum(record.value for record in found.records) == 1
    assert {record.axes["kind"] for record in found.records} == set(KINDS)
    for record in found.records:
        assert record.ci[0] <= record.value <= record.ci[1]


def test_limits_that_overlap_are_refused():
    with pytest.raises(ValueError, match=r"unsaid = 0\.6 must be below said = 0\.5"):
        NewnessOptions(unsaid=0.6)
