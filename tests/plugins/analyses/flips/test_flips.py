"""Profiles, overlaps and trajectories of flips, against plain formulas."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from fakes.reductions import pick
from harness.contract import Arrays, Findings, Record
from harness.errors import TaskError
from harness.results.replicates import DRAWN, interval, replicate_weights
from harness.testing import check_analysis
from harness_analyses.flips import options
from harness_analyses.flips.flip_overlap import FlipOverlap
from harness_analyses.flips.layer_profile import LayerProfile
from harness_analyses.flips.trajectory import Trajectory
from harness_statistics.flip_rate.arrays import Key

D_SAE, TOKENS = 30, 400


def kept(pair, sae, site, flips=None, *, seed=0, condition="none", documents=20, d_sae=D_SAE):
    """The arrays of one pair, SAE and site, with so many flips in each replicate."""
    rng = np.random.default_rng([seed, *map(ord, pair + sae)])
    off_on, on_off = rng.integers(0, 9, (2, d_sae))
    active = on_off + rng.integers(0, 20, d_sae)
    total = off_on.sum() + on_off.sum()
    flips = total if flips is None else flips
    weights = replicate_weights([str(one) for one in range(documents)], 0)
    share = rng.dirichlet(np.ones(documents))
    drawn = flips * weights @ share
    tokens = TOKENS * weights.mean(1)
    key = Key(pair, sae, site, condition)
    values = {
        "flips_off_on": off_on,
        "flips_on_off": on_off,
        "active": active,
        "replicated_flips": drawn,
        "replicated_tokens": tokens,
        "documents": np.array([documents]),
    }
    return {key.name(what): value for what, value in values.items()}


def findings(*parts, records=(), **more):
    arrays = {name: value for part in parts for name, value in part.items()}
    return Findings(arrays=(Arrays("flips", {}, arrays),), records=tuple(records), **more)


# ── layer_profile ──


def profile(**more):
    return LayerProfile(
        options.LayerProfileOptions.model_validate({"statistics": ["flips"], **more})
    )


PROFILES = {"safety": (60, 30, 10), "maths": (10, 20, 70), "code": (5, 5, 30)}
LAYERS = (2, 4, 5)


def profiles():
    return findings(*(
        kept(pair, f"sae{layer}", f"resid_post.{layer}", flips)
        for pair, of in PROFILES.items()
        for layer, flips in zip(LAYERS, of, strict=True)
    ))  # fmt: skip


def test_a_profile_is_normalised_and_has_a_centre():
    found = profiles()
    outcome = profile().run(found)
    for pair, of in PROFILES.items():
        for layer, flips in zip(LAYERS, of, strict=True):
            share = pick(outcome, "layer_profile.share@1", pair=pair, site=f"resid_post.{layer}")
            assert share.value == pytest.approx(flips / sum(of))
            assert share.axes["sae"] == f"sae{layer}"
            assert share.axes["injection"] == "none"
        centre = pick(outcome, "layer_profile.centre@1", pair=pair)
        expected = sum(f * layer for f, layer in zip(of, LAYERS, strict=True)) / sum(of)
        assert centre.value == pytest.approx(expected)
        assert "site" not in centre.axes
        arrays = found.arrays[0].values
        rates = np.stack([
            arrays[f"{pair}/sae{n}/resid_post.{n}/none/replicated_flips"] for n in LAYERS
        ])  # fmt: skip
        with np.errstate(invalid="ignore"):
            drawn = np.array(LAYERS) @ (rates / rates.sum(0))
        assert centre.ci is not None
        low, high = centre.ci
        assert low < np.quantile(drawn[DRAWN], 0.1)
        assert np.quantile(drawn[DRAWN], 0.9) < high
        assert centre.ci == pytest.approx(interval(drawn, 20)[0])
    rows = outcome.tables["layers"]
    assert [(r["pair"], r["layer"]) for r in rows][:3] == [("safety", n) for n in LAYERS]
    assert rows[0]["flips_per_token"] == pytest.approx(60 / TOKENS)


def test_a_group_is_compared_with_the_others():
    outcome = profile(group=["safety"]).run(profiles())
    centres = {p: pick(outcome, "layer_profile.centre@1", pair=p).value for p in PROFILES}
    difference = pick(outcome, "layer_profile.centre_difference@1", group="safety")
    expected = centres["safety"] - (centres["maths"] + centres["code"]) / 2
    assert difference.value == pytest.approx(expected)
    assert difference.value < 0
    assert difference.ci[0] < difference.value < difference.ci[1] < 0
    assert difference.n == 3


def test_the_others_may_be_named():
    outcome = profile(group=["safety"], against=["code"]).run(profiles())
    centres = {p: pick(outcome, "layer_profile.centre@1", pair=p).value for p in PROFILES}
    difference = pick(outcome, "layer_profile.centre_difference@1", against="code")
    assert difference.value == pytest.approx(centres["safety"] - centres["code"])
    assert (difference.n, difference.axes["injection"]) == (2, "none")
    for wrong in ({"group": ["a"], "against": ["a"]}, {"against": ["a"]}):
        with pytest.raises(ValidationError):
            profile(**wrong)


def test_differences_are_paired_by_draw():
    """Two tunes with the same flips differ by 0 in every draw, however wide their intervals."""
    same = [
        {name.replace("one/", f"{pair}/", 1): value for name, value in part.items()}
        for pair in ("one", "other")
        for part in (kept("one", f"s{n}", f"resid_post.{n}", 50 + n) for n in LAYERS)
    ]
    outcome = profile(group=["one"]).run(findings(*same))
    difference = pick(outcome, "layer_profile.centre_difference@1")
    assert (difference.value, difference.ci) == (0, (0, 0))
    low, high = pick(outcome, "layer_profile.centre@1", pair="one").ci
    assert high - low > 0.01


def test_profile_undefined():
    one_layer = findings(kept("a", "s", "resid_post.2", 5), kept("b", "s", "resid_post.2", 5))
    outcome = profile(group=["a"]).run(one_layer)
    assert "two layers" in pick(outcome, "layer_profile.centre@1", pair="a").undefined
    assert "two layers" in pick(outcome, "layer_profile.centre_difference@1").undefined
    nothing = findings(*(kept("a", f"s{n}", f"resid_post.{n}", 0) for n in LAYERS))
    assert "no latent flips" in pick(profile().run(nothing), "layer_profile.centre@1").undefined
    alone = profile(group=["safety", "maths", "code"]).run(profiles())
    assert "outside the group" in pick(alone, "layer_profile.centre_difference@1").undefined
    uneven = findings(
        *(kept("a", f"s{n}", f"resid_post.{n}") for n in (1, 2)),
        *(kept("b", f"s{n}", f"resid_post.{n}") for n in (1, 3)),
    )
    why = pick(profile(group=["a"]).run(uneven), "layer_profile.centre_difference@1").undefined
    assert "different layers" in why


def test_two_saes_at_a_layer_must_be_chosen_from():
    found = findings(
        *(kept("a", f"s{n}", f"resid_post.{n}") for n in LAYERS), kept("a", "wide", "resid_post.4")
    )
    with pytest.raises(TaskError, match=r"flips of s4 and of wide at layer 4.*one SAE for each"):
        profile().run(found)
    chosen = profile(saes=["s2", "wide", "s5"]).run(found)
    assert pick(chosen, "layer_profile.share@1", site="resid_post.4").axes["sae"] == "wide"


# ── flip_overlap ──


def overlap(**more):
    return FlipOverlap(options.FlipOverlapOptions.model_validate({"statistics": ["flips"], **more}))


def most(arrays, pair, top):
    flips = sum(
        arrays[f"{pair}/mid/resid_post.4/none/{w}"] for w in ("flips_off_on", "flips_on_off")
    )
    return {j for j in sorted(range(len(flips)), key=lambda j: (-flips[j], j))[:top] if flips[j]}


def test_overlaps_are_those_of_the_most_flipped_sets():
    found = findings(*(kept(p, "mid", "resid_post.4", seed=3) for p in ("a", "b", "c")))
    arrays = found.arrays[0].values
    outcome = overlap(top=8).run(found)
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        sets = [most(arrays, pair, 8) for pair in (one, other)]
        count = pick(outcome, "flip_overlap.count@1", pair=one, against=other)
        jaccard = pick(outcome, "flip_overlap.jaccard@1", pair=one, against=other)
        assert count.value == len(sets[0] & sets[1])
        assert jaccard.value == len(sets[0] & sets[1]) / len(sets[0] | sets[1])
        alive = sum(
            any(arrays[f"{p}/mid/resid_post.4/none/{w}"][j] for p in (one, other)
                for w in ("active", "flips_off_on"))
            for j in range(D_SAE)
        )  # fmt: skip
        assert count.null["value"] == pytest.approx(64 / alive)
        chance = sum(
            math.comb(8, k) * math.comb(alive - 8, 8 - k) / math.comb(alive, 8)
            for k in range(int(count.value), 9)
        )
        assert count.null["p"] == pytest.approx(chance)
        assert jaccard.null["value"] == pytest.approx(64 / alive / (16 - 64 / alive))
    assert len(outcome.tables["overlaps"]) == 3


def test_only_some_pairs_in_their_order():
    found = findings(*(kept(p, "mid", "resid_post.4") for p in ("a", "b", "c")))
    outcome = overlap(pairs=["c", "a"]).run(found)
    rows = outcome.tables["overlaps"]
    assert [(row["pair"], row["against"]) for row in rows] == [("c", "a")]


def test_equal_pairs_overlap_wholly_and_random_ones_by_chance():
    same = kept("a", "mid", "resid_post.4")
    again = {name.replace("a/", "b/", 1): value for name, value in same.items()}
    assert pick(overlap(top=10).run(findings(same, again)), "flip_overlap.jaccard@1").value == 1
    values, nulls = [], []
    for seed in range(60):
        parts = [kept(p, "mid", "resid_post.4", seed=seed) for p in ("a", "b")]
        record = pick(overlap(top=10).run(findings(*parts)), "flip_overlap.count@1")
        values.append(record.value)
        nulls.append(record.null["value"])
    error = np.std(values) / math.sqrt(60)
    assert np.mean(values) == pytest.approx(np.mean(nulls), abs=4 * error)


def test_overlap_undefined():
    nothing = kept("a", "mid", "resid_post.4")
    for what in ("flips_off_on", "flips_on_off"):
        nothing[f"a/mid/resid_post.4/none/{what}"] = np.zeros(D_SAE, dtype=np.int64)
    outcome = overlap().run(findings(nothing, kept("b", "mid", "resid_post.4")))
    assert "no latent flips in 'a'" in pick(outcome, "flip_overlap.count@1").undefined
    wider = kept("b", "mid", "resid_post.4", d_sae=40)
    outcome = overlap().run(findings(kept("a", "mid", "resid_post.4"), wider))
    assert "30 and of 40" in pick(outcome, "flip_overlap.jaccard@1").undefined


def test_only_the_condition_asked_for_and_no_categories():
    parts = [kept(p, "mid", "resid_post.4", condition="pcs.3") for p in ("a", "b")]
    assert not overlap().run(findings(*parts)).records
    outcome = overlap(condition="pcs.3").run(findings(*parts))
    assert pick(outcome, "flip_overlap.count@1").axes["k"] == 3
    arrays = findings(*parts).arrays[0].values
    by_domain = Findings(arrays=(Arrays("flips", {"domain": "law"}, arrays),))
    assert not overlap(condition="pcs.3").run(by_domain).records
    other = Findings(arrays=(Arrays("others", {}, arrays),))
    assert not overlap(condition="pcs.3").run(other).records
    with pytest.raises(ValidationError):
        overlap(condition="random.1")


# ── trajectory ──


def trajectory(pairs=("p1", "p2", "p3", "p4"), **more):
    return Trajectory(options.TrajectoryOptions.model_validate({"pairs": pairs, **more}))


def record(pair, value, at, id="cosine.raw@1", **axes):
    why = None if value is not None else "nothing"
    axes = {"pair": pair, "checkpoint": at, **axes}
    return Record(
        id, value, 10, "tokens", "cosine", ci_why="none", undefined=why, axes=axes, options={"x": 1}
    )


def test_a_series_is_followed_in_the_order_of_the_pairs():
    values = {"p1": 0.99, "p2": 0.95, "p3": 0.96, "p4": 0.8}
    records = [record(p, v, int(p[1]) * 100, site="resid_post.4") for p, v in values.items()]
    records += [record(p, 1 - v, int(p[1]) * 100, site="resid_post.2") for p, v in values.items()]
    records[3] = record("p4", 0.8, 400, site="resid_post.4", statistic="another entry")
    records += [record("p1", 0.1, 100, id="l0@1"), record("else", 0.1, 100)]
    records += [record("p1", 3.0, 100, id="flip_rate.token@1", injection="random", draw=0)]
    outcome = trajectory().run(findings(records=records[::-1]))
    change = pick(outcome, "trajectory.change@1", site="resid_post.4")
    assert change.value == pytest.approx(0.8 - 0.99)
    assert (change.unit, change.n, change.axes["of"]) == ("cosine", 4, "cosine.raw@1")
    trend = pick(outcome, "trajectory.trend@1", site="resid_post.4")
    expected = stats.spearmanr([0, 1, 2, 3], list(values.values())).statistic
    assert trend.value == pytest.approx(expected)
    assert "pair" not in change.axes
    assert "checkpoint" not in change.axes
    rows = [r for r in outcome.tables["points"] if r["series"] == "site=resid_post.4"]
    assert [(r["pair"], r["at"], r["value"]) for r in rows] == [
        (p, int(p[1]) * 100, v) for p, v in values.items()
    ]
    assert len(outcome.records) == 4


def test_trajectory_undefined():
    records = [record("p1", 0.5, 1), record("p2", None, 2), record("p3", 0.5, 3)]
    outcome = trajectory().run(findings(records=records))
    assert pick(outcome, "trajectory.change@1").value == 0
    assert "2 points" in pick(outcome, "trajectory.trend@1").undefined
    records.append(record("p4", 0.5, 4))
    outcome = trajectory().run(findings(records=records))
    assert "all values are equal" in pick(outcome, "trajectory.trend@1").undefined
    one = trajectory().run(findings(records=records[:2]))
    assert "1 of 2 points" in pick(one, "trajectory.change@1").undefined
    assert not trajectory().run(findings(records=records[:1])).records
    with pytest.raises(ValidationError, match="twice"):
        trajectory(("p1", "p1"))


# ── laws ──


class Comparable(Arrays):
    """Arrays that compare by their numbers: `check_analysis` holds findings against a copy."""

    def __eq__(self, other):
        return self.values.keys() == other.values.keys() and all(
            np.array_equal(value, other.values[name]) for name, value in self.values.items()
        )


@pytest.mark.parametrize(
    "analysis", [profile(group=["safety"]), overlap(top=5), trajectory(("safety", "maths"))]
)
def test_laws(analysis):
    records = [record("safety", 0.5, 1), record("maths", 0.6, 2)]
    arrays = Comparable("flips", {}, profiles().arrays[0].values)
    check_analysis(analysis, Findings(arrays=(arrays,), records=tuple(records)))


@pytest.mark.slow
def test_the_light_half_imports_nothing_heavy():
    code = (
        "import sys; import harness_analyses.flips.options;"
        "print(sorted({'torch', 'scipy', 'numpy'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["LayerProfileOptions", "FlipOverlapOptions", "TrajectoryOptions"])
def test_every_option_is_described(name):
    fields = getattr(options, name).model_fields.values()
    assert all(field.description for field in fields)
