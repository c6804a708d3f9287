"""STS against the paper's formulas written out in float64, and what it says where it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError
from scipy import stats

from fakes.reductions import pick
from harness.contract import Arrays, Findings, Outcome, Record
from harness.errors import DataError
from harness_analyses.transfer.dimensions import change, concentration, overlap, ranked
from harness_analyses.transfer.moments import Moments, jackknife, moments
from harness_analyses.transfer.options import StsOptions as Given
from harness_analyses.transfer.sts import Sts

DOMAINS = ["computer science", "law", "math"]
WIDTH, D, GROUPS = 40, 12, 5


class Tokens:
    """Latents and activations of some tokens, before and after, in 20 documents."""

    def __init__(self, seed: int, n: int = 200, scale: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        self.document = np.arange(n) % 20
        self.z = [np.maximum(rng.normal(size=(n, WIDTH)) * scale - 0.5, 0) for _ in range(2)]
        self.x = [rng.normal(size=(n, D)) + rng.normal(size=D) for _ in range(2)]

    def arrays(self, statistic: str, domain: str | None = None, **axes: Any) -> Arrays:
        """What `latent_moments` keeps of them."""
        at = axes if domain is None else {**axes, "domain": domain}
        return Arrays(statistic, at, self.values())

    def values(self, *, paired: bool = True) -> dict[str, np.ndarray]:
        of = self.document % GROUPS
        values: dict[str, np.ndarray] = {
            "tokens": np.bincount(of, minlength=GROUPS),
            "documents": np.bincount(np.arange(20) % GROUPS, minlength=GROUPS),
        }
        for prefix, (left, right) in {"": self.z, "raw_": self.x}.items():
            parts = {"left_sum": left, "left_square": left**2}
            if paired:
                parts |= {
                    "right_sum": right, "right_square": right**2,
                    "change_square": (right - left) ** 2,
                }  # fmt: skip
            for name, array in parts.items():
                values[prefix + name] = np.array([array[of == g].sum(0) for g in range(GROUPS)])
        return values


def findings(**more: Arrays) -> tuple[dict[str, Tokens], Findings]:
    """Training data, a tuned model and three domains."""
    seen = {"limo": Tokens(0), "tuned": Tokens(1)}
    seen |= {name: Tokens(2 + i, 100 + 20 * i, 1 + i) for i, name in enumerate(DOMAINS)}
    kept = [seen["limo"].arrays("shift"), seen["tuned"].arrays("tuned")]
    kept += [seen[name].arrays("domains", name) for name in DOMAINS]
    kept += [seen[name].arrays("after", name) for name in DOMAINS]
    kept += [Tokens(99).arrays("domains"), Tokens(99).arrays("after")]
    return seen, Findings(arrays=tuple(kept))


def sts(found: Findings, **more: Any) -> Outcome:
    options = {"shift": "shift", "domains": "domains", "ranks": [0, 7], **more}
    return Sts(Given.model_validate(options)).run(found)


def one(outcome: Outcome, id: str, **axes: Any) -> Record:
    return pick(outcome, f"{id}@1", **axes)


def largest(values: np.ndarray, first: int, end: int) -> list[int]:
    return sorted(range(len(values)), key=lambda j: (-values[j], j))[first:end]


# ── The formulas ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mode", ["aligned", "pooled"])
@pytest.mark.parametrize("ranks", [[0, 7], [3, 10]])
@pytest.mark.parametrize("power", [1, 2])
def test_scores_are_the_papers(mode: str, ranks: list[int], power: int) -> None:
    seen, found = findings()
    outcome = sts(found, mode=mode, ranks=ranks, power=power)

    def moved(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        if mode == "aligned":
            return ((right - left) ** 2).mean(0)
        return (right.mean(0) - left.mean(0)) ** 2

    limo = seen["limo"]
    chosen = largest(moved(*limo.z), *ranks)
    raw = largest(moved(*limo.x), *ranks)
    share = moved(*limo.z)[chosen].sum() / moved(*limo.z).sum()
    got = one(outcome, "shift.concentration", space="latents")
    assert got.value == pytest.approx(share, rel=1e-12)
    assert got.null == {"kind": "random dimensions", "value": len(chosen) / WIDTH}
    for name in DOMAINS:
        left, right = seen[name].z
        act = one(outcome, "sts.act", domain=name)
        assert act.value == pytest.approx((left[:, chosen] ** power).sum(1).mean(), rel=1e-12)
        assert (act.n, act.clusters) == (len(left), 20)
        icl = one(outcome, "sts.icl", domain=name)
        assert icl.value == pytest.approx(moved(left, right)[chosen].sum(), rel=1e-12)
        control = one(outcome, "sts.baseline.raw_activation", domain=name)
        expected = (seen[name].x[0][:, raw] ** power).sum(1).mean()
        assert control.value == pytest.approx(expected, rel=1e-12)
    rows = [row for row in outcome.tables["dimensions"] if row["space"] == "latents"]
    assert [row["dimension"] for row in rows] == chosen
    assert [row["rank"] for row in rows] == list(range(*ranks))
    assert sum(row["share"] for row in rows) == pytest.approx(share)


def test_overlap_with_what_the_tuned_model_shifted() -> None:
    seen, found = findings()
    outcome = sts(found, tuned="tuned")
    for space, width in (("latents", WIDTH), ("raw", D)):
        sides = [seen[n].z if space == "latents" else seen[n].x for n in ("limo", "tuned")]
        tops = [set(largest(((r - left) ** 2).mean(0), 0, 7)) for left, r in sides]
        got = one(outcome, "shift.overlap", space=space)
        assert got.value == len(tops[0] & tops[1]) / 7
        assert got.null == {"kind": "random dimensions", "value": 7 / width}
        assert got.axes == {"shift": "shift", "space": space, "against": "tuned"}


def test_baselines_look_at_means() -> None:
    seen, found = findings()
    outcome = sts(found, tuned_domains="after")

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.sqrt((a @ a) * (b @ b)))

    for name in DOMAINS:
        left, right = (x.mean(0) for x in seen[name].x)
        near = one(outcome, "sts.baseline.domain_similarity", domain=name).value
        assert near == pytest.approx(cosine(left, seen["limo"].x[0].mean(0)))
        same = one(outcome, "sts.baseline.pre_post_similarity", domain=name).value
        assert same == pytest.approx(cosine(left, right))


def test_rows_that_are_not_aligned_choose_by_variance() -> None:
    """Why `aligned` is the default: the notebook's choice does not see the context at all."""
    rng = np.random.default_rng(0)
    spread = np.array([1.0, 1.0, 5.0, 1.0])
    base = rng.normal(size=(4000, 4)) * spread
    context = base + np.array([0.0, 2.0, 0.0, 0.0])
    shuffled = np.square(rng.permutation(context) - base).sum(0)
    assert ranked(shuffled, 0, 1).tolist() == [2]
    parts = {"change_square": ((context - base) ** 2).sum(0, keepdims=True)}
    sums = Moments(np.array([4000]), np.array([9]), parts)
    assert ranked(change(sums, "aligned"), 0, 1).tolist() == [1]


# ── Parts ────────────────────────────────────────────────────────────────────────────────────────


def test_only_what_changed_has_a_rank() -> None:
    moved = np.array([0.0, 2.0, 2.0, 0.0, 5.0])
    assert ranked(moved, 0, 100).tolist() == [4, 1, 2]
    assert ranked(moved, 1, 2).tolist() == [1]
    assert ranked(moved, 3, 5).tolist() == []
    assert overlap(np.array([1, 2, 3]), np.array([3, 4, 1]), 3) == 2 / 3
    assert concentration(moved, np.array([4])) == 5 / 9
    assert np.isnan(concentration(np.zeros(3), np.array([0])))


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(8)), st.integers(1, 8))
def test_a_range_of_ranks_is_a_part_of_a_longer_one(order: list[int], cut: int) -> None:
    moved = np.array(order, float) + 1
    joined = [*ranked(moved, 0, cut).tolist(), *ranked(moved, cut, 8).tolist()]
    assert joined == ranked(moved, 0, 8).tolist()


def test_intervals_cover_the_truth() -> None:
    """Of 400 samples of documents, about 95% have an interval around the true mean."""
    rng = np.random.default_rng(2)
    inside = 0
    for _ in range(400):
        level = rng.normal(3.0, 1.0, size=60)  # documents differ; tokens within one do not count
        tokens = rng.integers(1, 9, size=60)
        group = rng.integers(0, 10, size=60)
        counts = np.bincount(group, tokens, minlength=10).astype(int)
        sums = np.bincount(group, level * tokens, minlength=10)[:, None]
        documents = np.bincount(group, minlength=10)
        made = Moments(counts, documents, {"left_sum": sums})
        ci, _ = jackknife(made, lambda of: float(of.mean("left_sum")[0]))
        assert ci is not None
        inside += ci[0] <= 3.0 <= ci[1]
    assert 0.91 < inside / 400 < 0.985


def test_the_jackknife_of_equal_groups_is_students_interval() -> None:
    values = np.array([1.0, 4.0, 2.0, 8.0])
    made = Moments(np.full(4, 10), np.full(4, 5), {"s": 10 * values[:, None]})
    ci, _ = jackknife(made, lambda of: float(of.mean("s")[0]))
    expected = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert ci == pytest.approx(expected)


def test_too_few_documents_have_no_interval() -> None:
    made = Moments(np.array([10, 10]), np.array([9, 10]), {"s": np.ones((2, 1))})
    assert jackknife(made, lambda of: 0.0) == (None, "19 documents; an interval needs 20")
    whole = Moments(np.array([10]), np.array([50]), {"s": np.ones((1, 1))})
    assert "set its groups" in str(jackknife(whole, lambda of: 0.0)[1])


# ── Where it cannot ──────────────────────────────────────────────────────────────────────────────


def with_arrays(found: Findings, *more: Arrays, without: str = "") -> Findings:
    kept = [one for one in found.arrays if one.statistic != without]
    return Findings(arrays=(*kept, *more))


def test_a_domain_without_a_token_is_undefined() -> None:
    _, found = findings()
    none = {name: np.zeros(GROUPS, np.int64) for name in ("tokens", "documents")}
    outcome = sts(with_arrays(found, Arrays("domains", {"domain": "empty"}, none)))
    for id in ("sts.act", "sts.icl", "sts.baseline.raw_activation"):
        record = one(outcome, id, domain="empty")
        assert record.undefined == "no token of the domain was measured"
    assert one(outcome, "sts.act", domain="law").value is not None


def test_domains_that_are_no_pair_have_no_icl() -> None:
    seen, found = findings()
    alone = [Arrays("domains", {"domain": n}, seen[n].values(paired=False)) for n in DOMAINS]
    outcome = sts(with_arrays(found, *alone, without="domains"))
    why = one(outcome, "sts.icl", domain="law").undefined
    assert why == "domains measures a view by itself, without solved examples"
    assert one(outcome, "sts.act", domain="law").value is not None


def test_nothing_changed() -> None:
    seen, found = findings()
    values = {**seen["limo"].values()}
    values["change_square"] = np.zeros_like(values["change_square"])
    outcome = sts(with_arrays(found, Arrays("shift", {}, values), without="shift"), tuned="tuned")
    assert one(outcome, "shift.concentration", space="latents").undefined == "nothing changed"
    assert one(outcome, "shift.overlap", space="latents").undefined == "nothing changed"
    why = one(outcome, "sts.act", domain="law").undefined
    assert why == "only 0 dimensions changed, so none has one of the ranks"


def test_variants_of_a_sweep_are_matched() -> None:
    kept = []
    for sae in ("narrow", "wide"):
        kept.append(Tokens(len(sae)).arrays("shift", sae=sae))
        kept.append(Tokens(7).arrays("domains", "law", sae=sae))
    outcome = sts(Findings(arrays=tuple(kept)))
    values = {r.axes["sae"]: r.value for r in outcome.records if r.id == "sts.act@1"}
    assert values.keys() == {"narrow", "wide"}
    assert values["narrow"] != values["wide"]
    with pytest.raises(DataError, match=r"has 2 variants and none for \{'sae': 'third'\}"):
        sts(Findings(arrays=(*kept[::2], Tokens(7).arrays("domains", "law", sae="third"))))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"shift": "alone"}, "statistics.alone: measures a view by itself, so nothing changes"),
        ({"shift": "none"}, "statistics.none: measured no token"),
        ({"shift": "other"}, "statistics.other: kept counts. Allowed here: a statistic with"),
        ({"domains": "shift"}, "statistics.shift: has no categories. Allowed: data with `by`"),
    ],
)
def test_statistics_that_do_not_fit(change: dict[str, str], what: str) -> None:
    seen, found = findings()
    none = {name: np.zeros(GROUPS, np.int64) for name in ("tokens", "documents")}
    more = (
        Arrays("alone", {}, seen["limo"].values(paired=False)),
        Arrays("none", {}, none),
        Arrays("other", {}, {"counts": np.ones(3)}),
    )
    with pytest.raises(DataError) as caught:
        sts(with_arrays(found, *more), **change)
    assert what in str(caught.value)


def test_nothing_found_nothing_raised() -> None:
    (record,) = sts(Findings()).records
    assert record.undefined == "statistics.shift kept no arrays"


@pytest.mark.parametrize(
    ("more", "ranks"),
    [({"dimensions": 7}, [0, 7]), ({"dimensions": 4, "first": 3}, [3, 7])],
    ids=["first ones", "window"],
)
def test_how_many_dimensions_is_a_range_of_ranks(more: dict[str, int], ranks: list[int]) -> None:
    given = {"shift": "shift", "domains": "domains"}
    short, long = (Given.model_validate({**given, **one}) for one in (more, {"ranks": ranks}))
    assert short.ranks == long.ranks
    assert short.model_dump() == long.model_dump()  # the numbers are the same ones


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"dimensions": 7, "ranks": [0, 7]}, "give ranks or dimensions, not both"),
        ({"first": 7}, "give dimensions, which is its length"),
        ({"dimensions": 0}, "greater than or equal to 1"),
        ({"dimensions": "x"}, "valid integer"),
        ({"dimensions": 3, "first": -1}, "greater than or equal to 0"),
    ],
    ids=["both", "no length", "none", "text", "negative"],
)
def test_dimensions_that_make_no_sense(more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Given.model_validate({"shift": "shift", "domains": "domains", **more})


@pytest.mark.parametrize("ranks", [[5, 5], [-1, 3], [9, 2]])
def test_ranks_are_a_range(ranks: list[int]) -> None:
    with pytest.raises(ValidationError, match="allowed: 0 <= first < end"):
        Given(shift="a", domains="b", ranks=tuple(ranks))


def test_raw_and_latent_sums_are_told_apart() -> None:
    arrays = Tokens(0).arrays("shift")
    assert moments(arrays, "latents").mean("left_sum").shape == (WIDTH,)
    assert moments(arrays, "raw").mean("left_sum").shape == (D,)
