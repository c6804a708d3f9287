"""Prompts that are read a few rows at a time: the same completions and the same receipts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, strategies as st

from harness.contract import Arm, Sampling, Tokens
from harness_transformers import pieces
from harness_transformers.growing import GrowingLayer, WholeLayer
from harness_transformers.memory import Memory

from .conftest import load
from .test_edits import STRICT, ablation, addition
from .test_sharing import alike, shapes

NEW = Sampling(9)
ARMS = [Arm("none"), ablation(1, *STRICT), addition(2, "resid_pre.0")]


@given(st.integers(1, 300), st.integers(1, 5000))
def test_the_parts_are_all_rows_once_and_none_too_large(rows: int, width: int) -> None:
    inputs = {"input_ids": torch.empty(rows, width, dtype=torch.int8), "use_cache": True}
    found = [row for part in pieces.pieces(inputs) for row in range(rows)[part]]
    assert found == list(range(rows))
    for part in pieces.pieces(inputs):
        assert len(range(rows)[part]) in (1, *range(2, pieces.TOGETHER // width + 1))


@pytest.mark.parametrize("odd", [torch.ones(3, 2, 40), torch.ones(40), object()])
def test_what_cannot_be_divided_is_read_whole(odd: object) -> None:
    inputs = {"input_ids": torch.ones(40, 200), "odd": odd}
    assert pieces.pieces(inputs) == [slice(0, 40)]
    assert len(pieces.pieces({**inputs, "odd": None})) == 4


def prompts(*, begin_alike: bool) -> list[Tokens]:
    tails = [(60 + n, *range(70, 70 + n % 4)) for n in range(7)]
    if begin_alike:
        return alike(None, tails)  # type: ignore[arg-type]
    return [Tokens(f"e{n}", (1, *tail), (0, 1 + len(tail)), "") for n, tail in enumerate(tails)]


@pytest.mark.slow
@pytest.mark.parametrize("begin_alike", [False, True])
@pytest.mark.parametrize("edited", [False, True])
def test_completions_and_receipts_are_those_of_all_at_once(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, *, begin_alike: bool, edited: bool
) -> None:
    model = load(folders["llama"])
    rows = prompts(begin_alike=begin_alike)
    if edited:
        rows = [replace(one, arm=arm) for one in rows for arm in range(len(ARMS))]
    model.generate(rows[:1], NEW)  # what it can is tried at its first completions
    found, forwards = [], []
    for together in (4096, 20, 1):
        monkeypatch.setattr(pieces, "TOGETHER", together)
        with model.edited(ARMS) as receipts, shapes(model) as seen:
            found.append((model.generate(rows, NEW), list(receipts)))
        forwards.append(len([one for one in seen if one[1] > 1]))
    assert forwards[0] < forwards[1] <= forwards[2]
    for completions, did in found[1:]:
        assert completions == found[0][0]
        for one, other in zip(did, found[0][1], strict=True):
            assert (one.tokens, one.changed) == (other.tokens, other.changed)
            assert (one.relative or 0) == pytest.approx(other.relative or 0, rel=1e-5)


def test_a_model_that_keeps_something_of_its_rows_is_read_whole(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(folders["llama"])
    block = model.hf.model.layers[0]
    forward = block.forward

    def keeps(x: torch.Tensor, *args: object, **given: object) -> object:
        block.kept = x  # as models do that number positions by rows
        return forward(x, *args, **given)

    monkeypatch.setattr(block, "forward", keeps)
    monkeypatch.setattr(pieces, "TOGETHER", 1)
    rows = prompts(begin_alike=False)
    model.generate(rows, NEW)
    assert not model._sharing._caches.apart
    with shapes(model) as seen:
        model.generate(rows, NEW)
    assert len([one for one in seen if one[1] > 1]) == 1


@pytest.mark.slow
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=5),
    st.integers(0, 9),
    st.integers(1, 30),
    st.booleans(),
)
def test_rows_that_are_read_in_parts_stand_in_order(
    rows: list[int], known: int, tokens: int, again: bool
) -> None:
    """Behind a beginning that all have already, or without one."""
    for kind in (GrowingLayer, WholeLayer):
        memory = Memory() if again else None
        layer, count = kind(memory), sum(rows)
        begun, read, new = (torch.randn(2, count, 2, n, 3) for n in (known, tokens, 5))
        if known:
            layer.begin(begun[0], begun[1])
        whole, at = layer.whole(count, known + tokens), 0
        for some in rows:
            part, its = kind(memory), slice(at, at + some)
            part.read_among(whole, its)
            part.update(read[0, its], read[1, its])
            at += some
        layer.become(whole)
        out = layer.update(new[0], new[1])
        expected = torch.cat([begun, read, new], 3)
        for one, other in zip(out, expected, strict=True):
            assert torch.equal(one[..., : other.shape[-2], :], other)
            assert not one[..., other.shape[-2] :, :].any()
