"""What the rows of a batch share, seen from outside: the shapes of the forwards, and receipts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings, strategies as st

from harness.contract import Arm, Example, Prompt, Sampling, Tokens
from harness_transformers import prefixes
from harness_transformers.growing import GrowingLayer
from harness_transformers.model import TransformersModel
from harness_transformers.prefixes import beginning, moved, times
from harness_transformers.receipts import whole_sums

from .conftest import LAYERS, load
from .test_edits import STRICT, ablation, addition
from .test_generate import NEW, stopping_at

LATE = addition(2, f"resid_post.{LAYERS - 1}")


@contextmanager
def shapes(model: TransformersModel, block: int = 0) -> Iterator[list[tuple[int, int]]]:
    """Rows and positions of every forward, where a block begins."""
    seen: list[tuple[int, int]] = []

    def see(_module: Any, args: Any, kwargs: Any) -> None:
        x = args[0] if args else kwargs["hidden_states"]
        seen.append((x.shape[0], x.shape[1]))

    module = model._layout.modules[block]
    with module.register_forward_pre_hook(see, with_kwargs=True):
        yield seen


def in_arms(tokens: list[Tokens], arms: int) -> list[Tokens]:
    return [replace(one, arm=arm) for one in tokens for arm in range(arms)]


def alike(llama: TransformersModel, tails: list[tuple[int, ...]]) -> list[Tokens]:
    start = (1, *range(30, 52))
    return [
        Tokens(f"e{n}", (*start, *tail), (0, len(start) + len(tail)), "")
        for n, tail in enumerate(tails)
    ]


def test_rows_that_have_ended_leave(llama: TransformersModel, examples: list[Example]) -> None:
    tokens = llama.render(examples, Prompt())
    rows = [replace(t, arm=int(i == 1)) for i, t in enumerate(tokens)]
    llama.generate(tokens, Sampling(NEW))  # what it can share is tried at its first completions
    with llama.edited([Arm("none"), stopping_at(llama, 2)]), shapes(llama) as seen:
        got = llama.generate(rows, Sampling(NEW))
    assert [one.tokens for one in got] == [NEW, 1, NEW]
    assert [many for many, _ in seen] == [3, *[2] * (NEW - 1)]


@pytest.mark.slow
def test_equal_rows_are_written_once(llama: TransformersModel, examples: list[Example]) -> None:
    tokens = llama.render(examples, Prompt())
    arms = [ablation(1, *STRICT), replace(ablation(1, *STRICT), name="again"), ablation(2, *STRICT)]
    rows = in_arms([*tokens, tokens[0]], 3)
    with llama.edited(arms) as receipts, shapes(llama) as seen:
        got = llama.generate(rows, Sampling(NEW))
    assert seen[0][0] == 2 * len(tokens)
    assert got[: len(arms)] == got[-len(arms) :]
    assert all(got[n] == got[n + 1] for n in range(0, len(got), 3))
    first, again = replace(receipts[0], arm=""), replace(receipts[1], arm="")
    assert first == again
    alone = []
    for row in rows:
        with llama.edited([arms[row.arm]]) as told:
            llama.generate([replace(row, arm=0)], Sampling(NEW))
        alone.append((row.arm, told[0]))
    for arm, receipt in enumerate(receipts):
        its = [one for a, one in alone if a == arm]
        assert receipt.tokens == sum(one.tokens for one in its)
        total = sum((one.relative or 0) * one.tokens for one in its)
        assert receipt.relative == pytest.approx(total / receipt.tokens, rel=1e-5)
    drawn = Sampling(NEW, temperature=1.0)
    with llama.edited(arms), shapes(llama) as seen:
        llama.generate(in_arms([*tokens, replace(tokens[0], example="other")], 3), drawn)
    assert seen[0][0] == 2 * (len(tokens) + 1)


@pytest.mark.slow
def test_blocks_below_an_edit_run_once_for_all_arms(
    llama: TransformersModel, examples: list[Example]
) -> None:
    tokens = llama.render(examples, Prompt())
    arms = [Arm("none"), LATE, addition(3, f"resid_post.{LAYERS - 1}")]
    rows = in_arms(tokens, 3)
    with llama.edited(arms):
        llama.generate(rows, Sampling(1))  # the first time it is tried on some of the rows
    with llama.edited(arms) as receipts, shapes(llama) as first, shapes(llama, LAYERS - 1) as last:
        got = llama.generate(rows, Sampling(NEW))
    assert (first[0][0], last[0][0]) == (len(tokens), len(tokens))
    assert {many for many, _ in first[1:]} == {len(rows)}
    assert receipts[1].tokens == sum(len(t.ids) + NEW - 1 for t in tokens)
    for row, one in zip(rows, got, strict=True):
        with llama.edited([arms[row.arm]]):
            assert llama.generate([replace(row, arm=0)], Sampling(NEW)) == [one]


@pytest.mark.slow
def test_what_prompts_begin_with_is_read_once(
    llama: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = alike(llama, [(60, 61), (62,), (63, 64, 65, 66)])
    plain = [llama.generate([one], Sampling(NEW))[0] for one in tokens]
    with shapes(llama) as seen:
        assert llama.generate(tokens, Sampling(NEW)) == plain
        assert llama.generate(tokens[::-1], Sampling(NEW)) == plain[::-1]
    reads = [shape for shape in seen if shape[1] > 1]
    assert reads == [(1, 16), (3, 11), (3, 11)]  # remembered without edits, in steps of eight
    monkeypatch.setattr(prefixes, "ENOUGH", 1)
    arms = [ablation(1, *STRICT), ablation(2, *STRICT)]
    with llama.edited(arms) as receipts, shapes(llama) as seen:
        got = llama.generate(in_arms(tokens, 2), Sampling(NEW))
    assert [shape for shape in seen if shape[1] > 1] == [(2, 23), (6, 4)]
    for row, one in zip(in_arms(tokens, 2), got, strict=True):
        with llama.edited([arms[row.arm]]) as alone:
            assert llama.generate([replace(row, arm=0)], Sampling(NEW)) == [one]
        assert alone[0].broken == receipts[row.arm].broken
    assert receipts[0].tokens == len(arms[0].edits) * sum(len(t.ids) + NEW - 1 for t in tokens)


@pytest.mark.slow
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tails=st.lists(st.lists(st.integers(30, 40), min_size=1, max_size=4), min_size=2, max_size=5),
    late=st.booleans(),
)
def test_no_batch_is_seen_in_what_is_written(
    llama: TransformersModel, tails: list[list[int]], late: bool
) -> None:
    tokens = alike(llama, [tuple(tail) for tail in tails])
    arms = [LATE if late else ablation(1, *STRICT), addition(3, f"resid_post.{LAYERS - 1}")]
    rows = in_arms(tokens, 2)
    with llama.edited(arms) as receipts:
        got = llama.generate(rows, Sampling(4))
    counts = [0, 0]
    for row, one in zip(rows, got, strict=True):
        with llama.edited([arms[row.arm]]) as alone:
            assert llama.generate([replace(row, arm=0)], Sampling(4)) == [one]
        counts[row.arm] += alone[0].tokens
    assert [receipt.tokens for receipt in receipts] == counts


@pytest.mark.slow
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    shared=st.integers(0, 4),
    step=st.integers(1, 3),
)
def test_a_beginning_is_common_to_all(lengths: list[int], shared: int, step: int) -> None:
    rows = [
        Tokens(str(n), tuple(i if i < shared else 10 + n for i in range(many)), (0, many), "")
        for n, many in enumerate(lengths)
    ]
    found = beginning(rows, step)
    assert len(found) % step == 0
    assert all(one.ids[: len(found)] == found[: len(one.ids)] for one in rows)
    assert len(found) < max(lengths)


@pytest.mark.slow
@given(pads=st.lists(st.integers(0, 7), min_size=1, max_size=4), length=st.integers(1, 6))
def test_a_beginning_is_moved_to_where_its_row_begins(pads: list[int], length: int) -> None:
    part = torch.randn(2, 3, length, 4)
    of = torch.tensor([n % 2 for n in range(len(pads))])
    got = moved(part, of, torch.tensor(pads))
    told = times([0, 1], of.tolist(), pads, length)
    count = torch.zeros(2, length)
    for row, pad in enumerate(pads):
        for column in range(pad, length):
            assert torch.equal(got[row, :, column], part[of[row], :, column - pad])
            count[of[row], column - pad] += 1
    assert torch.equal(count, told.float())


@pytest.mark.slow
@given(
    st.lists(st.lists(st.floats(0, 1e18), min_size=2, max_size=2), min_size=1, max_size=4),
    st.lists(st.integers(0, 1 << 40), min_size=4, max_size=4),
)
def test_weighted_sums_are_those_of_repeated_numbers(
    values: list[list[float]], often: list[int]
) -> None:
    x = torch.tensor(values, dtype=torch.float64)[:, None]
    n = torch.tensor([often[row % 4] for row in range(len(values))])[:, None, None].expand(x.shape)
    each = [whole_sums(x[row : row + 1])[0] for row in range(len(values))]
    assert whole_sums(x, n) == [sum(one * often[row % 4] for row, one in enumerate(each))]


@pytest.mark.slow
@given(st.lists(st.integers(0, 4), min_size=1, max_size=7), st.integers(1, 40))
def test_a_cache_keeps_the_rows_that_it_is_told(rows: list[int], more: int) -> None:
    layer, start = GrowingLayer(), torch.randn(2, 5, 3, 4, 2)
    layer.update(start[0], start[1])
    layer.reorder_cache(torch.tensor(rows))
    new = torch.randn(2, len(rows), 3, more, 2)
    keys, values = layer.update(new[0], new[1])
    assert torch.equal(keys, torch.cat([start[0][rows], new[0]], dim=2))
    assert torch.equal(values, torch.cat([start[1][rows], new[1]], dim=2))


@pytest.mark.slow
def test_what_cannot_be_compiled_runs_as_it_is(
    folders: dict[str, Path], examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(folders["llama"], compile=True, device="cpu")
    plain = load(folders["llama"], device="cpu")
    assert not plain.notes
    assert "compile: its steps run uncompiled: it runs on cpu" in model.notes[-1]
    tokens = model.render(examples, Prompt())
    expected = plain.generate(tokens, Sampling(NEW))
    assert model.generate(tokens, Sampling(NEW)) == expected
    # With a cache of a fixed size, as on a CUDA device, and steps that are only called.
    monkeypatch.setattr(model._compiled, "_why", None)
    calls = []
    monkeypatch.setattr(
        model.hf, "get_compiled_call", lambda _: calls.append(1) or model.hf.__call__
    )
    assert model.generate(tokens, Sampling(NEW)) == expected
    assert calls
    assert not model.notes

    def fails(_config: object) -> object:
        raise RuntimeError("Failed to find a C compiler")

    monkeypatch.setattr(model.hf, "get_compiled_call", fails)
    assert model.generate(tokens, Sampling(NEW)) == expected
    assert "torch could not compile it (Failed to find a C compiler)" in model.notes[-1]
    assert not model._compiled.tried(edited=False)
