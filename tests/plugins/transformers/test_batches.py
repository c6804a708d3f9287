"""Batches that do not fit the memory shrink; nothing is counted twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.contract import Example, Prompt, Sampling, Site
from harness.errors import MachineError, ModelError
from harness_transformers.batches import check_ids, out_of_memory
from harness_transformers.model import TransformersModel

from .conftest import load
from .test_edits import addition, logits

MESSAGES = [
    torch.OutOfMemoryError("CUDA out of memory."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("not enough memory: you tried to allocate 9 bytes"),
]
HERE = Site("resid_post", 2)


class Memory:
    """Makes the last block fail for more than `most` rows."""

    def __init__(self, model: TransformersModel, most: int, error: Exception) -> None:
        self.most, self.error = most, error
        self.rows: list[int] = []
        last = model.hf.get_submodule(model._layout.blocks[-1])
        last.register_forward_pre_hook(self.look)

    def look(self, _module: Any, args: Any) -> None:
        self.rows.append(len(args[0]))
        if len(args[0]) > self.most:
            raise self.error


@pytest.fixture
def model(folders: dict[str, Path]) -> TransformersModel:
    return load(folders["llama"])


@pytest.mark.parametrize("error", MESSAGES)
def test_what_means_out_of_memory(error: Exception) -> None:
    assert out_of_memory(error)
    assert not out_of_memory(RuntimeError("a shape is wrong"))


@pytest.mark.slow
def test_a_batch_is_halved_and_the_size_remembered(
    model: TransformersModel, examples: list[Example]
) -> None:
    tokens = model.render(examples * 3, Prompt())
    expected = model.activations(tokens, [HERE], logits=True)
    completions = model.generate(tokens, Sampling(3))
    with model.edited([addition(1, "resid_post.1")]) as before:
        model.activations(tokens, [HERE])
    memory = Memory(model, 3, MESSAGES[1])
    got = model.activations(tokens, [HERE], logits=True)
    assert memory.rows == [9, 5, 3, 3, 3]
    memory.rows.clear()
    assert got.sites[HERE].shape == expected.sites[HERE].shape
    for i, t in enumerate(tokens):
        for a, b in ((got.sites[HERE], expected.sites[HERE]), (got.logits, expected.logits)):
            assert a is not None
            assert b is not None
            torch.testing.assert_close(a[i, : len(t.ids)], b[i, : len(t.ids)])
    assert torch.isfinite(logits(model, tokens)).all()
    assert memory.rows == [3, 3, 3]
    assert model.generate(tokens, Sampling(3)) == completions
    with model.edited([addition(1, "resid_post.1")]) as after:
        model.activations(tokens, [HERE])
    assert after[0].tokens == before[0].tokens
    assert after[0].relative == pytest.approx(before[0].relative, rel=1e-5)
    assert after[0].fired == 3


def test_a_single_prompt_that_does_not_fit(
    model: TransformersModel, examples: list[Example]
) -> None:
    tokens = model.render(examples, Prompt())
    Memory(model, 0, MESSAGES[0])
    with pytest.raises(MachineError, match=r"with a single prompt of \d+ tokens \(e0\)"):
        model.activations(tokens, [HERE])


def test_other_errors_are_not_swallowed(model: TransformersModel, examples: list[Example]) -> None:
    Memory(model, 0, RuntimeError("a shape is wrong"))
    with pytest.raises(RuntimeError, match="a shape is wrong"):
        model.activations(model.render(examples, Prompt()), [HERE])


@pytest.mark.slow
def test_ids_of_another_model(llama: TransformersModel, examples: list[Example]) -> None:
    tokens = llama.render(examples, Prompt())
    with pytest.raises(ModelError, match="token id 320, but the embedding has 320 rows"):
        llama.activations([replace(tokens[0], ids=(320,))], [HERE])
    with pytest.raises(ModelError, match="a prompt without tokens"):
        check_ids([replace(tokens[0], ids=())], 320, None, "m")
