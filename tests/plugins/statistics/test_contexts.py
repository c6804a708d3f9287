"""`contexts` against a plain search through all tokens, and its laws."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from fakes.reductions import PlainSae, state_of
from harness.contract import Batch, Inputs, State
from harness.contract.latents import Latents
from harness.contract.sites import parse_site
from harness.testing.support.batches import array_batch, only
from harness.testing.support.reductions import check_reduction
from harness_statistics.contexts import Contexts, _hash
from harness_statistics.options import ContextsOptions as Options

SITE = parse_site("resid_post.1")
WIDTH = 5


def made(**more: Any) -> Contexts:
    size = {"count": 3, "before": 2, "after": 1}
    return Contexts(Options(sae="sae", view="v", data="d", **{**size, **more}))


def text(seed: int, tokens: int = 60, documents: int = 7, filtered: bool = False) -> Batch:
    """Latents with many ties: halves only, some negative."""
    rng = np.random.default_rng(seed)
    z = np.round(rng.normal(size=(tokens, WIDTH)) * 2) / 2 * (rng.random((tokens, WIDTH)) < 0.5)
    document = np.sort(rng.integers(0, documents, tokens)).tolist()
    z[:, 4] = 0
    return array_batch(
        document,
        {SITE: torch.tensor(z, dtype=torch.float32)},
        saes={"sae": PlainSae(WIDTH, SITE)},
        selected=sorted(rng.permutation(tokens)[: tokens // 2].tolist()) if filtered else None,
        documents=[f"document {i}" for i in range(documents)],
        ids=rng.integers(0, 1000, tokens).tolist(),
    )


def collected(statistic: Contexts, *batches: Batch) -> State:
    return state_of(statistic, Inputs(), *batches)


def expected(batch: Batch, count: int, before: int, after: int) -> dict[int, list[tuple[Any, ...]]]:
    """For each feature its best contexts: (value, document, position, ids, activations)."""
    z = batch.left.x(SITE).double().numpy()
    chosen = set(batch.selected.tolist())
    places = {
        (int(d), int(p)): t
        for t, (d, p) in enumerate(zip(batch.document, batch.position, strict=True))
    }
    found = {}
    for j in range(z.shape[1]):
        by_document: dict[int, list[tuple[float, int, float]]] = defaultdict(list)
        for (d, p), t in places.items():
            if t in chosen and z[t, j] != 0:
                by_document[d].append((-abs(z[t, j]), p, z[t, j]))
        ranked = sorted(
            (min(entries)[0], _hash(batch.documents[d]), min(entries)[1], d, min(entries)[2])
            for d, entries in by_document.items()
        )[:count]
        contexts = []
        for _, digest, p, d, value in ranked:
            around = [places.get((d, p + o)) for o in range(-before, after + 1)]
            ids = [-1 if t is None else int(batch.ids[t]) for t in around]
            on = [float(z[t, j]) if t in chosen else 0.0 for t in around]
            contexts.append((value, digest, p, ids, on))
        found[j] = contexts
    return found


def shown(state: State) -> dict[int, list[tuple[Any, ...]]]:
    return {
        j: [
            (
                float(state["values"][j, slot]),
                int(state["documents"][j, slot]),
                int(state["positions"][j, slot]),
                state["ids"][j, slot].tolist(),
                state["activations"][j, slot].tolist(),
            )
            for slot in state["values"][j].nonzero()[0]
        ]
        for j in range(len(state["values"]))
    }


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 9999), documents=st.integers(1, 12), count=st.integers(1, 4),
    before=st.integers(0, 4), after=st.integers(0, 3), filtered=st.booleans(),
)  # fmt: skip
def test_against_a_plain_search(
    seed: int, documents: int, count: int, before: int, after: int, filtered: bool
) -> None:
    batch = text(seed, documents=documents, filtered=filtered)
    state = collected(made(count=count, before=before, after=after), batch)
    assert shown(state) == expected(batch, count, before, after)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 9999), cuts=st.sets(st.integers(1, 6), max_size=4), filtered=st.booleans()
)
def test_any_split_order_and_merge(seed: int, cuts: set[int], filtered: bool) -> None:
    batch, statistic = text(seed, filtered=filtered), made()
    whole = collected(statistic, batch)
    rng = np.random.default_rng(seed)
    parts = [p.tolist() for p in np.split(rng.permutation(7), sorted(cuts)) if len(p)]
    batches = [only(batch, part) for part in parts]
    one_by_one = collected(statistic, *batches)
    states = [collected(statistic, part) for part in batches]
    before = [{name: array.copy() for name, array in state.items()} for state in states]
    merged: State = {}
    for index in rng.permutation(len(states)):
        merged = statistic.merge(merged, states[index])
    for state, copy in zip(states, before, strict=True):
        for name, array in state.items():
            np.testing.assert_array_equal(array, copy[name])
    for other in (one_by_one, merged):
        assert other.keys() == whole.keys()
        for name, array in whole.items():
            np.testing.assert_array_equal(other[name], array, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("filtered", [False, True])
def test_the_laws_of_a_reduction(filtered: bool) -> None:
    batches = [
        replace(one, documents=tuple(f"{seed} {d}" for d in one.documents))
        for seed in range(3)
        for one in [text(seed, filtered=filtered)]
    ]
    inputs = Inputs(saes={"sae": PlainSae(WIDTH, SITE)}, sae_sites={"sae": SITE})
    check_reduction(made(), batches, inputs, 0.0)


def test_a_document_that_comes_twice_is_one_context() -> None:
    batch, statistic = text(4), made()
    once = collected(statistic, batch)
    twice = collected(statistic, batch, batch)
    merged = statistic.merge(once, once)
    for name in once.keys() - {"tokens"}:
        np.testing.assert_array_equal(twice[name], once[name])
        np.testing.assert_array_equal(merged[name], once[name])


def test_contexts_are_of_distinct_documents_and_the_strongest_first() -> None:
    state = collected(made(count=4), text(2, tokens=200, documents=10))
    for j in range(4):
        assert len(set(state["documents"][j].tolist())) == 4
        assert np.all(np.diff(np.abs(state["values"][j])) <= 0)
        np.testing.assert_array_equal(state["activations"][j, :, 2], state["values"][j])


def test_finish() -> None:
    statistic = made()
    inputs = Inputs(saes={"sae": PlainSae(WIDTH, SITE)}, sae_sites={"sae": SITE})
    outcome = statistic.finish(collected(statistic, text(1)), inputs)
    (record,) = outcome.records
    assert (record.id, record.value, record.n) == ("contexts.active_share@1", 4 / 5, 60)
    assert record.axes == {"sae": "sae", "site": "resid_post.1", "view": "v", "data": "d"}
    assert outcome.arrays["ids"].shape == (5, 3, 4)
    assert outcome.arrays["centre"].tolist() == [2]
    assert (outcome.arrays["ids"][4] == -1).all()
    empty = statistic.finish({}, inputs)
    assert empty.records[0].undefined == "no token was measured"
    assert empty.arrays["values"].shape == (5, 3)


def test_a_pair_is_read_without_a_pass_of_its_own() -> None:
    given = Options(sae="sae", pair="p", side="right")
    batch = text(1)
    both = array_batch(
        batch.document.tolist(),
        {SITE: torch.zeros_like(batch.left.x(SITE))},
        {SITE: batch.left.x(SITE)},
        saes={"sae": PlainSae(WIDTH, SITE)},
        documents=batch.documents,
        ids=batch.ids.tolist(),
    )
    state = Contexts(given).update({}, both)
    assert shown(state) == expected(batch, 5, 12, 6)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({}, "exactly one of pair and view"),
        ({"pair": "p", "view": "v"}, "exactly one of pair and view"),
        ({"view": "v"}, "belong together"),
        ({"pair": "p", "data": "d"}, "belong together"),
        ({"view": "v", "data": "d", "side": "right"}, "side belongs to pair"),
    ],
)
def test_one_stream(more: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Options(sae="sae", **more)


@pytest.mark.slow
def test_its_cost_beside_an_encoder_of_the_same_width() -> None:
    """The encoder's product alone is a floor of the pass; the issue's limit is 10% of all of it."""
    d, width, tokens, k = 256, 16_384, 1024, 32
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(d, width, generator=generator) / d**0.5

    class Wide(PlainSae):
        def encode(self, x: torch.Tensor) -> Latents:
            top = (x @ weights).topk(k, dim=1)
            offsets = torch.arange(0, (len(x) + 1) * k, k)
            return Latents(offsets, top.indices.flatten(), top.values.flatten(), width)

    class Kept:
        def __init__(self, latents: Latents) -> None:
            self.found = latents

        def latents(self, sae: str, site: object = None) -> Latents:
            return self.found

    statistic, state = Contexts(Options(sae="sae", view="v", data="d")), {}
    encoding = collecting = 0.0
    for number in range(8):
        x = torch.randn(tokens, d, generator=generator)
        names = [f"{number}.{i}" for i in range(8)]
        batch = array_batch([t // 128 for t in range(tokens)], {SITE: x}, documents=names)
        start = time.process_time()
        latents = Wide(width, SITE).encode(x)
        middle = time.process_time()
        object.__setattr__(batch, "left", Kept(latents))
        state = statistic.update(state, batch)
        encoding, collecting = encoding + middle - start, collecting + time.process_time() - middle
    # Generous: a small encoder, the first batches (where everything is new) and a shared machine.
    assert collecting < 2 * encoding, (collecting, encoding)
