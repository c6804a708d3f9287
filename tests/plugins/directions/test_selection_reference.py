"""Arditi's selection against a slow one with plain hooks, as the original script does it.

The reference reads one prompt at a time, without padding: it registers a pre-hook on each block and
hooks on the outputs of attention and MLP, and knows nothing of the harness.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from fakes.selection import (
    CONFIGS,
    LAYERS,
    POSITIONS,
    REFUSAL,
    ROWS,
    TASK,
    WIDTH,
    World,
    drawn,
    planted,
    saved,
)
from harness.contract import Direction, Undefined


@pytest.fixture(scope="module", params=CONFIGS)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp(request.param)
    saved(folder / "model", drawn(request.param))
    return World(folder, request.param)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("one")
    saved(folder / "model", drawn("llama"))
    return World(folder, "llama")


# ── The slow way ─────────────────────────────────────────────────────────────────────────────────


class Script:
    """The original's steps, one prompt after the other."""

    def __init__(self, folder: Path) -> None:
        self.hf = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        self.blocks = self.hf.model.layers

    def ids(self, row: str) -> torch.Tensor:
        text = f"<bos> {row} close header line"
        return self.tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids

    @torch.no_grad()
    def logits(self, row: str) -> np.ndarray:
        found: np.ndarray = self.hf(self.ids(row), use_cache=False).logits[0, -1].numpy()
        return found

    def means(self, rows: Sequence[str]) -> np.ndarray:
        """[position, layer, width]: means of what enters each block."""
        total = np.zeros((POSITIONS, LAYERS, WIDTH))
        for row in rows:
            caught: list[np.ndarray] = []
            with ExitStack() as stack:
                for block in self.blocks:
                    handle = block.register_forward_pre_hook(
                        lambda module, args, caught=caught: caught.append(args[0][0].numpy())
                    )
                    stack.callback(handle.remove)
                self.logits(row)
            for layer in range(LAYERS):
                total[:, layer] += caught[layer][-POSITIONS:]
        return total / len(rows)

    @contextmanager
    def ablated(self, r: np.ndarray) -> Iterator[None]:
        unit = torch.tensor(r / (np.linalg.norm(r) + 1e-8))

        def out(x: torch.Tensor) -> torch.Tensor:
            return x - (x @ unit)[..., None] * unit

        def before(module: Any, args: Any) -> Any:
            return (out(args[0]), *args[1:])

        def after(module: Any, args: Any, output: Any) -> Any:
            if isinstance(output, tuple):
                return (out(output[0]), *output[1:])
            return out(output)

        with ExitStack() as stack:
            for block in self.blocks:
                stack.callback(block.register_forward_pre_hook(before).remove)
                stack.callback(block.self_attn.register_forward_hook(after).remove)
                stack.callback(block.mlp.register_forward_hook(after).remove)
            yield

    @contextmanager
    def added(self, r: np.ndarray, layer: int) -> Iterator[None]:
        v = torch.tensor(r)
        handle = self.blocks[layer].register_forward_pre_hook(
            lambda module, args: (args[0] + v, *args[1:])
        )
        try:
            yield
        finally:
            handle.remove()

    def score(self, row: str) -> float:
        logits = self.logits(row)
        p = np.exp(logits - logits.max())
        p /= p.sum()
        refused = sum(p[self.tokenizer.convert_tokens_to_ids(word)] for word in REFUSAL)
        return float(np.log(refused + 1e-8) - np.log(1 - refused + 1e-8))

    def probabilities(self, row: str) -> np.ndarray:
        logits = self.logits(row)
        p = np.exp(logits - logits.max())
        return np.asarray(p / p.sum())

    def numbers(self, r: np.ndarray, layer: int) -> tuple[float, float, float]:
        """Bypass, induce and KL of a candidate."""
        with self.ablated(r):
            bypass = np.mean([self.score(row) for row in ROWS["harm_val"]])
            after = [self.probabilities(row) for row in ROWS["fine_val"]]
        before = [self.probabilities(row) for row in ROWS["fine_val"]]
        kl = np.mean(
            [
                (p * (np.log(p + 1e-6) - np.log(q + 1e-6))).sum()
                for p, q in zip(before, after, strict=True)
            ]
        )
        with self.added(r, layer):
            induce = np.mean([self.score(row) for row in ROWS["fine_val"]])
        return float(bypass), float(induce), float(kl)


# ── Every candidate ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_every_candidate_is_the_scripts_with_its_three_numbers(world: World) -> None:
    session, found = world.measured()
    script = Script(world.folder / "model")
    directions = script.means(ROWS["harm"]) - script.means(ROWS["fine"])
    rows = {(row["position"], row["site"]): row for row in found["refusal"].tables["candidates"]}
    assert len(rows) == POSITIONS * LAYERS
    best: tuple[float, tuple[int, str]] | None = None
    for place in range(POSITIONS):
        for layer in range(LAYERS):
            at = (place - POSITIONS, f"resid_pre.{layer}")
            r, row = directions[place, layer], rows[at]
            assert row["layer"] == layer
            mine = session.directions.variant("all", {"position": at[0], "site": at[1]})
            if layer == 0:  # a token that all prompts have tells nothing before the first block
                assert "same mean" in row["discarded"]
                assert np.abs(r).max() < 1e-12
                continue
            assert isinstance(mine, Direction)
            np.testing.assert_allclose(mine.vectors[0], r, rtol=1e-6, atol=1e-6)
            expected = script.numbers(r, layer)
            np.testing.assert_allclose(
                [row["bypass"], row["induce"], row["kl"]], expected, rtol=1e-6, atol=1e-6
            )
            if best is None or expected[0] < best[0]:
                best = (expected[0], at)
    assert best is not None
    (chosen,) = [at for at, row in rows.items() if row["chosen"]]
    assert chosen == best[1]
    selected = session.directions.direction("refusal", {})
    same = session.directions.variant("all", {"position": chosen[0], "site": chosen[1]})
    assert isinstance(selected, Direction)
    assert isinstance(same, Direction)
    assert selected.site == same.site
    assert np.array_equal(selected.vectors, same.vectors)


def numbers(outcome: Any) -> np.ndarray:
    rows = outcome.tables["candidates"]
    kept = [[row["bypass"], row["induce"], row["kl"]] for row in rows if not row["undefined"]]
    return np.array(kept)


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3, 40], ids=["one", "three", "all arms together"])
def test_what_stands_in_a_batch_does_not_matter(llama: World, size: int) -> None:
    _, plain = llama.measured()
    _, found = llama.measured(batch={"activations": size, "shard": 1 if size == 1 else 32768})
    np.testing.assert_allclose(numbers(found["refusal"]), numbers(plain["refusal"]), rtol=1e-6)


@pytest.mark.slow
def test_arms_share_calls_up_to_the_size_of_a_batch(llama: World) -> None:
    calls = {}
    for size in (4, 40):
        session, _ = llama.measured(batch={"activations": size})
        model: Any = session.models["chat"]
        counts = session.usage.take().models["chat"]
        calls[size] = counts.forwards
        assert len(session.tried) == 2 * POSITIONS * (LAYERS - 1)
        assert all(one.receipts[0].changed for one in session.tried.values())
        assert model.facts.layers == LAYERS
    assert calls[40] < calls[4] / 2


@pytest.mark.slow
def test_the_modes_differ_where_a_norm_stands_behind_a_module(world: World) -> None:
    """Behind Gemma's post-norms what `arditi` took out comes back; else both are the same."""
    _, arditi = world.measured()
    _, strict = world.measured(TASK.replace('mode = "arditi"', 'mode = "strict"'))
    apart = np.abs(numbers(arditi["refusal"]) - numbers(strict["refusal"])).max(0)
    assert apart[1] < 1e-9  # of adding there is one mode
    assert (apart[[0, 2]] > 1e-4).all() == (world.family == "gemma2")
    assert (apart[[0, 2]] < 1e-6).all() == (world.family == "llama")


# ── What must come out ───────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_planted_direction_is_chosen_and_not_one_that_moves_more_besides(tmp_path: Path) -> None:
    hf, u = planted()
    saved(tmp_path / "model", hf)
    text = TASK.replace("kl_max = 1e9\ninduce_min = -1e9", "kl_max = 3.0")
    session, found = World(tmp_path, "llama").measured(text)
    rows = found["refusal"].tables["candidates"]
    (row,) = [one for one in rows if one["chosen"]]
    assert row["site"] == "resid_pre.1"
    selected = session.directions.direction("refusal", {})
    assert isinstance(selected, Direction)
    cosine = selected.vectors[0] @ u.double().numpy() / np.linalg.norm(selected.vectors)
    assert cosine == pytest.approx(1, abs=1e-5)
    decoys = [one for one in rows if one["site"] == "resid_pre.2"]
    assert min(one["bypass"] for one in decoys) < row["bypass"]
    assert all("nats, above 3" in one["discarded"] for one in decoys)
    (before,) = {
        one.null["value"]
        for one in found["refusal"].directions[0].records
        if one.id == "selected_direction.bypass@1"
    }
    assert row["bypass"] < 0 < before


def test_of_identical_classes_nothing_is_chosen(llama: World) -> None:
    session, found = llama.measured(directions={"all": {"negative": "harm"}})
    selected = session.directions.direction("refusal", {})
    assert isinstance(selected, Undefined)
    assert selected.reason == "none of 9 candidates passes the filters: 9 undefined"
    assert not session.tried
    assert all("same mean" in row["discarded"] for row in found["refusal"].tables["candidates"])
