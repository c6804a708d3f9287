"""Principal components against numpy's SVD of the stored differences, and their laws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from harness.contract import Direction, Inputs, ModelFacts, Site, Stream, Undefined
from harness.errors import ModelError
from harness.testing import check_direction
from harness.testing.support.batches import array_batch, only
from harness_directions import scatter
from harness_directions.options import PrincipalComponentsOptions as Options
from harness_directions.principal_components import PrincipalComponents

SITE = Site("resid_post", 3)


def finder(components=4, exact_width=8192, **more):
    given = {"pair": "tuned", "site": "resid_post.3", "components": components}
    return PrincipalComponents(Options.model_validate(given | more), exact_width=exact_width)


def inputs(layers=6):
    return Inputs(facts={"base": ModelFacts(layers=layers)})


def pair(seed=0, tokens=60, documents=7, d=12, delta=None, spectrum=None):
    """A batch whose difference has falling singular values, or is the one given."""
    rng = np.random.default_rng(seed)
    if delta is None:
        scale = 0.7 ** np.arange(d) if spectrum is None else spectrum
        rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
        delta = (rng.normal(size=(tokens, d)) * scale) @ rotation + 0.5 * rotation[0]
    x = torch.tensor(rng.normal(size=delta.shape), dtype=torch.float32)
    y = x + torch.tensor(delta, dtype=torch.float32)
    document = np.sort(rng.integers(0, documents, len(delta)))
    document[:documents] = np.sort(document[:documents])
    names = [f"document {i}" for i in range(documents)]
    return array_batch(document.tolist(), {SITE: x}, {SITE: y}, documents=names)


def delta_of(*batches):
    """ΔH of the selected tokens, stored, in float64."""
    return np.concatenate([
        (b.right.x(SITE) - b.left.x(SITE))[b.selected].double().numpy() for b in batches
    ])  # fmt: skip


def parts(batch, cut):
    n = len(batch.documents)
    return [only(batch, range(cut)), only(batch, range(cut, n))]


def found(outcome, **axes):
    (one,) = [f for f in outcome.directions if dict(f.axes) == axes]
    return one


def reference(delta, center=False):
    """σ, V and Σ_t ΔH_t by numpy's SVD."""
    rows = delta - delta.mean(0) if center else delta
    _, sigma, vectors = np.linalg.svd(rows, full_matrices=False)
    total = delta.sum(0)
    return sigma, np.where(vectors @ total < 0, -1, 1)[:, None] * vectors, total


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_svd_of_the_stored_difference(run, seed, center):
    batch = pair(seed)
    sigma, vectors, total = reference(delta_of(batch), center)
    n = len(batch.document)
    outcome = run(finder(6, center=center), parts(batch, 3), inputs())
    for i in range(6):
        one = found(outcome, pc=i + 1)
        vector = one.direction.vectors[0]
        length = np.linalg.norm(vector)
        assert length == pytest.approx(sigma[i] / np.sqrt(n), rel=1e-9)
        assert one.direction.reference_norm == pytest.approx(length, rel=1e-12)
        assert vector @ vectors[i] / length == pytest.approx(1, abs=1e-9)
        explained, size, cosine = one.records
        assert explained.value == pytest.approx(sigma[i] ** 2 / (sigma**2).sum(), abs=1e-12)
        assert size.value == pytest.approx(length, rel=1e-12)
        expected = abs(vectors[i] @ total) / np.linalg.norm(total)
        assert cosine.value == pytest.approx(expected, abs=1e-7)
        assert [record.id for record in one.records] == [
            "pc_explained_variance@2",
            "pc.sigma@2",
            "pc.mean_cosine@2",
        ]
        assert all(record.n == n and record.ci_why for record in one.records)
        assert dict(explained.axes) == {"pair": "tuned", "site": "resid_post.3"}


def test_close_eigenvalues_are_told_apart(run):
    """Relative eigengaps just above 1e-3, down to a component a thousandth as long as the first."""
    spectrum = np.array([1, 0.9994, 0.5, 0.4997, 1e-2, 9.99e-3, 1e-3, 1e-5])
    rng = np.random.default_rng(1)
    left = np.linalg.qr(rng.normal(size=(400, 8)))[0]
    right = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    batch = pair(delta=50 * (left * spectrum) @ right.T)
    sigma, vectors, _ = reference(delta_of(batch))
    outcome = run(finder(7), parts(batch, 4), inputs())
    for i in range(7):
        one = found(outcome, pc=i + 1)
        unit = one.direction.vectors[0] / np.linalg.norm(one.direction.vectors)
        assert abs(unit @ vectors[i]) >= 1 - 1e-6
        expected = sigma[i] ** 2 / (sigma**2).sum()
        assert one.records[0].value == pytest.approx(expected, abs=1e-6, rel=1e-6)


def test_stacks_hold_the_first_components(run):
    outcome = run(finder(5, ranks=(2, 5)), [pair()], inputs())
    singles = [found(outcome, pc=i).direction.vectors[0] for i in range(1, 6)]
    for axes, k in (({}, 5), ({"k": 2}, 2), ({"k": 5}, 5)):
        stack = found(outcome, **axes).direction
        np.testing.assert_allclose(stack.vectors, singles[:k], rtol=1e-12)
        assert stack.site == SITE
        assert not found(outcome, **axes).records


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"center": True}, {"exact_width": 6}])
def test_laws(changes):
    for seed in range(3):
        batch = pair(seed)
        reduction = finder(2, ranks=(2,), sketch=4, **changes)
        variants = reduction.options.variants()
        check_direction(reduction, parts(batch, 3), inputs(), variants=variants, tolerance=1e-6)


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(7)), cut=st.integers(1, 6))
def test_any_sharding_gives_the_same(run, order, cut):
    batch, reduction, given = pair(2), finder(3), inputs()
    left, right = (
        reduction.update(reduction.start(given), only(batch, part))
        for part in (order[:cut], order[cut:])
    )
    whole = run(reduction, [batch], given)
    merged = reduction.finish(reduction.merge(left, right), given)
    for one, other in zip(whole.directions, merged.directions, strict=True):
        np.testing.assert_allclose(one.direction.vectors, other.direction.vectors, atol=1e-12)


def test_all_components_give_the_difference_back(run):
    batch = pair(tokens=40)
    vectors = found(run(finder(12), [batch], inputs())).direction.vectors
    basis = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    delta = delta_of(batch)
    np.testing.assert_allclose(delta @ basis.T @ basis, delta, atol=1e-10)


def test_a_planted_rank_one_change_is_the_first_component(run):
    rng = np.random.default_rng(5)
    planted = rng.normal(size=12)
    amounts = np.abs(rng.normal(size=300))
    batch = pair(delta=np.outer(amounts, planted))
    outcome = run(finder(3), [batch], inputs())
    first = found(outcome, pc=1)
    vector = first.direction.vectors[0]
    assert vector @ planted / np.linalg.norm(vector) / np.linalg.norm(planted) > 1 - 1e-9
    assert first.records[0].value == pytest.approx(1, abs=1e-9)
    assert first.records[2].value == pytest.approx(1, abs=1e-6)


def test_a_component_beyond_the_rank_is_undefined(run):
    delta = np.zeros((50, 12))
    delta[:, 2] = 2.0 ** np.arange(50).clip(max=6)  # sums of powers of two are exact
    x = {SITE: torch.zeros(50, 12)}
    y = {SITE: torch.tensor(delta, dtype=torch.float32)}
    batch = array_batch([0] * 50, x, y)
    outcome = run(finder(3, ranks=(1, 2)), [batch], inputs())
    second = found(outcome, pc=2)
    assert isinstance(second.direction, Undefined)
    assert "rank 1" in second.direction.reason
    assert all(r.value is None and "beyond the rank of ΔH" in r.undefined for r in second.records)
    assert isinstance(found(outcome, k=2).direction, Undefined)
    assert found(outcome).direction.vectors.shape == (1, 12)
    assert found(outcome, k=1).direction.vectors.shape == (1, 12)


@pytest.mark.parametrize(("dtype", "carried"), [("float32", 1e-6), ("bfloat16", 1e-2)])
@pytest.mark.parametrize("times", [0.1, 10])
def test_a_component_needs_more_than_rounding(run, dtype, carried, times):
    """CASES row 8: σ_2/σ_1 below what the activations' dtype carries is no component.

    The singular values are planted, 1 and `times` what is carried, between orthonormal vectors; the
    activations come as float32, as those of a model in bfloat16 do, too.
    """
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.normal(size=(n, 2)))[0] for n in (300, 64))
    delta = left * [1, times * carried] @ right.T
    sides = [{SITE: torch.tensor(x, dtype=torch.float32)} for x in (0 * delta, delta)]
    given = Inputs(facts={"base": ModelFacts(layers=6)}, dtypes={"base": "float32", "chat": dtype})
    outcome = run(finder(2), [array_batch([0] * 300, *sides)], given)
    second = found(outcome, pc=2)
    if times > 1:
        sigma = np.linalg.svd(delta, compute_uv=False)
        assert second.records[1].value == pytest.approx(sigma[1] / np.sqrt(300), rel=1e-3)
        return
    assert isinstance(second.direction, Undefined)
    assert "beyond the rank of ΔH" in second.direction.reason
    assert dtype in second.direction.reason
    assert [r.value for r in second.records] == [None] * 3
    table = outcome.tables["components"][1]
    assert table["explained_variance"] is table["sigma"] is table["mean_cosine"] is None
    assert found(outcome).direction.vectors.shape == (1, 64)
    assert "beyond the rank" in found(outcome).direction.missing[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_rounding_of_large_activations_is_no_component(run, dtype):
    """CASES row 8: a change of rank one, each side rounded to its dtype, has one component.

    What is left after it is the rounding by construction, taken apart by numpy in float64.
    """
    rng = np.random.default_rng(1)
    x = 30 * rng.normal(size=(500, 64))
    change = np.outer(np.abs(rng.normal(size=500)), 5 * rng.normal(size=64))
    sides = [torch.tensor(side).to(dtype).float() for side in (x, x + change)]
    rounding = sides[1].double().numpy() - sides[0].double().numpy() - change
    noise = np.linalg.svd(rounding, compute_uv=False)[0]
    name = str(dtype).removeprefix("torch.")
    given = Inputs(facts={"base": ModelFacts(layers=6)}, dtypes={"base": name, "chat": name})
    outcome = run(finder(3), [array_batch([0] * 500, *({SITE: side} for side in sides))], given)
    sigma = reference(sides[1].double().numpy() - sides[0].double().numpy())[0]
    assert sigma[1] <= noise * (1 + 1e-9)
    assert isinstance(found(outcome, pc=1).direction, Direction)
    for pc in (2, 3):
        assert "beyond the rank of ΔH" in found(outcome, pc=pc).direction.reason


def test_a_constant_shift_is_one_component_and_none_when_centred(run):
    shift = np.zeros((30, 12))
    shift[:, 4] = -2
    x = torch.zeros(30, 12)
    batch = array_batch([0] * 30, {SITE: x}, {SITE: x + torch.tensor(shift).float()})
    one = found(run(finder(1), [batch], inputs()), pc=1)
    np.testing.assert_allclose(one.direction.vectors[0], shift[0], atol=1e-12)
    assert one.records[2].value == 1
    centred = found(run(finder(1, center=True), [batch], inputs()), pc=1)
    assert isinstance(centred.direction, Undefined)
    assert "mean alone" in centred.direction.reason
    assert centred.records[0].undefined


def test_identical_models_have_no_component(run):
    batch = pair()
    same = array_batch(batch.document.tolist(), batch.left.activations, batch.left.activations)
    outcome = run(finder(2, ranks=(1,)), [same], inputs())
    for one in outcome.directions:
        assert isinstance(one.direction, Undefined)
        assert "nothing changed" in one.direction.reason
        assert all(r.value is None and "nothing changed" in r.undefined for r in one.records)


def test_too_few_tokens_are_undefined(run):
    batch = pair(tokens=5, documents=2)
    outcome = run(finder(6), [batch], inputs())
    assert all("5 tokens are too few for 6" in f.direction.reason for f in outcome.directions)
    assert isinstance(found(run(finder(5), [batch], inputs()), pc=1).direction, Direction)
    centred = run(finder(5, center=True), [batch], inputs())
    assert "around their mean" in found(centred, pc=1).direction.reason
    nothing = run(finder(2), [], inputs())
    assert all("no token" in f.direction.reason for f in nothing.directions)


def test_only_selected_tokens_count(run):
    batch = pair(tokens=60)
    chosen = list(range(0, 60, 2))
    some = array_batch(
        batch.document.tolist(), batch.left.activations, batch.right.activations, selected=chosen
    )
    sigma, _, _ = reference(delta_of(batch)[chosen])
    one = found(run(finder(1), [some], inputs()), pc=1)
    assert one.records[1].value == pytest.approx(sigma[0] / np.sqrt(30), rel=1e-9)


def test_a_sketch_finds_what_a_falling_spectrum_has(run):
    batch = pair(tokens=300, d=40, spectrum=0.5 ** np.arange(40))
    sigma, vectors, _ = reference(delta_of(batch))
    outcome = run(finder(4, sketch=24, exact_width=39), parts(batch, 3), inputs())
    for i in range(4):
        one = found(outcome, pc=i + 1)
        unit = one.direction.vectors[0] / np.linalg.norm(one.direction.vectors)
        assert abs(unit @ vectors[i]) > 1 - 1e-6
        expected = sigma[i] ** 2 / (sigma**2).sum()
        assert one.records[0].value == pytest.approx(expected, rel=1e-5)
        assert one.records[0].options["sketch"] == 24
    centred = run(finder(1, sketch=24, exact_width=39, center=True), [batch], inputs())
    sigma, _, _ = reference(delta_of(batch), center=True)
    expected = sigma[0] ** 2 / (sigma**2).sum()
    assert found(centred, pc=1).records[0].value == pytest.approx(expected, rel=1e-5)


def test_the_sketch_of_a_low_rank_matrix_is_exact():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(5, 30))
    matrix = factor.T @ factor
    exact = np.linalg.eigvalsh(matrix)[::-1][:6]
    spectrum = scatter.leading_of_sketch(matrix @ scatter.test_matrix(30, 12), 6)
    np.testing.assert_allclose(spectrum.values, exact, atol=1e-9 * exact[0])
    np.testing.assert_allclose(spectrum.vectors[:5] @ spectrum.vectors[:5].T, np.eye(5), atol=1e-12)


def test_float64_products(run):
    """A component 1e-5 as long as a common shift survives; float32 products would drown it."""
    rng = np.random.default_rng(3)
    tokens = rng.normal(size=200)
    delta = torch.zeros(200, 12)
    delta[:, 0] = 1000 + torch.tensor(rng.normal(size=200), dtype=torch.float32)
    delta[:, 1] = torch.tensor(1e-2 * (tokens - tokens.mean()), dtype=torch.float32)
    batch = array_batch([0] * 200, {SITE: torch.zeros(200, 12)}, {SITE: delta})
    sigma, vectors, _ = reference(delta.double().numpy())
    second = found(run(finder(2), [batch], inputs()), pc=2).direction.vectors[0]
    assert np.linalg.norm(second) == pytest.approx(sigma[1] / np.sqrt(200), rel=1e-4)
    assert abs(second @ vectors[1]) / np.linalg.norm(second) > 1 - 1e-6


def test_different_hidden_sizes_are_refused(run):
    batch = pair()
    wrong = {SITE: torch.zeros(60, 10)}
    batch = array_batch(batch.document.tolist(), batch.left.activations, wrong)
    with pytest.raises(ModelError, match=r"pairs\.tuned: 12 numbers.*10 on the right.*same hidden"):
        run(finder(), [batch], inputs())


def test_more_components_than_numbers_are_refused(run):
    with pytest.raises(ModelError, match=r"components = 13.*1 to 12"):
        run(finder(13), [pair()], inputs())
    with pytest.raises(ModelError, match="Raise sketch"):
        run(finder(5, sketch=8, exact_width=6), [pair()], inputs())


def test_a_fraction_of_depth_becomes_a_block(run):
    reduction = finder(2, site="resid_post@0.5")
    reduction.site = SITE  # what the planner resolves a fraction to
    assert found(run(reduction, [pair()], inputs()), pc=1).direction.site == SITE


@pytest.mark.parametrize("ranks", [(1, 1), (5,), (0,)])
def test_ranks_are_refused_where_they_mean_nothing(ranks):
    with pytest.raises(ValidationError):
        finder(4, ranks=ranks)


def test_what_it_promises_and_reads():
    class Task:
        def pair(self, name):
            return Stream("pair", "base", "web", "chat")

    options = finder(2, ranks=(2,)).options
    assert options.variants() == ({}, {"pc": 1}, {"pc": 2}, {"k": 2})
    reads = options.reads(Task())
    assert [(s.view, s.right) for s in reads.streams] == [("base", "chat")]
    assert reads.sites == (SITE,)
