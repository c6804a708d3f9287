"""The CPU beside itself holds in every dtype; a fault on one side, however small, is found."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from parity import TOY, Difference, apart, exact, parity

pytestmark = pytest.mark.filterwarnings("ignore")


def rounded_as_tf32(tensor: torch.Tensor) -> None:
    """TF32 keeps 10 bits of a mantissa of 23."""
    bits = tensor.data.view(torch.int32)
    bits.add_(1 << 12).bitwise_and_(~((1 << 13) - 1))


def as_tf32(what: str, it: Any) -> None:
    """The weights of the other side as a product in TF32 would read them."""
    with torch.no_grad():
        for one in it.parameters() if what == "model" else it.values():
            rounded_as_tf32(one)


def one_block(what: str, it: Any) -> None:
    """The last block's way back into the stream is half as large again."""
    if what == "model":
        with torch.no_grad():
            it.model.layers[-1].mlp.down_proj.weight.mul_(2.0)


@pytest.mark.slow
def test_the_cpu_is_like_itself_in_every_dtype() -> None:
    found = list(parity("cpu", TOY))
    assert all(one.holds for one in found), [one.row for one in found if not one.holds]
    whats = {"activations", "addition", "ablation", "logits", "sae", "records"}
    assert {(one.dtype, one.what) for one in found} == {
        (dtype, what) for dtype in ("float32", "float16", "bfloat16") for what in whats
    }


@pytest.mark.slow
def test_tf32_is_found() -> None:
    found = {one.what: one for one in parity("cpu", TOY, ["float32"], as_tf32)}
    for what in ("activations", "addition", "ablation", "logits", "sae"):
        assert not found[what].holds, found[what].row


@pytest.mark.slow
def test_a_wrong_block_is_found_in_half_precision() -> None:
    found = {one.what: one for one in parity("cpu", TOY, ["bfloat16"], one_block)}
    assert not found["activations"].holds
    assert found["sae"].holds


def test_what_is_no_number_does_not_hold() -> None:
    assert Difference("float32", "x", 1e-6, 1e-5).holds
    assert not Difference("float32", "x", float("nan"), 1e-5).holds
    assert not Difference("float32", "x", 2e-5, 1e-5).holds


def test_apart_is_relative_to_each_row() -> None:
    a = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    assert torch.allclose(
        apart(a, a + torch.tensor([0.05, 0.0])).float(), torch.tensor([0.01, 0.1])
    )


def test_tf32_is_off_inside_and_as_it_was_outside() -> None:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    with exact():
        assert torch.get_float32_matmul_precision() == "highest"
        assert not torch.backends.cudnn.allow_tf32
    assert (torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32) == before
