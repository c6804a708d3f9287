import contextlib
import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from harness.contract import Direction, SaeFacts, Site, Undefined
from harness.errors import ModelError, TaskError
from harness.testing import check_direction
from harness_directions import nnls, options
from harness_directions.sae_features import SaeFeatures


def finder(k=4, **changes):
    given = {"target": "target", "sae": "mid", "view": "chat", "k": k}
    return SaeFeatures(options.SaeFeaturesOptions(**given | changes))


def slow_difference(world):
    """d_j token by token in Python, in float64."""
    means = []
    for prompts in (world.positive, world.negative):
        tokens = [token.astype(np.float64) for document in prompts.z for token in document]
        means.append(sum(tokens) / len(tokens))
    return means[0] - means[1]


def slow_ranking(world):
    difference = slow_difference(world)
    return sorted(
        (j for j in range(len(difference)) if difference[j] > 0), key=lambda j: (-difference[j], j)
    )


def slow_nnls(rows, target):
    """Tries every set of active rows with plain least squares: the optimum is among them."""
    best, weights = np.inf, np.zeros(len(rows))
    for size in range(len(rows) + 1):
        for support in itertools.combinations(range(len(rows)), size):
            chosen = rows[list(support)]
            solution = np.linalg.lstsq(chosen.T, target, rcond=None)[0] if size else np.zeros(0)
            error = np.sum((target - solution @ chosen) ** 2)
            if (solution >= 0).all() and error < best - 1e-12:
                best, weights = error, np.zeros(len(rows))
                weights[list(support)] = solution
    return weights


def record(found, name):
    return next(record for record in found.records if record.id == name)


# ── The fit ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(6))
def test_the_fit_is_the_best_of_all_supports(seed):
    rng = np.random.default_rng(seed)
    rows, target = rng.normal(size=(6, 9)) * 10.0 ** rng.uniform(-3, 3, (6, 1)), rng.normal(size=9)
    expected = slow_nnls(rows, target)
    fit = nnls.fit(rows, target)
    np.testing.assert_allclose(fit.weights, expected, rtol=1e-8, atol=1e-10)
    residual = target - expected @ rows
    assert fit.nmse == pytest.approx(residual @ residual / (target @ target), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    k=st.integers(1, 30),
    d=st.integers(2, 40),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_at_the_optimum_cosine_and_error_are_one_number(seed, k, d, scale):
    rng = np.random.default_rng(seed)
    rows, target = rng.normal(size=(k, d)), scale * rng.normal(size=d)
    fit = nnls.fit(rows, target)
    assert (fit.weights >= 0).all()
    assert -1e-12 <= fit.nmse <= 1 + 1e-12
    if fit.cosine is None:
        assert fit.nmse == pytest.approx(1)
        assert (rows @ target <= 1e-9 * scale).all()
    else:
        assert fit.cosine**2 == pytest.approx(1 - fit.nmse, abs=1e-6)
        reached = np.linalg.norm(fit.vector)
        assert reached == pytest.approx(fit.cosine * np.linalg.norm(target), rel=1e-6)


def test_equal_rows_and_empty_rows_do_no_harm():
    target = np.array([1.0, 2.0, 0.0])
    rows = np.array([[1.0, 0, 0], [1.0, 0, 0], [0, 0, 0], [0, 2.0, 0], [0, 2.0, 0]])
    fit = nnls.fit(rows, target)
    np.testing.assert_allclose(fit.vector, target, atol=1e-12)
    assert fit.nmse == pytest.approx(0, abs=1e-20)


def test_a_target_of_length_zero_is_an_error():
    with pytest.raises(ValueError, match="length 0"):
        nnls.fit(np.eye(2), np.zeros(2))


# ── The direction ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tokens", [1, 5])
def test_features_weights_and_vector_are_the_slow_ones(make_world, run, seed, tokens):
    world = make_world(seed, tokens=tokens)
    outcome = run(finder(k=5), world.batches(size=2), world.inputs())
    (found,) = outcome.directions
    expected = slow_ranking(world)[:5]
    assert list(found.direction.features) == expected
    weights = slow_nnls(world.decoder[expected], world.target.vectors[0])
    np.testing.assert_allclose(found.direction.weights, weights, rtol=1e-7, atol=1e-10)
    vector = sum(c * world.decoder[j] for c, j in zip(weights, expected, strict=True))
    np.testing.assert_allclose(found.direction.vectors[0], vector, rtol=1e-7)
    assert found.direction.vectors.dtype == np.float64
    assert found.direction.sae == "mid"
    assert found.direction.site == Site("resid_post", 3)
    assert found.direction.reference_norm == pytest.approx(np.linalg.norm(world.target.vectors))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_laws(make_world, seed):
    world = make_world(seed, tokens=4)
    for k in (1, 6, 39):  # the last is more than are positive
        check_direction(finder(k), world.batches(size=4), world.inputs())


def test_records_say_how_good_the_fit_is(make_world, run):
    world = make_world()
    outcome = run(finder(k=6), world.batches(), world.inputs())
    (found,) = outcome.directions
    r, rebuilt = world.target.vectors[0], found.direction.vectors[0]
    nmse, cosine = record(found, "direction.nmse@1"), record(found, "direction.cosine@1")
    assert nmse.value == pytest.approx(np.sum((r - rebuilt) ** 2) / np.sum(r**2), rel=1e-9)
    assert cosine.value == pytest.approx(
        r @ rebuilt / np.linalg.norm(r) / np.linalg.norm(rebuilt), rel=1e-9
    )
    assert cosine.value**2 == pytest.approx(1 - nmse.value, abs=1e-6)
    for one in (nmse, cosine):
        assert (one.n, one.n_of, one.unit, one.ci) == (16, "prompts", "ratio", None)
        assert one.ci_why
        assert dict(one.axes) == {"view": "chat", "sae": "mid", "site": "resid_post.3", "k": 6}


def test_more_features_never_fit_worse(make_world, run):
    world = make_world(seed=2, d=30, d_sae=80)
    errors, chosen, counts = [], [], []
    for k in range(1, len(slow_ranking(world)) + 1):
        outcome = run(finder(k), world.batches(), world.inputs())
        (found,) = outcome.directions
        errors.append(record(found, "direction.nmse@1").value)
        chosen.append(found.direction.features if isinstance(found.direction, Direction) else ())
        counts.append(outcome.records)
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(errors))
    known = [features for features in chosen if features]
    assert all(b[: len(a)] == a for a, b in itertools.pairwise(known))
    # The instances of a sweep share one record: the core keeps it once.
    assert all(records == counts[0] for records in counts)


def test_positive_latents_are_counted_once(make_world, run):
    world = make_world()
    outcome = run(finder(k=3), world.batches(), world.inputs())
    (count,) = outcome.records
    assert count.id == "positive_latents@1"
    assert count.value == len(slow_ranking(world))
    assert (count.n, count.n_of, count.unit) == (16, "prompts", "latents")
    assert "k" not in count.axes


def test_fewer_positive_latents_than_k_is_undefined_and_says_how_many(make_world, run):
    world = make_world()
    available = len(slow_ranking(world))
    outcome = run(finder(k=available + 1), world.batches(), world.inputs())
    (found,) = outcome.directions
    assert isinstance(found.direction, Undefined)
    assert f"only {available} of 40 latents" in found.direction.reason
    assert {one.value for one in found.records} == {None}
    assert {one.undefined for one in found.records} == {found.direction.reason}
    assert outcome.records[0].value == available
    (enough,) = run(finder(k=available), world.batches(), world.inputs()).directions
    assert isinstance(enough.direction, Direction)


def test_ties_go_by_index_and_equal_means_are_not_positive(make_world, run):
    world = make_world(n=(3, 5))
    for prompts, values in ((world.positive, {7: 0.3, 3: 0.3, 9: 0.1}), (world.negative, {9: 0.1})):
        prompts.z[:] = [np.zeros_like(z) for z in prompts.z]
        for z in prompts.z:
            for j, value in values.items():
                z[:, j] = value
    for size in (1, 2, None):
        outcome = run(finder(k=2), world.batches(size), world.inputs())
        assert outcome.records[0].value == 2
        rows = outcome.tables["features"]
        assert [row["feature"] for row in rows] == [3, 7]


def test_no_feature_that_points_towards_the_target_is_undefined(make_world, run):
    world = make_world()
    first = slow_ranking(world)[0]
    target = Direction(Site("resid_post", 3), -world.decoder[first][None])
    (found,) = run(finder(k=1), world.batches(), world.inputs(target=target)).directions
    assert isinstance(found.direction, Undefined)
    assert "every weight is 0" in found.direction.reason
    for id in ("direction.nmse@1", "direction.cosine@1"):
        assert record(found, id).value is None
        assert "every weight is 0" in record(found, id).undefined


def test_the_table_has_the_features_best_first(make_world, run):
    world = make_world(tokens=3)
    outcome = run(finder(k=4), world.batches(), world.inputs())
    (found,) = outcome.directions
    rows, difference = outcome.tables["features"], slow_difference(world)
    assert [row["rank"] for row in rows] == [1, 2, 3, 4]
    assert tuple(row["feature"] for row in rows) == found.direction.features
    assert tuple(row["weight"] for row in rows) == found.direction.weights
    for row in rows:
        j = row["feature"]
        assert row["difference"] == pytest.approx(difference[j])
        tokens = np.concatenate(world.positive.z)[:, j]
        assert row["positive_active"] == pytest.approx(np.mean(tokens != 0))
        assert row["positive_mean"] == pytest.approx(tokens.astype(np.float64).mean())


@pytest.mark.parametrize("missing", ["positive", "negative"])
def test_a_class_without_prompts_is_undefined(make_world, run, missing):
    world = make_world()
    batches = [batch for batch in world.batches() if batch.stream != missing]
    outcome = run(finder(), batches, world.inputs())
    (found,) = outcome.directions
    assert isinstance(found.direction, Undefined)
    assert missing in found.direction.reason
    assert outcome.records[0].value is None


# ── Its target and its SAE ───────────────────────────────────────────────────────────────────────


def test_an_undefined_target_is_handed_on(make_world, run):
    world = make_world()
    outcome = run(finder(), world.batches(), world.inputs(target=Undefined("it was zero")))
    (found,) = outcome.directions
    assert isinstance(found.direction, Undefined)
    assert "it was zero" in found.direction.reason
    assert outcome.records[0].value == len(slow_ranking(world))
    assert [row["weight"] for row in outcome.tables["features"]] == [None] * 4


def test_a_target_of_several_vectors_is_an_error(make_world, run):
    world = make_world()
    target = Direction(Site("resid_post", 3), np.eye(12)[:2])
    with pytest.raises(TaskError, match="2 vectors"):
        run(finder(), world.batches(), world.inputs(target=target))


def test_an_sae_of_another_site_is_an_error(make_world, run):
    world = make_world()
    target = Direction(Site("resid_post", 4), world.target.vectors)
    with pytest.raises(ModelError, match=r"live at resid_post\.3.*resid_post\.4"):
        run(finder(), world.batches(), world.inputs(target=target))


def test_the_input_of_the_next_block_is_the_same_place(make_world, run):
    world = make_world()
    target = Direction(Site("resid_pre", 4), world.target.vectors)
    (found,) = run(finder(), world.batches(), world.inputs(target=target)).directions
    assert found.direction.site == Site("resid_pre", 4)


def test_a_transcoder_is_compared_where_it_writes(make_world, run):
    world = make_world()
    inputs = world.inputs(target=Direction(Site("mlp_out", 3), world.target.vectors))
    inputs.saes["mid"].facts = SaeFacts(site=Site("mlp_in", 3), site_out=Site("mlp_out", 3))
    (found,) = run(finder(), world.batches(), inputs).directions
    assert found.direction.site == Site("mlp_out", 3)


def test_an_sae_of_another_width_is_an_error(make_world, run):
    world = make_world()
    target = Direction(Site("resid_post", 3), np.ones((1, 5)))
    with pytest.raises(ModelError, match=r"12 numbers.*5"):
        run(finder(), world.batches(), world.inputs(target=target))


# ── Overlap ──────────────────────────────────────────────────────────────────────────────────────


def test_overlap_counts_the_features_in_common(make_world, run):
    world, other = make_world(seed=1), make_world(seed=5)
    (base,) = run(finder(k=8), other.batches(), world.inputs()).directions
    (found,) = run(
        finder(k=8, against="base"), world.batches(), world.inputs(base=base.direction)
    ).directions
    overlap = record(found, "feature_overlap.topk@1")
    assert overlap.value == len(set(slow_ranking(world)[:8]) & set(slow_ranking(other)[:8]))
    assert (overlap.n, overlap.unit, dict(overlap.options)) == (8, "latents", {"k": 8})
    assert overlap.axes["against"] == "base"
    assert overlap.null["value"] == pytest.approx(8 * 8 / 40)


def test_overlap_with_itself_is_k(make_world, run):
    world = make_world()
    (base,) = run(finder(k=5), world.batches(), world.inputs()).directions
    inputs = world.inputs(base=base.direction)
    (found,) = run(finder(k=5, against="base"), world.batches(), inputs).directions
    assert record(found, "feature_overlap.topk@1").value == 5


def test_overlap_with_what_is_undefined_is_undefined(make_world, run):
    world = make_world()
    inputs = world.inputs(base=Undefined("too few"))
    (found,) = run(finder(k=5, against="base"), world.batches(), inputs).directions
    overlap = record(found, "feature_overlap.topk@1")
    assert overlap.value is None
    assert "too few" in overlap.undefined


def test_overlap_of_what_is_undefined_is_undefined(make_world, run):
    world = make_world()
    (base,) = run(finder(k=39), world.batches(), world.inputs()).directions
    inputs = world.inputs(base=base.direction)
    (found,) = run(finder(k=39, against="base"), world.batches(), inputs).directions
    assert "latents have a positive difference" in record(found, "feature_overlap.topk@1").undefined


@pytest.mark.parametrize("k", [3, None])
def test_overlap_with_another_k_or_without_features_is_an_error(make_world, run, k):
    world = make_world()
    base = world.target
    if k:
        (found,) = run(finder(k=k), world.batches(), world.inputs()).directions
        base = found.direction
    with pytest.raises(TaskError, match="same sweep"):
        run(finder(k=5, against="base"), world.batches(), world.inputs(base=base))


# ── What it reads ────────────────────────────────────────────────────────────────────────────────


def means(**changes):
    given = {"view": "chat", "site": "resid_post.3", "positive": "harmful", "negative": "harmless"}
    return options.DifferenceInMeansOptions(**given | changes)


def test_it_reads_the_data_of_its_target(make_task):
    task = make_task(target=means(tokens="all"), other=finder().options)
    for target in ("target", "other"):  # also through a chain of targets
        reads = finder(target=target, view="base").options.reads(task)
        assert [(s.name, s.view, s.data, s.tokens) for s in reads.streams] == [
            ("positive", "base", "harmful", "all"),
            ("negative", "base", "harmless", "all"),
        ]
        assert (reads.saes, reads.finish, reads.start) == (("mid",), (target,), ())


def test_its_own_data_come_first(make_task):
    own = finder(positive="a", negative="b", tokens="last", against="base").options
    reads = own.reads(make_task(target=means(tokens="all")))
    assert [(s.data, s.tokens) for s in reads.streams] == [("a", "last"), ("b", "last")]
    assert reads.finish == ("target", "base")


def test_a_target_without_data_is_a_problem_of_the_task(make_task):
    feature = options.FeatureOptions(sae="mid", index=0)
    with pytest.raises(TaskError, match="positive: is missing"):
        finder().options.reads(make_task(target=feature))


def test_a_cycle_of_targets_ends(make_task):
    with pytest.raises(TaskError):
        finder().options.reads(make_task(target=finder().options))


def test_more_features_than_the_sae_has_are_told_before_a_run(make_task):
    """CASES row 27: `k` above `d_sae` passed `check` and came out undefined."""
    task = make_task(target=means())
    for k, d_sae, wrong in ((6, 6, False), (7, 6, True), (7, None, False)):
        asked = dataclasses.replace(task, d_sae=d_sae)
        refused = pytest.raises(TaskError, match=r"k: is 7, .* 6 features. Allowed: 1 to 6")
        with refused if wrong else contextlib.nullcontext():
            finder(k=k).options.reads(asked)
    feature = options.FeatureOptions(sae="mid", index=6)
    feature.reads(dataclasses.replace(task, d_sae=7))
    with pytest.raises(TaskError, match=r"index: is 6, .* Allowed: 0 to 5"):
        feature.reads(dataclasses.replace(task, d_sae=6))
