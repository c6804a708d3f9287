"""Batches that do not fit the memory shrink; nothing is counted twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st

from harness.contract import Arm, Edit, Example, Prompt, Sampling, Site, Tokens
from harness.errors import MachineError, ModelError
from harness_transformers import batches
from harness_transformers.batches import (
    by_width,
    check_ids,
    hangs_on_width,
    out_of_memory,
    padded,
    placed,
)
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


LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=40)
CPU = torch.device("cpu")


def of_lengths(lengths: list[int]) -> list[Tokens]:
    return [
        Tokens(f"e{n}", tuple(3 + (n + k) % 300 for k in range(size)), (0, size), "")
        for n, size in enumerate(lengths)
    ]


@given(LENGTHS)
def test_rows_are_grouped_where_that_saves_padding(lengths: list[int]) -> None:
    groups = by_width(lengths, CPU)
    assert sorted(row for rows in groups.values() for row in rows) == list(range(len(lengths)))
    for width, rows in groups.items():
        assert max(lengths[row] for row in rows) <= width
        assert width % batches.WIDE == 0 or width == max(lengths)
    assert by_width(lengths, torch.device("cuda")) == {max(lengths): list(range(len(lengths)))}


@given(st.lists(st.integers(1, 400), min_size=1, max_size=12), st.integers(0, 900))
def test_no_other_groups_take_fewer_positions(lengths: list[int], worth: int) -> None:
    widest = max(lengths)
    ends = sorted({min(-(-one // batches.WIDE) * batches.WIDE, widest) for one in lengths})

    def cost(widths: Sequence[int]) -> int:
        return sum(min(w for w in widths if w >= one) for one in lengths) + worth * len(widths)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches, "WORTH", worth)
        groups = by_width(lengths, CPU)
    every = [(*some, widest) for n in range(len(ends)) for some in combinations(ends[:-1], n)]
    assert cost(list(groups)) == min(map(cost, every))
    assert all(groups.values())


def test_short_rows_do_not_pay_for_a_long_one() -> None:
    assert by_width([40] * 31 + [367], CPU) == {64: list(range(31)), 367: [31]}
    assert by_width([40] * 2 + [367], CPU) == {367: [0, 1, 2]}


@given(LENGTHS, st.booleans(), st.integers(0, 500))
def test_padding_stands_on_one_side(lengths: list[int], left: bool, width: int) -> None:
    rows = of_lengths(lengths)
    ids, mask = padded(rows, 7, CPU, left=left, width=width)
    assert ids.shape == mask.shape == (len(rows), max(width, *lengths, 1))
    for row, its, real in zip(rows, ids.tolist(), mask.tolist(), strict=True):
        fill = [7] * (len(its) - len(row.ids))
        assert its == ([*fill, *row.ids] if left else [*row.ids, *fill])
        assert real == sorted([0] * len(fill) + [1] * len(row.ids), reverse=not left)


@given(st.permutations(range(9)), st.lists(st.integers(1, 8), max_size=4))
def test_parts_of_a_batch_become_one(order: list[int], cuts: list[int]) -> None:
    rows = [order[a:b] for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), 9], strict=True)]
    parts = [(some, torch.randn(len(some), 2 + n, 3)) for n, some in enumerate(rows) if some]
    whole = None
    for some, part in reversed(parts):  # the widest first
        whole = placed(whole, some, part, 9)
    assert whole is not None
    assert whole.shape == (9, max(part.shape[1] for _, part in parts), 3)
    for some, part in parts:
        for row, x in zip(some, part, strict=True):
            assert torch.equal(whole[row, : len(x)], x)
            assert len(parts) == 1 or not whole[row, len(x) :].any()


def test_short_rows_among_long_ones_say_what_they_say_alone(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = of_lengths([90, 5, 30, 64, 65, 12, 100])
    widths = seen_widths(model)
    found = []
    for worth in (1, 10**9):
        monkeypatch.setattr(batches, "WORTH", worth)
        found.append(model.activations(rows, [HERE], logits=True))
    assert sorted(widths) == [(3, 100), (4, 64), (7, 100)]
    ours, whole = found
    for row, t in enumerate(rows):
        size = len(t.ids)
        for one, other in ((ours.sites[HERE], whole.sites[HERE]), (ours.logits, whole.logits)):
            assert one is not None
            assert other is not None
            torch.testing.assert_close(one[row, :size], other[row, :size])


def seen_widths(model: TransformersModel) -> list[tuple[int, ...]]:
    """The shapes of the ids that are read from here on."""
    widths: list[tuple[int, ...]] = []
    embed = model.hf.get_input_embeddings()
    embed.register_forward_pre_hook(lambda _module, args: widths.append(tuple(args[0].shape)))
    return widths


def add_each(x: torch.Tensor, parameters: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Another vector at each position, as where each token is edited by what another view has."""
    return x + parameters["other"].to(x.dtype)


@pytest.mark.parametrize("most", [7, 3])
def test_edited_rows_have_the_positions_of_their_batch(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Also the short ones, and where the batch does not fit the memory: parameters of their edits
    may have an axis of them. A swap of latents over rows of 64 and 165 tokens was an error."""
    monkeypatch.setattr(batches, "WORTH", 1)
    lengths = [90, 5, 30, 64, 65, 12, 100]
    rows = [replace(one, arm=n) for n, one in enumerate(of_lengths(lengths))]
    other = torch.randn(7, 100, model.facts.d_model, generator=torch.Generator().manual_seed(0))
    site = Site("resid_post", 1)
    arms = [Arm(f"a{n}", (Edit(site, add_each, {"other": one}),)) for n, one in enumerate(other)]
    Memory(model, most, MESSAGES[1])
    widths = seen_widths(model)
    with model.edited(arms) as receipts:
        found = model.activations(rows, [HERE], logits=True)
        slopes = model.gradients(rows, lambda logits, n: logits[-1, 0], [HERE])
    assert {width for _, width in widths} == {100}
    assert [one.tokens for one in receipts] == [2 * size for size in lengths]
    for n, size in enumerate(lengths):
        arm = Arm("one", (Edit(site, add_each, {"other": other[n, :size]}),))
        with model.edited([arm]):
            alone = model.activations([replace(rows[n], arm=0)], [HERE], logits=True)
        pairs = ((found.sites[HERE], alone.sites[HERE]), (found.logits, alone.logits))
        for one, its in (*pairs, (slopes.activations[HERE], alone.sites[HERE])):
            assert one is not None
            assert its is not None
            torch.testing.assert_close(one[n, :size], its[0])


def test_rows_of_a_batch_that_failed_are_counted_once(model: TransformersModel) -> None:
    """The blocks before had been edited when the last one failed."""
    rows = of_lengths([90] * 2 + [5] * 80)
    with model.edited([addition(1, "resid_post.1")]) as expected:
        model.activations(rows, [HERE])
    Memory(model, 50, MESSAGES[1])
    with model.edited([addition(1, "resid_post.1")]) as receipts:
        model.activations(rows, [HERE])
    assert receipts[0].tokens == expected[0].tokens == sum(len(t.ids) for t in rows)


def test_what_was_kept_of_the_batch_before_is_given_back_where_memory_is_short(
    model: TransformersModel, examples: list[Example]
) -> None:
    tokens = model.render(examples, Prompt())
    kept = model._sharing._caches.memory
    free: list[int] = []
    model.hf.get_input_embeddings().register_forward_pre_hook(
        lambda *_: free.append(len(kept._free))
    )
    with model.edited([addition(1, "resid_post.1")]):
        expected = model.generate(tokens, Sampling(3))
        assert kept._free
        free.clear()
        memory = Memory(model, 1, MESSAGES[1])
        assert model.generate(tokens, Sampling(3)) == expected
    assert memory.rows[0] > 1 == memory.rows[2]
    assert free[0] > 0 == free[1]  # what failed, and the smaller batch after it


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


def test_what_did_not_fit_is_remembered_as_wide_as_it_was_read(model: TransformersModel) -> None:
    """Edited rows are as wide as their batch: 10 tokens in a batch of 400 are 400 positions."""
    positions = []

    def look(_module: Any, args: Any) -> None:
        positions.append(args[0].shape[:2].numel())
        if positions[-1] > 4000:
            raise MESSAGES[1]

    model.hf.get_submodule(model._layout.blocks[-1]).register_forward_pre_hook(look)
    with model.edited([addition(1, "resid_post.1")]):
        model.activations(of_lengths([10] * 40 + [400]), [HERE])
    positions.clear()
    model.activations(of_lengths([100] * 30), [HERE])
    assert positions == [1500, 1500]  # six rows of 400 had fitted; it was one row at a time
    with (
        model.edited([addition(1, "resid_post.1")]),
        pytest.raises(
            MachineError, match=r"of 10 tokens \(e0\), as wide as its batch of 5000\. Use"
        ),
    ):
        model.activations(of_lengths([10, 5000]), [HERE])


def test_a_model_whose_rows_hang_on_the_longest_reads_them_together(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an arm without effect and no arm at all would be two models."""
    assert not hangs_on_width(model.hf)
    (rotary,) = (m for m in model.hf.modules() if hasattr(m, "rope_type"))
    for kind in ("longrope", "dynamic", {"full_attention": "longrope", "sliding": "default"}):
        monkeypatch.setattr(rotary, "rope_type", kind)
        assert hangs_on_width(model.hf)
    monkeypatch.setattr(model, "_hangs_on_width", True)
    monkeypatch.setattr(batches, "WORTH", 1)
    widths = seen_widths(model)
    model.activations(of_lengths([90, 5, 100]), [HERE])
    assert widths == [(3, 100)]


def test_memory_of_inference_mode_stays_there(
    model: TransformersModel, examples: list[Example]
) -> None:
    tokens = model.render(examples * 6, Prompt())
    with torch.inference_mode():
        inside = model.generate(tokens, Sampling(20))
    assert model.generate(tokens, Sampling(20)) == inside
    with torch.inference_mode():
        assert model.generate(tokens, Sampling(20)) == inside
