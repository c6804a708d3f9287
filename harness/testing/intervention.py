"""Laws that every intervention keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from harness.contract import Arm, Check, Direction, Edit, Intervention, Model, ModelFacts, Tokens
from harness.testing.support.laws import law, untried
from harness.testing.support.models import logits_of

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_ROWS, _POSITIONS = 3, 5


def check_intervention(
    intervention: Intervention,
    direction: Direction,
    facts: ModelFacts,
    *,
    identity: Intervention | None = None,
    model: Model | None = None,
    tokens: Sequence[Tokens] = (),
    seed: int = 0,
) -> None:
    """Raises AssertionError, naming the law, where an intervention breaks one.

    `identity` is the same intervention at strength 0, if it has a strength. With a `model` (and
    `tokens`, one prompt or more), which must fit `direction` and `facts`, it also runs there.

    Laws: an arm has the name it was given · sites are the model's · parameters are finite float32 ·
    shape and dtype kept · does not modify its input · rows do not influence each other · positions
    do not influence each other (a cached step edits one at a time) · parameters stack · an arm that
    is not idle changes something · a check measures every position · strength 0 is the identity.
    On a model: edits fire and keep their promises · the arm without edits is untouched · nothing
    is left behind, also after an error.
    """
    if identity is None:
        untried("no sample gives `identity`, it at strength 0", "strength 0 is the identity")
    if model is None:
        untried(
            "no sample gives `model` and `tokens`, such as those of harness.testing.organism",
            "edits fire and keep their promises",
            "the arm without edits is untouched",
            "nothing is left behind, also after an error",
        )
    for dtype, kind in DTYPES.items():
        activations = partial(_activations, direction, facts, kind, seed)
        arm = intervention.arm("edited", direction, facts, dtype)
        _described(arm, facts)
        other = intervention.arm("other", _another(direction, seed), facts, dtype)
        twins = zip(arm.edits, _twins(arm, other), strict=True)
        changed = [_edit(edit, twin, activations(edit)) for edit, twin in twins]
        what = f"in {dtype} no edit changed an activation"
        law(any(changed) or arm.idle, "an arm that is not idle changes something", what)
        if not arm.checks:
            untried("its arms have no checks", "a check measures every position")
        for check in arm.checks:
            _check(check, activations(check))
        if identity is not None:
            _identity(identity.arm("idle", direction, facts, dtype), activations)
    if model is not None:
        if not tokens:
            raise ValueError("check_intervention: a model needs tokens to run on. Pass a prompt")
        arm = intervention.arm("edited", direction, model.facts, model.dtype)
        _on_model(model, arm, tokens)
        if identity is not None:
            _idle_on_model(model, identity.arm("idle", direction, facts, model.dtype), tokens)


# ── The arm ──────────────────────────────────────────────────────────────────────────────────────


def _described(arm: Arm, facts: ModelFacts) -> None:
    law(arm.name == "edited", "an arm has the name it was given", f"it is {arm.name!r}")
    law(bool(arm.edits), "an arm edits something", "it has no edit")
    names = [check.name for check in arm.checks]
    law(len(names) == len(set(names)), "checks have names of their own", f"they are {names}")
    everything: list[Edit | Check] = [*arm.edits, *arm.checks]
    for one in everything:
        site = one.site
        known = facts.layers is None or site.layer is None or 0 <= site.layer < facts.layers
        what = f"{site} in a model of {facts.layers} blocks"
        law(known and site.fraction is None, "sites are the model's", what)
        for name, tensor in one.parameters.items():
            fine = tensor.dtype == torch.float32 and bool(torch.isfinite(tensor).all())
            law(fine, "parameters are finite float32", f"{name!r} at {site} is {tensor}")


def _another(direction: Direction, seed: int) -> Direction:
    """A direction of the same shape that points elsewhere."""
    noise = np.random.default_rng(seed).normal(size=direction.vectors.shape)
    return replace(direction, vectors=2 * np.abs(direction.vectors).max() * noise)


def _twins(arm: Arm, other: Arm) -> list[Edit]:
    """The edits of another direction's arm that share a call with the first one's."""
    law(
        [_call(edit) for edit in arm.edits] == [_call(edit) for edit in other.edits],
        "parameters stack",
        "two directions of the same shape give arms whose `apply` or parameter shapes differ, so "
        "they cannot share a call. Make `apply` a module-level function and put what differs into "
        "the parameters",
    )
    return list(other.edits)


def _call(edit: Edit) -> tuple[object, ...]:
    return edit.site, edit.apply, {name: t.shape for name, t in edit.parameters.items()}


def _activations(
    direction: Direction, facts: ModelFacts, kind: torch.dtype, seed: int, one: Edit | Check
) -> Tensor:
    """Random activations with a part along the direction; one position is 0, as padding may be."""
    width = facts.width(one.site) or direction.vectors.shape[-1]
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(_ROWS, _POSITIONS, width, generator=generator)
    if width == direction.vectors.shape[-1]:
        unit = direction.vectors.sum(0) / (np.linalg.norm(direction.vectors.sum(0)) or 1.0)
        x = x + 3 * torch.tensor(unit, dtype=torch.float32)
    x[0, 0] = 0
    x[0, 1] = -0.0
    return x.to(kind)


# ── One edit, one check ──────────────────────────────────────────────────────────────────────────


def _edit(edit: Edit, twin: Edit, x: Tensor) -> bool:
    """The laws of one edit; returns whether it changed x."""
    where = f"at {edit.site} in {x.dtype}"
    mine, theirs = (_stacked([one.parameters] * _ROWS) for one in (edit, twin))
    given, parameters = x.clone(), {name: tensor.clone() for name, tensor in mine.items()}
    out = edit.apply(x, mine)
    became = f"{where}: {tuple(x.shape)} became {tuple(out.shape)} {out.dtype}"
    law(out.shape == x.shape and out.dtype == x.dtype, "shape and dtype kept", became)
    untouched = _bits(x, given) and all(torch.equal(mine[n], p) for n, p in parameters.items())
    law(untouched, "does not modify its input", where)

    rows = [edit.apply(x[i : i + 1], _stacked([edit.parameters])) for i in range(_ROWS)]
    _close("rows do not influence each other", where, torch.cat(rows), out)
    steps = [edit.apply(x[:, i : i + 1], mine) for i in range(_POSITIONS)]
    _close("positions do not influence each other", where, torch.cat(steps, 1), out)

    mixed = edit.apply(x, _stacked([edit.parameters, twin.parameters, edit.parameters]))
    alone = twin.apply(x, theirs)
    _close("parameters stack", where, mixed, torch.stack([out[0], alone[1], out[2]]))
    return not _bits(out, x)


def _check(check: Check, x: Tensor) -> None:
    given = x.clone()
    values = check.measure(x, _stacked([check.parameters] * _ROWS))
    fine = values.shape == x.shape[:2] and bool(torch.isfinite(values).all())
    what = f"{check.name!r} gave {tuple(values.shape)} for {tuple(x.shape)}: {values}"
    law(fine, "a check measures every position", what)
    law(_bits(x, given), "does not modify its input", f"the check {check.name!r}")


def _identity(arm: Arm, activations: Callable[[Edit], Tensor]) -> None:
    name = "strength 0 is the identity"
    law(arm.idle, name, "the arm does not say that it is idle")
    for edit in arm.edits:
        x = activations(edit)
        x[1, 0, 0], x[1, 1, 0] = torch.inf, -torch.inf
        out = edit.apply(x, _stacked([edit.parameters] * _ROWS))
        law(_bits(out, x), name, f"at {edit.site} in {x.dtype} a bit changed (also of -0.0 or inf)")


# ── On a model ───────────────────────────────────────────────────────────────────────────────────


def _on_model(model: Model, arm: Arm, tokens: Sequence[Tokens]) -> None:
    first, second = ([replace(one, arm=index) for one in tokens] for index in (0, 1))
    plain = logits_of(model, first)
    with model.edited([Arm("none"), arm]) as receipts:
        none, edited = logits_of(model, first), logits_of(model, second)
    law(_bits(none, plain), "the arm without edits is untouched", "its logits changed")
    law(_bits(logits_of(model, first), plain), "nothing is left behind", "logits differ after")
    what = "the logits are those of the model as it is"
    changed = not _bits(edited, plain)
    law(changed or arm.idle, "an arm that is not idle changes something", what)
    receipt = receipts[1]
    law(receipt.fired > 0, "edits fire", f"the receipt is {receipt}")
    law(not receipt.broken, "edits keep their promises", f"the receipt is {receipt}")
    with suppress(_Interruption), model.edited([arm]):
        raise _Interruption
    after = logits_of(model, first)
    law(_bits(after, plain), "nothing is left behind, also after an error", "logits differ")


def _idle_on_model(model: Model, arm: Arm, tokens: Sequence[Tokens]) -> None:
    first = [replace(one, arm=0) for one in tokens]
    plain = logits_of(model, first)
    with model.edited([arm]):
        edited = logits_of(model, first)
    law(_bits(edited, plain), "strength 0 is the identity", "the model's logits changed")


class _Interruption(Exception):
    pass


# ── Small things ─────────────────────────────────────────────────────────────────────────────────


def _stacked(rows: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _bits(left: Tensor, right: Tensor) -> bool:
    """Equal bit for bit: -0.0 is not 0.0, NaN is itself."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    return torch.equal(left.contiguous().view(torch.uint8), right.contiguous().view(torch.uint8))


def _close(name: str, where: str, left: Tensor, right: Tensor) -> None:
    """Equal up to what another order of summation may change."""
    scale = float(right.float().abs().max())
    tolerance = max(1e-5, 4 * torch.finfo(right.dtype).eps) * scale
    furthest = float((left.float() - right.float()).abs().max())
    law(furthest <= tolerance, name, f"{where}: off by {furthest:.3g} of {scale:.3g}")
