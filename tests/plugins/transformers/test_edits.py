"""Edits against references written by hand."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given, strategies as st
from torch import Tensor

from harness.contract import Arm, Check, Edit, Example, Prompt, Sampling, Site, Tokens
from harness.contract.sites import parse_site
from harness.errors import ModelError, PluginError, UsageError
from harness.running.experiments.receipts import merged_receipt
from harness_transformers.model import TransformersModel
from harness_transformers.receipts import whole_sums

from .conftest import LAYERS, WIDTH, load

Parameters = Mapping[str, Tensor]


def ablate(x: Tensor, parameters: Parameters) -> Tensor:
    unit = parameters["r"][:, None].to(x.dtype)
    return x - (x * unit).sum(-1, keepdim=True) * unit


def add(x: Tensor, parameters: Parameters) -> Tensor:
    return x + parameters["v"][:, None].to(x.dtype)


def double(x: Tensor, parameters: Parameters) -> Tensor:
    return x * 2


def component(x: Tensor, parameters: Parameters) -> Tensor:
    return (x * parameters["r"][:, None]).sum(-1).abs()


def vector(seed: int) -> Tensor:
    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed))


def unit(seed: int) -> Tensor:
    v = vector(seed)
    return v / v.norm()


def everywhere(*kinds: str) -> list[Site]:
    return [Site(kind, layer) for layer in range(LAYERS) for kind in kinds]


def ablation(seed: int, *kinds: str) -> Arm:
    r = unit(seed)
    edits = [Edit(site, ablate, {"r": r}) for site in everywhere(*kinds)]
    return Arm(f"ablate{seed}", tuple(edits))


def addition(seed: int, *sites: str) -> Arm:
    v = vector(seed)
    return Arm(f"add{seed}", tuple(Edit(parse_site(s), add, {"v": v}) for s in sites))


STRICT = ("resid_pre", "attn_out", "mlp_out", "resid_post")


def logits(model: TransformersModel, tokens: list[Tokens]) -> Tensor:
    out = model.activations(tokens, [], logits=True).logits
    assert out is not None
    return out


@torch.no_grad()
def test_addition_equals_a_forward_by_hand(
    model: TransformersModel, examples: list[Example]
) -> None:
    tokens = model.render(examples[:1], Prompt())
    v = vector(1)
    block = model.hf.get_submodule(model._layout.blocks[1])
    original = block.forward
    block.forward = lambda *a, **k: original(*a, **k) + v
    try:
        expected = model.hf(torch.tensor([tokens[0].ids])).logits
    finally:
        block.forward = original
    with model.edited([addition(1, "resid_post.1")]):
        assert torch.equal(logits(model, tokens), expected)
    with model.edited([addition(1, "resid_pre.2")]):
        assert torch.equal(logits(model, tokens), expected)


@pytest.mark.parametrize(
    "site", ["embed", "resid_pre.1", "attn_out.1", "mlp_out.1", "attn_raw.1", "mlp_raw.1",
             "mlp_in.1", "resid_post.1", "attn_z.1"]
)  # fmt: skip
def test_every_site_can_be_edited(
    model: TransformersModel, site: str, examples: list[Example]
) -> None:
    tokens = model.render(examples, Prompt())
    here = parse_site(site)
    before = logits(model, tokens), model.activations(tokens, [here]).sites[here]
    with model.edited([Arm("double", (Edit(here, double, {}),))]) as receipts:
        after = logits(model, tokens), model.activations(tokens, [here]).sites[here]
    assert not torch.equal(before[0], after[0])
    torch.testing.assert_close(after[1], 2 * before[1])
    assert receipts[0].relative == pytest.approx(1)
    assert torch.equal(before[0], logits(model, tokens))


def test_edits_act_in_their_order(llama: TransformersModel, examples: list[Example]) -> None:
    tokens = llama.render(examples, Prompt())
    # attn_out and attn_raw are one place here, and so are embed and resid_pre.0.
    for names in (("resid_post.1",) * 2, ("attn_out.1", "attn_raw.1"), ("embed", "resid_pre.0")):
        first, second = (parse_site(name) for name in names)
        x = llama.activations(tokens, [first]).sites[first]
        v = vector(1)
        one = Arm("a", (Edit(first, add, {"v": v}), Edit(second, double, {})))
        two = Arm("b", (Edit(first, double, {}), Edit(second, add, {"v": v})))
        both = [replace(t, arm=arm) for arm in (0, 1) for t in tokens]
        with llama.edited([one, two]):
            got = llama.activations(both, [first]).sites[first]
        torch.testing.assert_close(got[: len(tokens)], (x + v) * 2)
        torch.testing.assert_close(got[len(tokens) :], x * 2 + v)


def test_rows_of_arms_equal_single_arms(model: TransformersModel, examples: list[Example]) -> None:
    tokens = model.render(examples, Prompt())
    arms = [Arm("none"), ablation(1, *STRICT), ablation(2, *STRICT), addition(3, "resid_post.1")]
    # In a mixed order, so that the rows of an arm are neither all nor a slice.
    rows = [replace(t, arm=arm) for t in tokens for arm in (2, 0, 3, 1)]
    with model.edited(arms) as together:
        got = logits(model, rows)
    for number, arm in enumerate(arms):
        mine = [i for i, t in enumerate(rows) if t.arm == number]
        with model.edited([arm]) as alone:
            expected = logits(model, [replace(rows[i], arm=0) for i in mine])
        torch.testing.assert_close(got[mine], expected, rtol=1e-4, atol=1e-4)
        a, b = together[number], alone[0]
        assert (a.fired, a.tokens) == (b.fired, b.tokens)
        assert a.relative == (b.relative and pytest.approx(b.relative, rel=1e-4))


SIZES = st.floats(0, 1e9) | st.floats(0, 1e-9) | st.sampled_from([0.0, 1.0, 1e40, 1e308])


@pytest.mark.slow
@given(st.lists(st.tuples(SIZES, SIZES), min_size=1, max_size=12), st.integers(0, 12))
def test_whole_sums_are_exact_and_those_of_their_parts(
    numbers: list[tuple[float, float]], cut: int
) -> None:
    x = torch.tensor(numbers, dtype=torch.float64)[:, :, None]
    expected = [
        sum(round(Fraction(min(n, 1e300)) * 2**60) for n in row)
        for row in zip(*numbers, strict=True)
    ]
    found = whole_sums(x)
    # Each number is rounded to a unit; which way a half goes does not matter.
    assert all(abs(a - b) <= len(numbers) for a, b in zip(found, expected, strict=True))
    parts = [whole_sums(x[:cut]), whole_sums(x[cut:])]
    assert [a + b for a, b in zip(*parts, strict=True)] == found


def test_what_edits_did_is_the_same_to_the_bit_in_one_block_or_in_two(
    llama: TransformersModel, examples: list[Example]
) -> None:
    tokens = llama.render(examples, Prompt())
    arm = ablation(1, *STRICT)
    with llama.edited([arm]) as whole:
        for one in tokens:
            logits(llama, [one])
    parts = []
    for some in (tokens[:2], tokens[2:]):
        with llama.edited([arm]) as receipts:
            for one in some:
                logits(llama, [one])
        parts.append(receipts[0])
    assert merged_receipt(arm.name, parts) == replace(whole[0], arm=arm.name)


def test_receipts_equal_a_naive_computation(
    model: TransformersModel, examples: list[Example]
) -> None:
    tokens = model.render(examples, Prompt())
    sites = everywhere("resid_pre", "attn_out")
    r = unit(1)
    seen: list[tuple[Tensor, Tensor]] = []

    def spy(x: Tensor, parameters: Parameters) -> Tensor:
        y = ablate(x, parameters)
        seen.append((x.double(), y.double()))
        return y

    checks = tuple(Check(f"left{s}", s, component, {"r": r}, 1e-3) for s in sites)
    arm = Arm("a", tuple(Edit(s, spy, {"r": r}) for s in sites), checks)
    with model.edited([arm]) as receipts:
        logits(model, tokens)
        inside = receipts[0]  # counts as far as it is
    ratios: list[float] = []
    changed = 0
    for x, y in seen:
        for row, t in enumerate(tokens):
            for before, after in zip(x[row, : len(t.ids)], y[row, : len(t.ids)], strict=True):
                ratios.append(float((after - before).norm() / before.norm()))
                changed += not torch.equal(before, after)
    got = receipts[0]
    assert got == inside
    assert got.fired == len(sites)
    assert got.tokens == len(ratios) == len(sites) * sum(len(t.ids) for t in tokens)
    assert got.changed == changed
    assert got.relative == pytest.approx(math.fsum(ratios) / len(ratios), rel=1e-5)
    # Checks look before the edit: the first site still has the component, later ones may not.
    first = seen[0][0]
    largest = max(
        float((first[row, : len(t.ids)] @ r.double()).abs().max()) for row, t in enumerate(tokens)
    )
    assert got.checks["leftresid_pre.0"] == pytest.approx(largest, rel=1e-5)
    assert "leftresid_pre.0" in got.broken


def test_post_norms_leak_unless_what_is_added_is_edited(
    loaded: dict[str, TransformersModel], examples: list[Example]
) -> None:
    model, r = loaded["gemma2"], unit(1)
    tokens = model.render(examples, Prompt())
    last = Site("resid_post", LAYERS - 1)

    def left(*kinds: str) -> float:
        check = Check("left", last, component, {"r": r})
        arm = replace(ablation(1, *kinds), checks=(check,))
        with model.edited([arm]) as receipts:
            logits(model, tokens)
        return receipts[0].checks["left"]

    assert left("resid_pre", "attn_raw", "mlp_raw") > 0.1
    assert left("resid_pre", "attn_out", "mlp_out") < 1e-4


def test_checks_have_limits(llama: TransformersModel, examples: list[Example]) -> None:
    tokens = llama.render(examples, Prompt())

    def constant(value: float) -> Check:
        def measure(x: Tensor, parameters: Parameters) -> Tensor:
            return torch.full(x.shape[:-1], value)

        return Check(f"is {value}", Site("resid_post", 0), measure, {}, 1.0)

    unlimited = replace(constant(9.0), name="free", limit=None)
    arm = Arm("a", (), (constant(0.5), constant(1.5), constant(math.nan), unlimited))
    with llama.edited([arm]) as receipts:
        llama.activations(tokens, [Site("resid_post", 0)])
    assert receipts[0].broken == ("is 1.5", "is nan")
    assert receipts[0].checks["free"] == 9
    assert receipts[0].tokens == 0


def test_non_finite_results_are_told(llama: TransformersModel, examples: list[Example]) -> None:
    tokens = llama.render(examples, Prompt())
    bad = Arm("bad", (Edit(Site("resid_post", 0), add, {"v": vector(1) / 0}),))
    rows = [replace(t, arm=i % 2) for i, t in enumerate(tokens)]
    with llama.edited([bad, addition(1, "resid_post.0")]) as receipts:
        logits(llama, rows)
    assert receipts[0].broken == ("non-finite",)
    assert receipts[1].broken == ()


@torch.no_grad()
def test_who_else_calls_the_model_is_edited(
    llama: TransformersModel, examples: list[Example]
) -> None:
    tokens = llama.render(examples[:2], Prompt())
    arm = addition(1, "resid_post.1")
    with llama.edited([arm]):
        expected = logits(llama, tokens[:1])
    encoded = llama.tokenizer([e.text for e in examples[:2]], padding=True, padding_side="left",
                              return_tensors="pt")  # fmt: skip
    given = {"input_ids": encoded.input_ids, "attention_mask": encoded.attention_mask}
    with llama.edited([arm]) as receipts:
        got = llama.hf(**given).logits
        llama.hf.model(**given)  # not even through the head
    torch.testing.assert_close(got[0, -1], expected[0, -1], rtol=1e-4, atol=1e-4)
    real = int(encoded.attention_mask.sum())
    assert encoded.attention_mask.numel() > real
    assert receipts[0].tokens == real + encoded.attention_mask.numel()
    with llama.edited([arm, Arm("none")]):
        for call in (llama.hf, llama.hf.model):
            with pytest.raises(ModelError, match="several arms are active"):
                call(**given)


def test_generation_by_someone_else_counts_real_tokens(
    llama: TransformersModel, examples: list[Example]
) -> None:
    encoded = llama.tokenizer([e.text for e in examples], padding=True, padding_side="left",
                              return_tensors="pt")  # fmt: skip
    with llama.edited([addition(1, "resid_post.1")]) as receipts:
        out = llama.hf.generate(
            encoded.input_ids, attention_mask=encoded.attention_mask, max_new_tokens=4,
            eos_token_id=None, do_sample=False,
        )  # fmt: skip
    assert out.shape[1] == encoded.input_ids.shape[1] + 4
    assert receipts[0].tokens == int(encoded.attention_mask.sum()) + 3 * len(examples)


def test_nesting_and_arms_that_do_not_exist(
    llama: TransformersModel, examples: list[Example]
) -> None:
    tokens = llama.render(examples, Prompt())
    with llama.edited([Arm("a")]):
        with pytest.raises(UsageError, match=r"edited\(\) inside edited\(\)"):
            llama.edited([Arm("b")]).__enter__()
        with pytest.raises(ModelError, match=r"arm 1\. Allowed: 0 to 0"):
            llama.generate([replace(tokens[0], arm=1)], Sampling())
    with (
        pytest.raises(ModelError, match="it has 3 blocks"),
        llama.edited([addition(1, "resid_post.7")]),
    ):
        pass
    with llama.edited([Arm("again")]):
        pass


def test_edits_that_break_the_contract(llama: TransformersModel, examples: list[Example]) -> None:
    tokens = llama.render(examples, Prompt())
    before = logits(llama, tokens)

    def wide(x: Tensor, parameters: Parameters) -> Tensor:
        return x.double()

    def short(x: Tensor, parameters: Parameters) -> Tensor:
        return x[:, 0]

    at = Site("resid_post", 0)
    for arm, says in (
        (Arm("w", (Edit(at, wide, {}),)), "An edit keeps shape and dtype"),
        (Arm("s", (), (Check("s", at, short, {}),)), "one number for each row and position"),
    ):
        with pytest.raises(PluginError, match=says), llama.edited([arm]):
            logits(llama, tokens)
    assert torch.equal(before, logits(llama, tokens))


def test_no_hook_is_left(folders: dict[str, Path], examples: list[Example]) -> None:
    model = load(folders["llama"])
    tokens = model.render(examples, Prompt())

    def hooks() -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.hf.modules())

    assert hooks() == 0
    with contextlib.suppress(KeyboardInterrupt), model.edited([ablation(1, *STRICT)]):
        model.activations(tokens, everywhere(*STRICT))
        assert hooks() > 10
        raise KeyboardInterrupt
    assert hooks() == 0
    model.activations(tokens, [Site("attn_z", 2)])
    assert hooks() == 0
