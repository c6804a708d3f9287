import numpy as np
import pytest

from harness.contract import Direction, Inputs, SaeFacts, Site, Undefined
from harness.errors import ModelError
from harness.testing import check_direction
from harness_directions import nnls, options
from harness_directions.feature import Feature
from harness_directions.random_features import RandomFeatures
from harness_directions.random_vectors import RandomVectors

SITE = Site("resid_post", 3)

# ── Random vectors ───────────────────────────────────────────────────────────────────────────────


def vectors(draws=5, like="target"):
    return RandomVectors(options.RandomVectorsOptions(like=like, draws=draws))


def drawn(reduction, inputs):
    return [found.direction for found in reduction.finish({}, inputs).directions]


@pytest.mark.parametrize("rank", [1, 3])
def test_random_vectors_keep_every_length(make_world, rank):
    target = Direction(SITE, np.random.default_rng(1).normal(size=(rank, 12)) * 7)
    directions = drawn(vectors(4), make_world().inputs(target=target))
    assert len(directions) == 4
    for direction in directions:
        assert direction.vectors.shape == (rank, 12)
        assert direction.vectors.dtype == np.float64
        assert direction.site == SITE
        np.testing.assert_allclose(
            np.linalg.norm(direction.vectors, axis=1), np.linalg.norm(target.vectors, axis=1)
        )


def test_random_vectors_point_everywhere():
    target = Direction(SITE, np.eye(1, 64) * 3)
    directions = drawn(vectors(2000), Inputs({"target": target}))
    units = np.concatenate([direction.vectors for direction in directions]) / 3
    # Cosines with a fixed direction have mean 0 and variance 1/d; the mean of squares has a
    # standard error of about sqrt(2/n)/d.
    assert abs(units.mean(0)).max() < 5 * np.sqrt(1 / 64 / 2000)
    np.testing.assert_allclose((units**2).mean(0), 1 / 64, rtol=5 * np.sqrt(2 / 2000))


def test_random_vectors_depend_on_seed_and_draw_alone(make_world):
    inputs = make_world().inputs()
    five, two = drawn(vectors(5), inputs), drawn(vectors(2), inputs)
    for a, b in zip(five, two, strict=False):
        np.testing.assert_array_equal(a.vectors, b.vectors)
    renamed = Inputs({"other": inputs.directions["target"]})
    np.testing.assert_array_equal(
        drawn(vectors(1, like="other"), renamed)[0].vectors, five[0].vectors
    )
    assert len({direction.vectors.tobytes() for direction in five}) == 5
    elsewhere = drawn(vectors(1), make_world().inputs(seed=1))[0]
    assert not np.array_equal(elsewhere.vectors, five[0].vectors)
    drawn(vectors(1), make_world().inputs(seed=-1))  # any integer is a seed


def test_a_random_vector_imitates_what_its_model_imitates(make_world):
    world = make_world()
    raw = drawn(vectors(1), world.inputs())[0]
    assert raw.reference_norm == pytest.approx(np.linalg.norm(world.target.vectors))
    rebuilt = Direction(SITE, world.target.vectors, reference_norm=99.0)
    assert drawn(vectors(1), world.inputs(target=rebuilt))[0].reference_norm == 99.0


def test_random_vectors_like_what_is_undefined(make_world):
    directions = drawn(vectors(3), make_world().inputs(target=Undefined("zero")))
    assert len(directions) == 3
    assert all("zero" in direction.reason for direction in directions)


def test_random_vectors_keep_the_laws(make_world):
    reduction = vectors(3)
    variants = reduction.options.variants()
    assert list(variants) == [{"draw": 0}, {"draw": 1}, {"draw": 2}]
    check_direction(reduction, [], make_world().inputs(), variants=variants)


def test_random_vectors_read_no_activation(make_task):
    reads = vectors().options.reads(make_task())
    assert (reads.streams, reads.finish) == ((), ("target",))


# ── Random features ──────────────────────────────────────────────────────────────────────────────


def features(k=4, draws=3, **changes):
    given = {"target": "target", "sae": "mid", "view": "chat", "k": k, "draws": draws}
    return RandomFeatures(options.RandomFeaturesOptions(**given | changes))


def positive(world, size=None):
    return [batch for batch in world.batches(size) if batch.stream == "positive"]


def active(world):
    return set(np.flatnonzero((np.concatenate(world.positive.z) != 0).any(0)).tolist())


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_random_features_keep_the_laws(make_world, seed):
    world = make_world(seed, tokens=3)
    for k in (1, 5, 41):
        reduction = features(k)
        variants = reduction.options.variants()
        check_direction(reduction, positive(world, 2), world.inputs(), variants=variants)


def test_random_features_are_active_on_the_positive_prompts(make_world, run):
    world = make_world(n=(2, 7))
    pool = active(world)
    assert len(pool) < 40
    outcome = run(features(k=6, draws=30), positive(world), world.inputs())
    seen = {j for found in outcome.directions for j in getattr(found.direction, "features", ())}
    assert seen == pool
    (count,) = outcome.records
    assert (count.id, count.value, count.n) == ("active_latents@1", len(pool), 2)


def test_random_features_are_fitted_as_the_chosen_ones_are(make_world, run):
    world = make_world()
    for found in run(features(), positive(world), world.inputs()).directions:
        direction, records = found.direction, found.records
        assert len(set(direction.features)) == 4
        fit = nnls.fit(world.decoder[list(direction.features)], world.target.vectors[0])
        np.testing.assert_allclose(direction.vectors[0], fit.vector)
        assert [record.id for record in records] == ["direction.nmse@1", "direction.cosine@1"]
        assert [record.value for record in records] == pytest.approx([fit.nmse, fit.cosine])
        assert direction.reference_norm == pytest.approx(np.linalg.norm(world.target.vectors))


def test_random_features_are_nested_in_k_and_differ_between_draws(make_world, run):
    world = make_world()
    few, many = (
        run(features(k), positive(world), world.inputs()).tables["features"] for k in (3, 8)
    )
    for draw in range(3):
        chosen = [[row["feature"] for row in rows if row["draw"] == draw] for rows in (few, many)]
        assert chosen[1][:3] == chosen[0]
    assert len({tuple(r["feature"] for r in many if r["draw"] == i) for i in range(3)}) == 3


def test_too_few_active_latents_are_undefined(make_world, run):
    world = make_world(n=(1, 1))
    available = len(active(world))
    outcome = run(features(k=available + 1), positive(world), world.inputs())
    for found in outcome.directions:
        assert f"only {available} latents" in found.direction.reason
        assert all(record.undefined for record in found.records)
    assert outcome.tables["features"] == []


def test_random_features_of_an_undefined_target(make_world, run):
    world = make_world()
    outcome = run(features(), positive(world), world.inputs(target=Undefined("zero")))
    assert all("zero" in found.direction.reason for found in outcome.directions)


def test_random_features_read_only_the_positive_prompts(make_task):
    own = features(positive="harmful").options
    target = options.FeatureOptions(sae="mid", index=0)
    reads = own.reads(make_task(target=target))
    assert [(s.name, s.data, s.tokens) for s in reads.streams] == [("positive", "harmful", "last")]
    assert (reads.saes, reads.finish) == (("mid",), ("target",))


# ── One feature ──────────────────────────────────────────────────────────────────────────────────


def feature(index=3, **changes):
    return Feature(options.FeatureOptions(sae="mid", index=index, **changes))


@pytest.mark.parametrize("scale", [1.0, -2.5])
def test_a_feature_is_its_decoder_row(make_world, scale):
    world = make_world()
    (direction,) = drawn(feature(scale=scale), world.inputs())
    np.testing.assert_allclose(direction.vectors, scale * world.decoder[3][None], rtol=1e-7)
    assert direction.vectors.dtype == np.float64
    assert (direction.site, direction.sae, direction.features) == (SITE, "mid", (3,))
    assert direction.weights == (scale,)
    check_direction(feature(scale=scale), [], world.inputs())


def test_a_transcoders_feature_lives_where_it_writes(make_world):
    inputs = make_world().inputs()
    inputs.saes["mid"].facts = SaeFacts(site=Site("mlp_in", 3), site_out=Site("mlp_out", 3))
    assert drawn(feature(), inputs)[0].site == Site("mlp_out", 3)


def test_a_feature_that_does_not_exist(make_world):
    with pytest.raises(ModelError, match="Allowed: 0 to 39"):
        drawn(feature(40), make_world().inputs())


def test_an_sae_that_does_not_say_its_site(make_world):
    inputs = make_world().inputs()
    inputs.saes["mid"].facts = SaeFacts()
    with pytest.raises(ModelError, match="which site"):
        drawn(feature(), inputs)


def test_a_dead_decoder_row_is_undefined(make_world):
    world = make_world()
    world.decoder[3] = 0
    assert "is 0" in drawn(feature(), world.inputs())[0].reason


def test_a_scale_of_zero_is_refused():
    with pytest.raises(ValueError, match="must not be 0"):
        options.FeatureOptions(sae="mid", index=0, scale=0)
