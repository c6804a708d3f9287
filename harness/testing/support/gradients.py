"""Laws of a model that offers gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor

from harness.contract import Arm, Differentiable, Edit, Gradients, Model, Site, Tokens
from harness.testing.support.laws import law, untried
from harness.testing.support.models import close, logits_of

LAWS = (
    "a gradient lies beside its activation",
    "padding has no gradient",
    "values are those of the logits",
    "gradients do not depend on the batch",
    "what is put in is read",
    "gradients are slopes",
    "gradients are taken under the edits",
    "reading gradients leaves the model as it was",
)
_STEP = 1e-2
"""Step of the slopes, as a share of the length of an activation."""
_OFF = 0.03
"""By how much a slope in float32 may differ, as a share of the gradient's length."""


def differentiates(model: Model, tokens: Sequence[Tokens], site: Site) -> None:
    """Tries the laws about `Differentiable.gradients` at one site."""
    if "gradients" not in model.facts.capabilities:
        untried("the model does not offer gradients", *LAWS)
        return
    ours = cast(Differentiable, model)
    before = logits_of(model, tokens)
    found = ours.gradients(tokens, _scalar, [site])
    x = model.activations(tokens, [site]).sites[site]
    for what in (found.sites, found.activations):
        same = what[site].shape == x.shape and what[site].dtype == x.dtype
        beside = f"{tuple(what[site].shape)} beside {tuple(x.shape)}"
        law(same, "a gradient lies beside its activation", beside)
    seen, there = _rows(found.activations[site], tokens, found), _rows(x, tokens, found)
    close("a gradient lies beside its activation", model, seen, there)
    for row, one in enumerate(tokens):
        start = found.start[row]
        rest = found.sites[site][row].clone()
        rest[start : start + len(one.ids)] = 0
        law(not rest.any(), "padding has no gradient", f"row {row}: {float(rest.abs().max())}")
    pairs = zip(_logits(before, tokens), tokens, strict=True)
    expected = [float(_scalar(one, t)) for one, t in pairs]
    _near(model, "values are those of the logits", found.values.tolist(), expected)
    alone = [ours.gradients([one], _scalar, [site]) for one in tokens]
    name = "gradients do not depend on the batch"
    own = [_rows(one.sites[site], [t], one)[0] for one, t in zip(alone, tokens, strict=True)]
    close(name, model, own, _rows(found.sites[site], tokens, found))
    _put(model, ours, tokens, site, found)
    _edited(model, ours, tokens, site, found)
    name = "reading gradients leaves the model as it was"
    law(torch.equal(before, logits_of(model, tokens)), name, "its logits differ")


def _put(
    model: Model, ours: Differentiable, tokens: Sequence[Tokens], site: Site, found: Gradients
) -> None:
    """Activations that are put in: the model's own change nothing, others move it by the slope."""
    h, g = found.activations[site], found.sites[site]
    own = ours.gradients(tokens, _scalar, [], put={site: h})
    _near(model, "what is put in is read", own.values.tolist(), found.values.tolist())
    law(not own.sites, "what is put in is read", "gradients came out, and none were asked for")
    if model.dtype not in ("float32", "float64"):
        untried(f"in {model.dtype}, a slope is lost in rounding", "gradients are slopes")
        return
    generator = torch.Generator().manual_seed(5)
    mask = torch.zeros_like(h)
    for row, one in enumerate(tokens):
        mask[row, found.start[row] : found.start[row] + len(one.ids)] = 1
    noise = torch.randn(h.shape, generator=generator).to(h) * mask
    length = g.flatten(1).double().norm(dim=1)[:, None, None]
    along = g.double() / length.clamp_min(1e-30)
    v = (along + noise.double() / noise.flatten(1).double().norm(dim=1)[:, None, None]).to(h)
    size = (h * mask).flatten(1).norm(dim=1) / mask.flatten(1).sum(1).sqrt() * h.shape[2] ** 0.5
    step = (_STEP * size)[:, None, None].to(h)
    up, down = (
        ours.gradients(tokens, _scalar, [], put={site: h + sign * step * v}).values
        for sign in (1, -1)
    )
    slope = (up - down) / (2 * step.flatten().double().cpu())
    expected = (g.double() * v.double()).flatten(1).sum(1).cpu()
    off = (slope - expected).abs() / length.flatten().cpu().clamp_min(1e-30)
    what = f"{expected.tolist()} by the gradients, {slope.tolist()} by small steps"
    law(bool((off <= _OFF).all()), "gradients are slopes", what)


def _edited(
    model: Model, ours: Differentiable, tokens: Sequence[Tokens], site: Site, found: Gradients
) -> None:
    name = "gradients are taken under the edits"
    if "edits" not in model.facts.capabilities:
        untried("the model does not offer edits", name)
        return
    width = model.facts.width(site)
    assert width is not None
    vector = torch.randn(width, generator=torch.Generator().manual_seed(6))
    with model.edited([Arm("v", (Edit(site, _add, {"v": vector}),))]):
        edited = ours.gradients(tokens, _scalar, [site])
        logits = logits_of(model, tokens)
    pairs = zip(_logits(logits, tokens), tokens, strict=True)
    _near(model, name, edited.values.tolist(), [float(_scalar(one, t)) for one, t in pairs])
    moved = [x + vector.to(x) for x in _rows(found.activations[site], tokens, found)]
    close(name, model, moved, _rows(edited.activations[site], tokens, edited))


def _scalar(logits: Tensor, tokens: Tokens) -> Tensor:
    """A number that depends on all positions: log-probabilities of the prompt's own tokens."""
    told = logits.log_softmax(-1)
    ids = torch.tensor(tokens.ids[1:], device=logits.device)
    return told[:-1].gather(1, ids[:, None]).sum() + logits[-1, 0] - logits[-1, 1]


def _add(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return x + parameters["v"][:, None].to(x.dtype)


def _logits(logits: Tensor, tokens: Sequence[Tokens]) -> list[Tensor]:
    """The logits of each prompt at its own tokens, of those of all prompts."""
    return list(torch.split(logits.float(), [len(one.ids) for one in tokens]))


def _rows(values: Tensor, tokens: Sequence[Tokens], found: Gradients) -> list[Tensor]:
    rows = zip(values, found.start, tokens, strict=True)
    return [row[start : start + len(one.ids)].detach().cpu() for row, start, one in rows]


def _near(model: Model, name: str, found: Sequence[float], expected: Sequence[float]) -> None:
    close(name, model, [torch.tensor(expected)], [torch.tensor(found)])
