"""Gradients inside a model: against autograd written by itself in float64, and small steps."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.contract import Arm, Edit, Example, Gradients, Prompt, Site, Tokens
from harness.errors import ModelError, PluginError
from harness.running.reading.edited import EditedModel
from harness.running.usage import Usage
from harness.testing import check_backend
from harness.testing.support.gradients import differentiates
from harness.testing.support.laws import missed_laws
from harness_transformers.model import TransformersModel
from pages import ROOT, blocks

from .conftest import LAYERS, WIDTH, load

FAMILIES = {"llama": 1e-10, "gpt2": 1e-10, "gpt_neox": 1e-10, "gemma2": 1e-6}
"""By family, how far two ways in float64 may be apart: Gemma 2 takes its softmax in float32."""
MIDDLE = Site("resid_post", 1)
BENT = Edit(Site("resid_post", 2), lambda x, parameters: x + torch.sin(3 * x), {})
"""An edit behind it, which bends what it edits."""


def scalar(logits: Tensor, tokens: Tokens) -> Tensor:
    """Something crooked that depends on all positions."""
    told = logits.log_softmax(-1)
    return told[:, 7].sum() + (logits[-1, 3] - logits[0, 4]) ** 2


def prompts(model: TransformersModel, examples: Sequence[Example]) -> list[Tokens]:
    tokens = model.render(examples, Prompt())
    assert len({len(one.ids) for one in tokens}) > 1
    return tokens


# ── The reference: one row at a time, in float64, without a hook ─────────────────────────────────


class Given(nn.Module):
    """In the place of a block: hands on a tensor, whatever came."""

    def __init__(self, h: Tensor, like: nn.Module) -> None:
        super().__init__()
        self.h, self.like = h, like

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("like"), name)

    def forward(self, *given: Any, **more: Any) -> Any:
        # Some families' blocks give a tuple.
        with torch.no_grad():
            out = self.like(*given, **more)
        return (self.h, *out[1:]) if isinstance(out, tuple) else self.h


def blocks_of(hf: Any) -> nn.ModuleList:
    inner = hf.model if hasattr(hf, "model") else hf.base_model
    return inner.layers if hasattr(inner, "layers") else inner.h


def by_hand(hf: Any, ids: Sequence[int], layer: int, h: Tensor | None = None) -> tuple[Any, ...]:
    """The number, its gradient, and the activation, at the output of a block of a float64 model."""
    row = torch.tensor([list(ids)])
    kept: list[Tensor] = []
    blocks, block = blocks_of(hf), blocks_of(hf)[layer]
    if h is None:

        class Kept(Given):
            def forward(self, *given: Any, **more: Any) -> Any:
                out = self.like(*given, **more)
                kept.append(out[0] if isinstance(out, tuple) else out)
                return out

        blocks[layer] = Kept(torch.empty(0), block)
        with torch.no_grad():
            hf(input_ids=row, use_cache=False)
        h = kept[0][0]
    leaf = h.detach().clone().requires_grad_()
    blocks[layer] = Given(leaf[None], block)
    try:
        logits = hf(input_ids=row, use_cache=False).logits[0]
    finally:
        blocks[layer] = block
    number = scalar(logits, None)  # type: ignore[arg-type]
    (gradient,) = torch.autograd.grad(number, leaf)
    return float(number.detach()), gradient, leaf.detach()


def doubled(folder: Path) -> TransformersModel:
    model = load(folder)
    model.hf.double()
    return model


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_against_autograd_in_float64(
    family: str, folders: dict[str, Path], examples: list[Example]
) -> None:
    single, double = load(folders[family]), doubled(folders[family])
    tokens = prompts(single, examples)
    for layer in range(LAYERS):
        site = Site("resid_post", layer)
        exact = double.gradients(tokens, scalar, [site])
        found = single.gradients(tokens, scalar, [site])
        for row, one in enumerate(tokens):
            number, gradient, h = by_hand(double.hf, one.ids, layer)
            here = slice(0, len(one.ids))
            off = FAMILIES[family]
            assert float(exact.values[row]) == pytest.approx(number, rel=off)
            torch.testing.assert_close(exact.activations[site][row, here], h, rtol=off, atol=off)
            scale = float(gradient.abs().max())
            at = exact.sites[site][row, here]
            torch.testing.assert_close(at, gradient, rtol=0, atol=off * scale)
            assert not exact.sites[site][row, len(one.ids) :].any()
            assert float((found.sites[site][row, here] - gradient).abs().max()) < 1e-4 * scale
            assert not found.sites[site][row, len(one.ids) :].any()
    assert all(p.grad is None for p in single.hf.parameters())


def test_against_small_steps_in_float64(folders: dict[str, Path], examples: list[Example]) -> None:
    model = doubled(folders["gpt2"])  # others take their norms in float32
    tokens = prompts(model, examples)
    h = model.activations(tokens, [MIDDLE]).sites[MIDDLE]
    gradient = model.gradients(tokens, scalar, [MIDDLE]).sites[MIDDLE]

    def numbers(moved: Tensor) -> Tensor:
        return model.gradients(tokens, scalar, [], put={MIDDLE: moved}).values

    for place in ((0, 0), (2, 5), (4, WIDTH - 1)):
        step = torch.zeros_like(h)
        step[:, place[0], place[1]] = 1e-5
        slope = (numbers(h + step) - numbers(h - step)) / 2e-5
        torch.testing.assert_close(slope, gradient[:, *place], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_put_in_is_what_the_rest_of_the_model_reads(
    family: str, folders: dict[str, Path], examples: list[Example]
) -> None:
    model = doubled(folders[family])
    tokens = prompts(model, examples)
    plain = model.gradients(tokens, scalar, [MIDDLE])
    own = plain.activations[MIDDLE]
    again = model.gradients(tokens, scalar, [MIDDLE], put={MIDDLE: own})
    assert torch.equal(again.values, plain.values)
    assert torch.equal(again.sites[MIDDLE], plain.sites[MIDDLE])
    other = own + torch.randn(own.shape, generator=torch.Generator().manual_seed(1))
    found = model.gradients(tokens, scalar, [MIDDLE], put={MIDDLE: other})
    for row, one in enumerate(tokens):
        moved = other[row, : len(one.ids)]
        number, gradient, _ = by_hand(model.hf, one.ids, 1, moved)
        off = FAMILIES[family]
        assert float(found.values[row]) == pytest.approx(number, rel=off)
        at, scale = found.sites[MIDDLE][row, : len(one.ids)], float(gradient.abs().max())
        torch.testing.assert_close(at, gradient, rtol=0, atol=off * scale)


# ── What goes through, and what does not ─────────────────────────────────────────────────────────


def test_several_sites_share_a_way_back(folders: dict[str, Path], examples: list[Example]) -> None:
    model = doubled(folders["llama"])
    tokens = prompts(model, examples)
    sites = [Site("embed"), Site("resid_pre", 0), *(Site("resid_post", n) for n in range(LAYERS)),
             Site("mlp_out", 1), Site("attn_z", 2)]  # fmt: skip
    together = model.gradients(tokens, scalar, sites)
    for site in sites:
        alone = model.gradients(tokens, scalar, [site])
        torch.testing.assert_close(together.sites[site], alone.sites[site])
        assert torch.equal(together.values, alone.values)
    assert torch.equal(together.sites[sites[0]], together.sites[sites[1]])
    assert together.sites[Site("attn_z", 2)].any()


def test_what_is_before_the_place_of_something_put_in_has_no_part(
    folders: dict[str, Path], examples: list[Example]
) -> None:
    model = load(folders["llama"])
    tokens = prompts(model, examples)
    h = model.activations(tokens, [MIDDLE]).sites[MIDDLE]
    early, late = Site("resid_post", 0), Site("resid_post", 2)
    found = model.gradients(tokens, scalar, [early, late], put={MIDDLE: h})
    assert not found.sites[early].any()
    assert found.sites[late].any()


def test_a_number_that_depends_on_nothing(
    folders: dict[str, Path], examples: list[Example]
) -> None:
    model = load(folders["llama"])
    tokens = prompts(model, examples)
    found = model.gradients(tokens, lambda logits, one: torch.tensor(len(one.ids)), [MIDDLE])
    assert found.values.tolist() == [len(one.ids) for one in tokens]
    assert not found.sites[MIDDLE].any()
    nothing = model.gradients([], scalar, [MIDDLE])
    assert len(nothing.values) == 0


def test_it_goes_through_edits_behind_the_place(
    folders: dict[str, Path], examples: list[Example]
) -> None:
    model = load(folders["llama"])
    tokens = prompts(model, examples)
    late = Site("resid_post", 2)
    plain = model.gradients(tokens, scalar, [late])
    with model.edited([Arm("bent", (BENT,))]) as receipts:
        edited = model.gradients(tokens, scalar, [MIDDLE, late])
    # At the edited place itself, the gradient is that of what the edit made.
    made = plain.activations[late] + torch.sin(3 * plain.activations[late])
    torch.testing.assert_close(edited.activations[late], made)
    put = model.gradients(tokens, scalar, [late], put={late: made})
    torch.testing.assert_close(edited.sites[late], put.sites[late])
    assert receipts[0].tokens == sum(len(one.ids) for one in tokens)

    def numbers(h: Tensor) -> Tensor:
        with model.edited([Arm("bent", (BENT,))]):
            return model.gradients(tokens, scalar, [], put={MIDDLE: h}).values

    h, g = edited.activations[MIDDLE], edited.sites[MIDDLE]
    v = g / g.flatten(1).norm(dim=1)[:, None, None]
    slope = (numbers(h + 3e-3 * v) - numbers(h - 3e-3 * v)) / 6e-3
    torch.testing.assert_close(slope.float(), (g * v).flatten(1).sum(1), rtol=2e-2, atol=0)


def test_rows_have_arms_of_their_own(folders: dict[str, Path], examples: list[Example]) -> None:
    model = load(folders["llama"])
    tokens = prompts(model, examples)
    arms = [Arm("none"), Arm("bent", (BENT,))]
    with model.edited(arms):
        mixed = [replace(one, arm=row % 2) for row, one in enumerate([*tokens, *tokens[:1]])]
        found = model.gradients(mixed, scalar, [MIDDLE])
    plain = model.gradients(tokens, scalar, [MIDDLE])
    assert float(found.values[0]) == pytest.approx(float(plain.values[0]), rel=1e-5)
    assert float(found.values[1]) != pytest.approx(float(plain.values[1]), rel=1e-3)


# ── Memory, and what is refused ──────────────────────────────────────────────────────────────────


def test_a_batch_that_does_not_fit_runs_in_parts(
    folders: dict[str, Path], examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(folders["llama"])
    tokens = [*prompts(model, examples)] * 2
    put = model.activations(tokens, [MIDDLE]).sites[MIDDLE]
    whole = model.gradients(tokens, scalar, [MIDDLE], put={MIDDLE: put})
    forward = model.hf.forward

    def small(*given: Any, **more: Any) -> Any:
        if len(more["input_ids"]) > 1:
            raise torch.OutOfMemoryError
        return forward(*given, **more)

    monkeypatch.setattr(model.hf, "forward", small)
    parts = model.gradients(tokens, scalar, [MIDDLE], put={MIDDLE: put})
    torch.testing.assert_close(parts.values, whole.values, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(parts.sites[MIDDLE], whole.sites[MIDDLE], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_what_does_not_fit_is_refused(folders: dict[str, Path], examples: list[Example]) -> None:
    model = load(folders["llama"])
    tokens = prompts(model, examples)
    h = model.activations(tokens, [MIDDLE]).sites[MIDDLE]
    for wrong in (h[:1], h[:, :2], h[0]):
        with pytest.raises(ModelError, match=r"is put at resid_post.1, and these prompts have"):
            model.gradients(tokens, scalar, [], put={MIDDLE: wrong})
    with pytest.raises(ModelError, match="is put where the model has"):
        model.gradients(tokens, scalar, [], put={MIDDLE: h[..., :3]})
    with pytest.raises(ModelError, match=r"resid_post.9: it has 3 blocks"):
        model.gradients(tokens, scalar, [Site("resid_post", 9)])
    with pytest.raises(PluginError, match="Allowed: a tensor with one number"):
        model.gradients(tokens, lambda logits, one: logits, [MIDDLE])
    assert torch.is_grad_enabled()
    check_backend(model, examples)  # nothing is left behind


# ── The laws notice what breaks them ─────────────────────────────────────────────────────────────


class Wrapped:
    """A model with one law broken."""

    def __init__(self, model: TransformersModel) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


class Scaled(Wrapped):
    """Gradients that are a tenth too long."""

    def gradients(self, *given: Any, **more: Any) -> Gradients:
        found = self.model.gradients(*given, **more)
        return replace(found, sites={s: 1.1 * g for s, g in found.sites.items()})


class Cut(Wrapped):
    """Gradients at the last token alone."""

    def gradients(self, tokens: Sequence[Tokens], *given: Any, **more: Any) -> Gradients:
        found = self.model.gradients(tokens, *given, **more)
        last = {site: torch.zeros_like(g) for site, g in found.sites.items()}
        for site, g in found.sites.items():
            for row, one in enumerate(tokens):
                last[site][row, len(one.ids) - 1] = g[row, len(one.ids) - 1]
        return replace(found, sites=last)


class Averaged(Wrapped):
    """Gradients of the mean over the batch."""

    def gradients(self, tokens: Sequence[Tokens], *given: Any, **more: Any) -> Gradients:
        found = self.model.gradients(tokens, *given, **more)
        return replace(found, sites={s: g / len(tokens) for s, g in found.sites.items()})


class Padded(Wrapped):
    """Something stands at padding."""

    def gradients(self, *given: Any, **more: Any) -> Gradients:
        found = self.model.gradients(*given, **more)
        return replace(found, sites={s: g + (g == 0) * 1e-3 for s, g in found.sites.items()})


class Stubborn(Wrapped):
    """What is put in is not read."""

    def gradients(self, tokens: Any, scalar: Any, sites: Any, *, put: Any = None) -> Gradients:
        return self.model.gradients(tokens, scalar, sites)


class Deaf(Wrapped):
    """Edits do not act on gradients."""

    def __init__(self, model: TransformersModel, other: TransformersModel) -> None:
        super().__init__(model)
        self.other = other

    def gradients(self, *given: Any, **more: Any) -> Gradients:
        return self.other.gradients(*given, **more)


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        (Scaled, "gradients are slopes"),
        (Cut, "gradients are slopes"),
        (Averaged, "gradients do not depend on the batch"),
        (Padded, "padding has no gradient"),
        (Stubborn, "gradients are slopes"),
    ],
)
def test_a_broken_law_is_named(
    kind: type[Wrapped], law: str, folders: dict[str, Path], examples: list[Example]
) -> None:
    broken: Any = kind(load(folders["llama"]))
    tokens = prompts(broken.model, examples)
    with pytest.raises(AssertionError, match=f"law broken: {law}"):
        differentiates(broken, tokens, MIDDLE)


def test_edits_that_do_not_act_are_noticed(
    folders: dict[str, Path], examples: list[Example]
) -> None:
    broken: Any = Deaf(load(folders["llama"]), load(folders["llama"]))
    tokens = prompts(broken.model, examples)
    with pytest.raises(AssertionError, match="law broken: gradients are taken under the edits"):
        differentiates(broken, tokens, MIDDLE)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_the_laws_hold_at_every_block(
    family: str, folders: dict[str, Path], examples: list[Example]
) -> None:
    model = load(folders[family])
    tokens = prompts(model, examples)
    for layer in range(LAYERS):
        with missed_laws() as missed:
            differentiates(model, tokens, Site("resid_post", layer))
        assert not missed


# ── Around a model ───────────────────────────────────────────────────────────────────────────────


def test_it_is_counted_and_edited_views_are_edited(
    folders: dict[str, Path], examples: list[Example]
) -> None:
    model = load(folders["llama"])
    tokens = prompts(model, examples)
    usage = Usage()
    counted: Any = usage.load("m", lambda: model)
    found = counted.gradients(tokens, scalar, [MIDDLE])
    assert torch.equal(found.values, model.gradients(tokens, scalar, [MIDDLE]).values)
    total = usage.report()["total"]
    assert (total["forwards"], total["prompts"]) == (1, len(tokens))

    class Bending:
        fingerprint = "d"

        def arm(self, name: str, model: Any) -> Arm:
            return Arm(name, (BENT,))

    edited = EditedModel(model, Bending(), name="v")  # type: ignore[arg-type]
    under = edited.gradients(tokens, scalar, [MIDDLE])
    assert not torch.equal(under.values, found.values)
    assert edited.receipts[0].tokens == sum(len(one.ids) for one in tokens)


# ── The page ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def attribution(tmp_path: Path) -> ModuleType:
    """The module of docs/plugins.md."""
    (code,) = (
        block.text for block in blocks(ROOT / "docs" / "plugins.md") if block.of == "attribution.py"
    )
    (tmp_path / "attribution.py").write_text(code)
    spec = importlib.util.spec_from_file_location("attribution", tmp_path / "attribution.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_attribution_of_the_page_is_complete(
    attribution: ModuleType, folders: dict[str, Path], examples: list[Example]
) -> None:
    """METHODS2, section 4: the parts add up to the difference, ever better with more steps."""
    model = doubled(folders["llama"])
    tokens = prompts(model, examples)
    before = model.activations(tokens, [MIDDLE]).sites[MIDDLE]
    after = before + 0.3 * torch.randn(before.shape, generator=torch.Generator().manual_seed(3))

    def numbers(h: Tensor) -> Tensor:
        return model.gradients(tokens, attribution.log_odds, [], put={MIDDLE: h}).values

    total = numbers(after) - numbers(before)
    run: Callable[..., Tensor] = attribution.integrated
    gaps = []
    for steps in (2, 20):
        parts = run(model, tokens, MIDDLE, before, after, steps=steps)
        gaps.append(float((parts.sum(1) - total).abs().max()))
    assert gaps[1] < 1e-3 * float(total.abs().max())
    assert gaps[1] < gaps[0] / 20
