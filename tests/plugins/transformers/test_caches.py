"""Caches with room behind their keys: the same completions, and only for models that mask it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st

from harness.contract import Arm, Example, Prompt, Sampling, Tokens
from harness_transformers.growing import GrowingLayer, WholeLayer, room_for
from harness_transformers.model import TransformersModel

from .conftest import load
from .test_edits import STRICT, ablation, addition

LONG = Sampling(24)


def whole(model: TransformersModel) -> bool | None:
    return model._sharing._caches._whole


@given(st.integers(1, 10_000), st.integers(0, 200))
def test_room_hangs_on_the_tokens_alone(tokens: int, more: int) -> None:
    """However a buffer came to its tokens: a larger one is made only where the tokens need it."""
    room = room_for(tokens)
    assert room >= tokens
    assert room - tokens <= 2 * tokens**0.5 + 1
    if tokens + more <= room:
        assert room_for(tokens + more) == room


@pytest.mark.slow
@settings(max_examples=40)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.data())
def test_what_is_handed_out_is_what_was_put_in_and_zeros(sizes: list[int], data: Any) -> None:
    ours, plain = WholeLayer(), GrowingLayer()
    rows = 3
    for size in sizes:
        keys, values = torch.randn(2, rows, 2, size, 4)
        promised = ours.get_mask_sizes(size)
        out = ours.update(keys, values)
        expected = plain.update(keys, values)
        assert promised == (out[0].shape[-2], 0)
        assert ours.get_seq_length() == plain.get_seq_length()
        for one, other in zip(out, expected, strict=True):
            assert torch.equal(one[..., : other.shape[-2], :], other)
            assert not one[..., other.shape[-2] :, :].any()
        if data.draw(st.booleans()):
            kept = torch.tensor(data.draw(st.lists(st.integers(0, rows - 1), min_size=1)))
            rows = len(kept)
            ours.reorder_cache(kept)
            plain.reorder_cache(kept)


@pytest.mark.slow
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_completions_are_those_of_a_cache_without_room(
    folders: dict[str, Path], examples: list[Example], *, padded: bool, attention: str
) -> None:
    model = load(folders["llama"], attn_implementation=attention)
    tokens = model.render(examples, Prompt())
    rows = tokens if padded else tokens[:1]
    arms = [Arm("none"), ablation(1, *STRICT), addition(2, "resid_post.1")]
    found = []
    for kind in (None, False):
        if kind is not None:
            model._sharing._caches._whole = kind
        with model.edited(arms) as receipts:
            found.append((model.generate(_in_arms(rows), LONG), list(receipts)))
        if kind is None:
            assert whole(model)
    (ours, ours_did), (plain, plain_did) = found
    assert ours == plain
    for one, other in zip(ours_did, plain_did, strict=True):
        assert one.tokens == other.tokens
        assert (one.relative or 0) == pytest.approx(other.relative or 0, rel=1e-5)


def _in_arms(tokens: list[Tokens]) -> list[Tokens]:
    return [replace(one, arm=arm) for one in tokens for arm in range(3)]


@pytest.mark.slow
def test_a_model_that_does_not_mask_the_room_gets_none(
    folders: dict[str, Path], examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says that it can, and reads the room like tokens, without an error."""
    model = load(folders["llama"])
    tokens = model.render(examples, Prompt())
    expected = load(folders["llama"]).generate(tokens, LONG)
    attend = type(model.hf.model.layers[0].self_attn).forward

    def forgets(self: Any, *args: Any, attention_mask: Any = None, **given: Any) -> Any:
        if attention_mask is not None and given["hidden_states"].shape[1] == 1:
            attention_mask = torch.ones_like(attention_mask)
        return attend(self, *args, attention_mask=attention_mask, **given)

    monkeypatch.setattr(type(model.hf.model.layers[0].self_attn), "forward", forgets)
    longest = max(tokens, key=lambda one: len(one.ids))
    model.generate([longest], LONG)
    assert whole(model) is False
    monkeypatch.undo()
    assert model.generate(tokens, LONG) == expected


@pytest.mark.slow
def test_what_is_tried_on_a_batch_leaves_no_trace(
    folders: dict[str, Path], examples: list[Example]
) -> None:
    model = load(folders["llama"])
    tokens = model.render(examples, Prompt())
    did = []
    for _ in range(2):
        assert model._sharing._caches._tried is bool(did)
        with model.edited([ablation(1, *STRICT)]) as receipts:
            model.generate(tokens, LONG)
        did.append(receipts[0])
    assert did[0] == did[1]
