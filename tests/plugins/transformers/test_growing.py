"""Keys and values in memory that is used again: the same as in memory of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st

from harness.contract import Arm, Completion, Rests, Sampling, Site
from harness_transformers.decoding import staying
from harness_transformers.growing import GrowingLayer, WholeLayer, holes
from harness_transformers.memory import Memory

from .conftest import load
from .test_edits import STRICT, ablation
from .test_sharing import alike


@settings(max_examples=60)
@given(st.data())
def test_it_keeps_what_it_would_keep_in_memory_of_its_own(data: Any) -> None:
    """Several blocks and batches, one after the other; what is free holds no numbers."""
    memory = Memory()
    for _ in range(data.draw(st.integers(1, 3))):
        rows, tokens = data.draw(st.integers(1, 6)), 0
        memory.tokens = data.draw(st.integers(0, 40))
        kind = data.draw(st.sampled_from([GrowingLayer, WholeLayer]))
        ours, plain = [[kind(one) for _ in range(2)] for one in (memory, None)]
        for size in data.draw(st.lists(st.integers(1, 12), min_size=1, max_size=5)):
            tokens += size
            for one, other in zip(ours, plain, strict=True):
                new = torch.randn(2, rows, 2, size, 3)
                out, expected = one.update(new[0], new[1]), other.update(new[0], new[1])
                assert all(map(torch.equal, out, expected))
                assert all(map(torch.equal, (one.keys, one.values), (other.keys, other.values)))
                for free in memory._free:
                    free.fill_(float("nan"))
            if data.draw(st.booleans()):
                live = data.draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
                some = staying(live) if any(live) else [0] * data.draw(st.integers(1, 3))
                rows = len(some)
                for layer in (*ours, *plain):
                    layer.reorder_cache(torch.tensor(some))
        for one, other in zip(ours, plain, strict=True):
            assert one.get_seq_length() == tokens
            assert all(map(torch.equal, (one.keys, one.values), (other.keys, other.values)))
        for layer in ours:
            layer.end()


def test_a_batch_takes_the_memory_of_the_one_before() -> None:
    memory = Memory()
    memory.tokens = 60
    seen = []
    for rows in (8, 5, 8):
        layer = GrowingLayer(memory)
        for _ in range(50):
            new = torch.randn(2, rows, 2, 1, 4)
            layer.update(new[0], new[1])
            seen += [buffer.untyped_storage().data_ptr() for buffer in layer._buffers or ()]
        layer.end()
    # One more than the two in use: what outgrows its buffer moves to another.
    assert len(set(seen)) == 3
    assert len(memory._free) == 3
    memory.clear()
    assert not memory._free


def test_what_grows_too_large_replaces_what_is_too_small() -> None:
    memory = Memory()
    for rows in (2, 4, 8, 16):
        layer, new = GrowingLayer(memory), torch.randn(2, rows, 2, 3, 4)
        layer.update(new[0], new[1])
        layer.end()
        assert len(memory._free) == 2


def test_keys_that_something_else_put_there_are_not_given_away() -> None:
    memory = Memory()
    layer, new = GrowingLayer(memory), torch.randn(2, 2, 2, 3, 4)
    layer.update(new[0], new[1])
    layer.keys = theirs = torch.randn(2, 2, 3, 4)
    layer.end()
    assert all(one.untyped_storage().data_ptr() != theirs.data_ptr() for one in memory._free)


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_rows_that_go_on_stay_or_fill_the_gaps(live: list[bool]) -> None:
    some = staying(live)
    assert sorted(some) == [row for row, one in enumerate(live) if one]
    found = holes(torch.tensor(some, dtype=torch.long), len(live))
    assert found is not None
    places, rows = found
    assert len(places) == sum(live[len(some) :])
    now = list(range(len(live)))
    for place, row in zip(places.tolist(), rows.tolist(), strict=True):
        now[place] = row
    assert now[: len(some)] == some


@pytest.mark.parametrize("order", [[1, 0], [0, 0, 1], [1, 2], [0, 1, 2, 0]])
def test_what_moves_more_than_gaps_is_no_filling_of_gaps(order: list[int]) -> None:
    assert holes(torch.tensor(order), 3) is None


def test_a_model_keeps_memory_from_batch_to_batch_until_it_rests_or_reads(
    folders: dict[str, Path],
) -> None:
    """Also of prompts that begin alike, whose beginning is read by itself."""
    model = load(folders["llama"])
    assert isinstance(model, Rests)
    tokens = alike(model, [(60 + n, *range(70, 70 + n % 4)) for n in range(9)])
    arms = [Arm("none"), ablation(1, *STRICT)]
    memory, found = model._sharing._caches.memory, []

    def written() -> list[Completion]:
        with model.edited(arms):
            return model.generate([replace(t, arm=n) for t in tokens for n in (0, 1)], Sampling(9))

    for over in (model.rest, lambda: model.activations(tokens, [Site("resid_post", 0)])):
        found.append(written())
        held = [*memory._free]
        assert len(held) == 2 * len(model.hf.model.layers) + 1
        for again in (written, lambda: model.generate(tokens, Sampling(9)), written):
            again()
            # `held` holds on to them: no other memory can be where they are.
            assert {one.data_ptr() for one in memory._free} == {one.data_ptr() for one in held}
        over()
        assert not memory._free
    assert found[0] == found[1]
