"""Flips against dense comparisons token by token, in float64, and their laws."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from fakes.reductions import outcome_of
from harness.contract import Direction, Inputs, SaeFacts, Site, Stream, Undefined
from harness.contract.latents import Latents
from harness.errors import ModelError, TaskError
from harness.results.replicates import REPLICATES, group_rows, interval, replicated
from harness.testing.support.batches import array_batch, only, take
from harness_statistics.flip_rate.arrays import kept_in
from harness_statistics.flip_rate.counts import above, kept
from harness_statistics.flip_rate.flip_rate import FlipRate
from harness_statistics.flip_rate.options import FlipRateOptions as Options

SITE = Site("resid_post", 1)
D, WIDTHS = 6, {"narrow": 20, "wide": 50}


class Sae:
    """ReLU of a product over a threshold, written down once; `dense` gives float64 latents."""

    def __init__(self, width: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.facts = SaeFacts("small", D, width, SITE)
        self.fingerprint, self.notes = "small", ()
        self.w = torch.randn(D, width, generator=generator) / D**0.5

    def encode(self, x):
        return Latents.from_dense(self.dense(x))

    def dense(self, x):
        a = x @ self.w
        return torch.where(a > 0.6, a, 0)

    def rows(self, indices):
        return self.w.T[indices]


SAES = {name: Sae(width, width) for name, width in WIDTHS.items()}


def world(seed=0, tokens=60, documents=12, shift=0.7, selected=None):
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.normal(size=(tokens, D)), dtype=torch.float32)
    y = x + shift * torch.tensor(rng.normal(size=(tokens, D)), dtype=torch.float32)
    document = np.sort(np.concatenate([
        np.arange(documents), rng.integers(0, documents, tokens - documents)
    ]))  # fmt: skip
    names = [f"document {i}" for i in range(documents)]
    batch = array_batch(
        document.tolist(), {SITE: x}, {SITE: y}, saes=SAES, documents=names, selected=selected
    )
    delta = (y - x).double().numpy()
    _, sigma, vectors = np.linalg.svd(delta, full_matrices=False)
    pcs = Direction(SITE, (sigma / np.sqrt(tokens))[:, None] * vectors)
    return SimpleNamespace(batch=batch, x=x, y=y, pcs=pcs, vectors=vectors, sigma=sigma)


def made(**more):
    options = {"pair": "tuned", "site": "resid_post.1", "saes": list(WIDTHS), "pcs": "pcs"}
    return FlipRate(Options.model_validate({**options, "ranks": [1, 3, D], **more}))


def inputs(pcs, seed=0):
    return Inputs(
        directions={"pcs": pcs}, saes=SAES, sae_sites=dict.fromkeys(SAES, SITE), seed=seed
    )


def test_no_array_is_called_after_an_sae():
    """Two tasks that call their SAEs otherwise share what was counted."""
    names = made().start(inputs(world().pcs))
    assert not any(sae in name for sae in SAES for name in names)


def run(statistic, batches, given):
    return outcome_of(statistic, given, *batches)


def pick(outcome, id, **axes):
    (record,) = [
        record
        for record in outcome.records
        if record.id == id and {"pair": "tuned", "site": "resid_post.1", **axes} == record.axes
    ]
    return record


def flips(sae, before, after, tau=0.0):
    """Slow and dense: where being on differs, and where it is on before or after."""
    was, now = (SAES[sae].dense(x).double().numpy() > tau for x in (before, after))
    return ~was & now, was & ~now, was | now


def edited(w, k, injection, alpha=1.0):
    delta = (w.y.double() - w.x.double()).numpy()
    if injection == "pcs":
        added = delta @ w.vectors[:k].T @ w.vectors[:k]
    else:
        added = alpha * sum(
            (s / np.sqrt(len(delta)) * v for s, v in zip(w.sigma[:k], w.vectors[:k], strict=True)),
            start=np.zeros(D),
        )
    return (w.x.double() + torch.tensor(added)).float()


CONDITIONS = [("none", None), *((name, k) for name in ("pcs", "constant") for k in (1, 3, D))]


@pytest.mark.slow
@pytest.mark.parametrize("tau", [0.0, 0.9])
@pytest.mark.parametrize("seed", range(3))
def test_flips_are_those_of_dense_latents(seed, tau):
    w = world(seed)
    halves = [only(w.batch, range(5)), only(w.batch, range(5, 12))]
    statistic = made(tau=tau, alpha=1.5, min_support=4)
    outcome = run(statistic, halves, inputs(w.pcs))
    for sae, width in WIDTHS.items():
        for injection, k in CONDITIONS:
            after = w.y if injection == "none" else edited(w, k, injection, 1.5)
            on, off, either = flips(sae, w.x, after, tau)
            axes = {"sae": sae, "injection": injection} | ({} if k is None else {"k": k})
            flipped, support = (on | off).sum(0), either.sum(0)
            enough = support >= 4
            expected = {
                "flips.off_on@1": on.sum(),
                "flips.on_off@1": off.sum(),
                "flip_rate.token@1": flipped.sum() / 60,
                "flip_rate.all@1": flipped.sum() / 60 / width,
                "flip_rate.micro@1": flipped.sum() / support.sum(),
                "flip_rate.latent@1": (flipped[enough] / support[enough]).mean(),
            }
            for id, value in expected.items():
                found = pick(outcome, id, **axes)
                assert found.value == pytest.approx(value, rel=1e-12), found
            label = injection if k is None else f"{injection}.{k}"
            arrays = {
                what: outcome.arrays[f"tuned/{sae}/resid_post.1/{label}/{what}"]
                for what in ("flips_off_on", "flips_on_off", "active")
            }
            np.testing.assert_array_equal(arrays["flips_off_on"], on.sum(0))
            np.testing.assert_array_equal(arrays["flips_on_off"], off.sum(0))
            np.testing.assert_array_equal(arrays["active"], (either & ~on).sum(0))


def test_a_fine_tune_flips_what_all_components_flip():
    w = world(1)
    outcome = run(made(), [w.batch], inputs(w.pcs))
    for sae in WIDTHS:
        for id in ("flips.off_on@1", "flips.on_off@1", "flip_rate.latent@1"):
            whole = pick(outcome, id, sae=sae, injection="pcs", k=D)
            assert whole.value == pick(outcome, id, sae=sae, injection="none").value


def test_all_components_give_the_tuned_latents_to_float32():
    w = world(2)
    full = edited(w, D, "pcs")
    torch.testing.assert_close(full, w.y, rtol=1e-6, atol=1e-6)


def recorded(statistic, w):
    """Every activation that the statistic encodes, by condition."""
    state = statistic.start(inputs(w.pcs))
    rows = torch.arange(len(w.x))
    return {one.label: x for one, x in statistic._edited(state, w.batch, rows)}


def test_nothing_injected_changes_no_bit():
    w = world(3)
    w.batch.left.activations[SITE][0] = -0.0
    found = recorded(made(ranks=[0, 2], alpha=0.0), w)
    for label in ("pcs.0", "constant.0", "constant.2", "random.0.0", "random.0.4"):
        assert torch.equal(found[label].view(torch.int32), w.x.view(torch.int32)), label
    assert not torch.equal(found["pcs.2"], w.x)


def test_random_vectors_are_as_long_as_what_is_injected():
    w = world(4)
    found = recorded(made(), w)
    for k in (1, 3, D):
        length = (found[f"pcs.{k}"] - w.x).norm(dim=1)
        for draw in range(5):
            change = found[f"random.{k}.{draw}"] - w.x
            torch.testing.assert_close(change.norm(dim=1), length, rtol=1e-4, atol=1e-6)
    one, other = (found[f"random.3.{draw}"] - w.x for draw in (0, 1))
    cosines = torch.nn.functional.cosine_similarity(one, other)
    assert cosines.abs().max() < 0.999
    same = torch.nn.functional.cosine_similarity(one, found["random.1.0"] - w.x)
    assert same.min() > 0.999  # one unit vector per token and draw, whatever the rank


def test_random_vectors_hang_on_document_and_place_alone():
    w = world(5)
    statistic, order = made(), torch.randperm(60, generator=torch.Generator().manual_seed(0))
    whole = recorded(statistic, w)["random.3.2"]
    state = statistic.start(inputs(w.pcs))
    shuffled = take(w.batch, order)
    found = {one.label: x for one, x in statistic._edited(state, shuffled, torch.arange(60))}
    torch.testing.assert_close(found["random.3.2"], whole[order])
    other = made()
    state = other.start(inputs(w.pcs, seed=1))
    found = {one.label: x for one, x in other._edited(state, w.batch, torch.arange(60))}
    assert not torch.allclose(found["random.3.2"], whole)


def plain(outcome):
    return outcome.records, outcome.tables, {k: v.tolist() for k, v in outcome.arrays.items()}


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(12)), cuts=st.tuples(st.integers(0, 12), st.integers(0, 12)))
def test_any_split_merge_and_order_gives_the_same(order, cuts):
    w = world(6, selected=[i for i in range(60) if i % 4])
    statistic, given = made(min_support=2), inputs(w.pcs)
    low, high = sorted(cuts)
    states = []
    for chosen in (order[:low], order[low:high], order[high:]):
        state = statistic.start(given)
        before = {name: array.copy() for name, array in state.items()}
        if chosen:
            after = statistic.update(state, only(w.batch, chosen))
            for name, array in state.items():
                np.testing.assert_array_equal(array, before[name])
            state = after
        assert all(array.dtype in (np.float64, np.int64) for array in state.values())
        states.append(state)
    merged = statistic.merge(states[0], statistic.merge(states[2], states[1]))
    whole = run(statistic, [w.batch], given)
    assert plain(statistic.finish(merged, given)) == plain(whole)


@pytest.mark.slow
def test_pieces_of_tokens_change_nothing(monkeypatch):
    w = world(7)
    whole = run(made(), [w.batch], inputs(w.pcs))
    monkeypatch.setattr("harness_statistics.flip_rate.flip_rate._PIECE", 7 * D)
    assert plain(run(made(), [w.batch], inputs(w.pcs))) == plain(whole)


def test_base_against_base_flips_nothing():
    w = world(8)
    same = array_batch(w.batch.document.tolist(), {SITE: w.x}, {SITE: w.x}, saes=SAES)
    outcome = run(made(), [same], inputs(Undefined("nothing changed")))
    for sae in WIDTHS:
        token = pick(outcome, "flip_rate.token@1", sae=sae, injection="none")
        assert token.value == 0
        assert token.null == {"kind": "identical", "value": 0.0}
        assert pick(outcome, "flip_rate.latent@1", sae=sae, injection="none").value in (0, None)
        gone = pick(outcome, "flip_rate.token@1", sae=sae, injection="pcs", k=1)
        assert gone.value is None
        assert gone.undefined == "'pcs' is undefined: nothing changed"
        ratio = pick(outcome, "flip_rate.over_random@1", sae=sae, injection="pcs", k=1)
        assert ratio.undefined == gone.undefined
    assert not outcome.tables["features"]


def test_more_components_than_there_are_is_undefined():
    w = world(9)
    two = Direction(SITE, w.pcs.vectors[:2])
    outcome = run(made(ranks=[2, 3]), [w.batch], inputs(two))
    assert pick(outcome, "flip_rate.token@1", sae="wide", injection="pcs", k=2).value is not None
    why = pick(outcome, "flip_rate.token@1", sae="wide", injection="pcs", k=3).undefined
    assert why is not None
    assert "has 2 vectors, not 3" in why
    assert {r.axes["k"] for r in outcome.records if r.axes["injection"] == "random"} == {2}


def test_random_draws_have_rates_of_their_own():
    w = world(15)
    outcome = run(made(min_support=2), [w.batch], inputs(w.pcs))
    found = recorded(made(), w)["random.3.4"]
    on, off, either = flips("wide", w.x, found)
    axes = {"sae": "wide", "injection": "random", "k": 3, "draw": 4}
    assert pick(outcome, "flip_rate.token@1", **axes).value == (on | off).sum() / 60
    enough = either.sum(0) >= 2
    rates = (on | off).sum(0)[enough] / either.sum(0)[enough]
    assert pick(outcome, "flip_rate.latent@1", **axes).value == pytest.approx(rates.mean())


@pytest.mark.slow
def test_the_ratio_and_its_interval_are_by_documents_in_the_same_groups():
    w = world(10, documents=24, tokens=120)
    outcome = run(made(), [w.batch], inputs(w.pcs, seed=3))
    record = pick(outcome, "flip_rate.over_random@1", sae="wide", injection="pcs", k=3)
    found = recorded_with_seed(w, 3)
    by_document = np.zeros((2, 24))
    for token, document in enumerate(w.batch.document.tolist()):
        for row, labels in enumerate((["pcs.3"], [f"random.3.{draw}" for draw in range(5)])):
            for label in labels:
                on, off, _ = flips("wide", w.x[token], found[label][token])
                by_document[row, document] += (on | off).sum() / len(labels)
    names = w.batch.documents
    weights = replicated(group_rows(names, 3))
    with np.errstate(invalid="ignore"):
        ratios = (weights @ by_document[0]) / (weights @ by_document[1])
    assert record.value == pytest.approx(by_document[0].sum() / by_document[1].sum(), rel=1e-12)
    assert record.clusters == 24
    assert record.ci is not None
    assert record.ci == pytest.approx(interval(ratios, 24)[0], rel=1e-9)
    assert record.null is not None
    assert record.null["value"] == 1
    null = pick(outcome, "flip_rate.token@1", sae="wide", injection="pcs", k=3).null
    assert null is not None
    assert null["value"] == pytest.approx(by_document[1].sum() / 120)


def recorded_with_seed(w, seed):
    statistic = made()
    state = statistic.start(inputs(w.pcs, seed))
    every = torch.arange(len(w.x))
    return {one.label: x for one, x in statistic._edited(state, w.batch, every)}


def test_the_table_shows_the_most_flipped_features_with_their_support():
    w = world(11)
    outcome = run(made(table=5, min_support=6), [w.batch], inputs(w.pcs))
    rows = [row for row in outcome.tables["features"] if row["sae"] == "wide"]
    on, off, either = flips("wide", w.x, w.y)
    order = np.argsort(-(on | off).sum(0), kind="stable")[:5]
    assert [row["feature"] for row in rows] == order.tolist()
    for row in rows:
        j = row["feature"]
        assert (row["off_on"], row["on_off"]) == (on[:, j].sum(), off[:, j].sum())
        assert row["support"] == either[:, j].sum()
        rate = (row["off_on"] + row["on_off"]) / row["support"]
        assert row["flip_rate"] == (pytest.approx(rate) if row["support"] >= 6 else None)
    assert len(outcome.tables["features"]) == 10


def test_arrays_say_what_they_are_of():
    w = world(12)
    outcome = run(made(ranks=[2]), [w.batch], inputs(w.pcs))
    kept_ = kept_in(outcome.arrays)
    written = {name: array for key, one in kept_.items() for name, array in one.arrays(key).items()}
    assert written == outcome.arrays
    assert {(k.pair, k.sae, k.site, k.condition) for k in kept_} == {
        ("tuned", sae, "resid_post.1", condition)
        for sae in WIDTHS
        for condition in ("none", "pcs.2", "constant.2")
    }
    drawn = outcome.arrays["tuned/wide/resid_post.1/none/replicated_flips"]
    assert drawn.shape == (REPLICATES,)
    both = sum(
        outcome.arrays[f"tuned/wide/resid_post.1/none/{what}"].sum()
        for what in ("flips_off_on", "flips_on_off")
    )
    assert drawn[0] == both
    assert kept_in({"something/else": drawn}) == {}


def test_nothing_read_is_undefined():
    w = world(13)
    outcome = run(made(), [], inputs(w.pcs))
    assert all(r.value is None and "no token" in (r.undefined or "") for r in outcome.records)


def test_without_components_only_the_fine_tune_is_counted():
    w = world(14)
    given = Inputs(saes=SAES, sae_sites=dict.fromkeys(SAES, SITE))
    outcome = run(made(pcs=None), [w.batch], given)
    assert {r.axes["injection"] for r in outcome.records} == {"none"}


@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_kept_is_membership(data):
    shape = data.draw(st.tuples(st.integers(0, 9), st.integers(1, 7)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    dense = [torch.tensor((rng.random(shape) < 0.4) * rng.normal(size=shape)) for _ in range(2)]
    before, after = (Latents.from_dense(z) for z in dense)
    expected = (dense[0] != 0)[after.token, after.indices]
    assert torch.equal(kept(before, after), expected)
    cut = above(after, 0.5)
    assert torch.equal(cut.dense(), torch.where(dense[1].abs() > 0.5, dense[1], 0))


# ── What is wrong ──


def test_components_of_another_place_or_width_are_refused():
    w = world()
    with pytest.raises(ModelError, match=r"directions\.pcs lives at resid_post\.0"):
        made().start(inputs(Direction(Site("resid_post", 0), w.pcs.vectors)))
    with pytest.raises(ModelError, match="not orthogonal"):
        made().start(inputs(Direction(SITE, np.ones((2, D)))))
    narrow = Direction(SITE, np.eye(D + 1))
    with pytest.raises(ModelError, match=r"7 in 'pcs'.*same hidden size"):
        run(made(), [w.batch], inputs(narrow))


def test_an_sae_of_sequences_is_refused():
    sae = Sae(20, 0)
    sae.facts = SaeFacts("temporal", D, 20, SITE, needs_sequence=True)
    given = Inputs(directions={"pcs": world().pcs}, saes={"narrow": sae})
    with pytest.raises(ModelError, match="whole sequences"):
        made().start(given)


@pytest.mark.parametrize(
    "more",
    [{"ranks": [1, 1]}, {"injections": ["random"]}, {"draws": 4}, {"tau": -1}, {"saes": []},
     {"saes": ["a", "a"]}],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(more):
    with pytest.raises(ValidationError):
        made(**more)


class Task:
    def pair(self, name):
        assert name == "tuned"
        return Stream("pair", "base", "web", "chat")

    def sae_site(self, sae):
        return {"narrow": SITE, "wide": SITE, "deep": Site("resid_post", 4)}[sae]


def test_reads_the_saes_of_its_site():
    reads = made(saes=["narrow", "wide", "deep"]).options.reads(Task())
    assert reads.saes == ("narrow", "wide")
    assert reads.start == ("pcs",)
    assert reads.streams == (Stream("pair", "base", "web", "chat"),)
    assert not made(pcs=None).options.reads(Task()).start
    with pytest.raises(TaskError, match=r"site: none of the saes reads at resid_post\.2"):
        made(site="resid_post.2").options.reads(Task())
