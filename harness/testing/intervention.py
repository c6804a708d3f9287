"""Laws that every intervention keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.contract import (
    Arm,
    Check,
    Direction,
    Edit,
    Intervention,
    Model,
    ModelFacts,
    PairedIntervention,
    PairedSaeIntervention,
    Sae,
    SaeIntervention,
    Tokens,
)
from harness.testing.support.edited_models import arm_laws, same_as_unedited, same_under_both
from harness.testing.support.edits import (
    Activations,
    changes_nothing,
    check_laws,
    edit_laws,
    same_bits,
    stacked,
)
from harness.testing.support.given import written
from harness.testing.support.laws import drawing, law, untried
from harness.testing.support.paired_edits import Arms, paired_identity, paired_laws

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_ROWS, _POSITIONS = 3, 5
_IDENTITY = "strength 0 is the identity"
_CLOSED = "a gate that never opens changes nothing"
_OPEN = "a gate that is always open is no gate"
_MEASURES = "a check measures every position"
_ALONE = (_MEASURES, _CLOSED, _OPEN)
"""Laws of edits that depend on nothing but the direction."""
_BESIDE = ("each row has an arm", "padding of the other view is not read")
_ON_MODEL = (
    "edits fire and keep their promises",
    "the arm without edits is untouched",
    "nothing is left behind, also after an error",
)

AnyIntervention = Intervention | SaeIntervention | PairedIntervention | PairedSaeIntervention


def check_intervention(
    intervention: AnyIntervention,
    direction: Direction,
    facts: ModelFacts,
    *,
    identity: AnyIntervention | None = None,
    sae: Sae | None = None,
    beside: Tensor | None = None,
    closed: AnyIntervention | None = None,
    opened: tuple[AnyIntervention, AnyIntervention] | None = None,
    model: Model | None = None,
    tokens: Sequence[Tokens] = (),
    seed: int = 0,
) -> None:
    """Raises AssertionError, naming the law, where an intervention breaks one.

    `identity` is the same intervention at strength 0, if it has a strength. `sae` is what a
    `SaeIntervention` or a `PairedSaeIntervention` is given. `beside` is the other view's
    activations that a `PairedIntervention` or a `PairedSaeIntervention` is given, Float[Tensor,
    "rows pos d_site"]: then its `arms` are tried. For an intervention with
    a gate, `closed` is the same with a gate that never opens, and `opened` the same with a gate
    that is always open, beside the intervention without a gate. With a `model` (and `tokens`, one
    prompt or more), which must fit `direction` and `facts`, it also runs there.

    Laws: an arm has the name it was given · deterministic (the same direction gives the same
    edits, the same activations come out the same) · sites are the model's · parameters are finite
    float32 · shape and dtype kept · does not modify its input (nor the direction) · rows do not
    influence each other · positions do not influence each other (a cached step edits one at a
    time) · parameters stack (what arms share, such as the SAE, is held by `apply`, which is equal
    for all) · an arm that is not idle changes something (or says that it is gated) · a check
    measures every position · strength 0 is the identity · a gate that never opens changes nothing
    · a gate that is always open is no gate · each row has an arm (beside another view) · padding
    of the other view is not read. On a model: edits fire and keep their promises · the arm without
    edits is untouched · nothing is left behind, also after an error. Completions under a closed
    gate are those of the model.
    """
    if identity is None:
        untried("it has no strength, or no sample gives `identity`: it at strength 0", _IDENTITY)
    arm_of = partial(_arm, sae=sae, facts=facts)
    if beside is not None:
        untried("it is given another view's activations, batch by batch", *_ALONE, *_ON_MODEL)
        _beside(intervention, identity, direction, facts, beside, sae, seed)
        return
    untried("it reads no other view, or no sample gives `beside`, its activations", *_BESIDE)
    given, seed = written(direction), drawing(seed)
    for dtype, kind in DTYPES.items():
        activations = partial(_activations, direction, facts, kind, seed)
        arm = arm_of(intervention, direction, "edited", dtype)
        _described(arm, facts, "edited")
        _same_again(arm, arm_of(intervention, direction, "edited", dtype))
        law(written(direction) == given, "does not modify its input", "the direction is another")
        other = arm_of(intervention, _another(direction, seed), "other", dtype)
        twins = zip(arm.edits, _twins(arm, other), strict=True)
        changed = [edit_laws(edit, twin, activations(edit)) for edit, twin in twins]
        what = f"in {dtype} no edit changed an activation"
        meant = arm.idle or arm.gated
        law(any(changed) or meant, "an arm that is not idle changes something", what)
        if not arm.checks:
            untried("its arms have no checks", _MEASURES)
        for check in arm.checks:
            check_laws(check, activations(check))
        if identity is not None:
            idle = arm_of(identity, direction, "idle", dtype)
            law(idle.idle, _IDENTITY, "the arm does not say that it is idle")
            changes_nothing(_IDENTITY, idle, partial(_infinite, activations))
        gates = [arm_of(one, direction, "gate", dtype) for one in (closed, *(opened or ())) if one]
        _gates(arm, gates, activations, closed=closed is not None, opened=opened is not None)
    if model is None:
        why = "no sample gives `model` and `tokens`, such as those of harness.testing.organism"
        untried(why, *_ON_MODEL)
        return
    if not tokens:
        raise ValueError("check_intervention: a model needs tokens to run on. Pass a prompt")
    on_model = partial(_arm, sae=sae, facts=model.facts, direction=direction, dtype=model.dtype)
    arm_laws(model, on_model(intervention, name="edited"), tokens)
    if identity is not None:
        same_as_unedited(_IDENTITY, model, on_model(identity, name="idle"), tokens)
    if closed is not None:
        receipt = same_as_unedited(_CLOSED, model, on_model(closed, name="closed"), tokens)
        law(receipt.tokens > 0, _CLOSED, f"it was asked about no token: {receipt}")
    if opened is not None:
        arms = [on_model(one, name="open") for one in opened]
        same_under_both(_OPEN, model, arms, tokens)


# ── The arm ──────────────────────────────────────────────────────────────────────────────────────


def _arm(
    intervention: Any,
    direction: Direction,
    name: str,
    dtype: str,
    *,
    sae: Sae | None,
    facts: ModelFacts,
) -> Arm:
    """The arm of an intervention, which is given the SAE where it takes one."""
    takes = "sae" in signature(intervention.arm).parameters
    own = [sae] if takes and sae is not None else []
    arm: Arm = intervention.arm(name, direction, facts, dtype, *own)
    return arm


def _described(arm: Arm, facts: ModelFacts, name: str) -> None:
    law(arm.name == name, "an arm has the name it was given", f"it is {arm.name!r}")
    law(bool(arm.edits), "an arm edits something", "it has no edit")
    names = [check.name for check in arm.checks]
    law(len(names) == len(set(names)), "checks have names of their own", f"they are {names}")
    everything: list[Edit | Check] = [*arm.edits, *arm.checks]
    for one in everything:
        site = one.site
        known = facts.layers is None or site.layer is None or 0 <= site.layer < facts.layers
        what = f"{site} in a model of {facts.layers} blocks"
        law(known and site.fraction is None, "sites are the model's", what)
        for key, tensor in one.parameters.items():
            fine = tensor.dtype == torch.float32 and bool(torch.isfinite(tensor).all())
            law(fine, "parameters are finite float32", f"{key!r} at {site} is {tensor}")


def _same_again(arm: Arm, again: Arm) -> None:
    """Asked again for the same direction, an intervention gives the same edits and checks."""
    mine: list[Edit | Check] = [*arm.edits, *arm.checks]
    theirs: list[Edit | Check] = [*again.edits, *again.checks]
    same = len(mine) == len(theirs) and all(
        one.site == other.site
        and one.parameters.keys() == other.parameters.keys()
        and all(same_bits(one.parameters[key], other.parameters[key]) for key in one.parameters)
        for one, other in zip(mine, theirs, strict=True)
    )
    law(same, "deterministic", "asked again, its edits have other sites or parameters")


def _another(direction: Direction, seed: int) -> Direction:
    """A direction of the same shape that points elsewhere."""
    noise = np.random.default_rng(seed).normal(size=direction.vectors.shape)
    vectors = 2 * np.abs(direction.vectors).max() * noise
    readers = None if direction.readers is None else np.linalg.pinv(vectors).T
    return replace(direction, vectors=vectors, readers=readers)


def _twins(arm: Arm, other: Arm) -> list[Edit]:
    """The edits of another direction's arm that share a call with the first one's."""
    law(
        [_call(edit) for edit in arm.edits] == [_call(edit) for edit in other.edits],
        "parameters stack",
        "two directions of the same shape give arms whose `apply` or parameter shapes differ, so "
        "they cannot share a call. Make `apply` a module-level function, or a frozen dataclass "
        "that holds what all arms share, and put what differs into the parameters",
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


def _infinite(activations: Activations, one: Edit | Check) -> Tensor:
    """The activations with an infinity of either sign, which strength 0 must keep."""
    x = activations(one)
    x[1, 0, 0], x[1, 1, 0] = torch.inf, -torch.inf
    return x


# ── Gates ────────────────────────────────────────────────────────────────────────────────────────


def _gates(
    arm: Arm, gates: Sequence[Arm], activations: Activations, *, closed: bool, opened: bool
) -> None:
    """The laws of gates. `gates`: the arm with a closed gate, then that with an open one and that
    without, as far as they are given."""
    if not closed:
        what = "no sample gives `closed`, it with a gate that never opens"
        untried(what if arm.gated else "its arms have no gate", _CLOSED)
    if not opened:
        what = "no sample gives `opened`, it with an open gate and without one"
        untried(what if arm.gated else "its arms have no gate", _OPEN)
    if closed:
        law(gates[0].gated or gates[0].idle, _CLOSED, "the arm does not say that it is gated")
        changes_nothing(_CLOSED, gates[0], activations)
    if opened:
        one, other = gates[-2:]
        law(len(one.edits) == len(other.edits), _OPEN, "they have not as many edits")
        for left, right in zip(one.edits, other.edits, strict=True):
            x = activations(left)
            law(left.site == right.site, _OPEN, f"they edit {left.site} and {right.site}")
            out, expected = (e.apply(x, stacked([e.parameters] * len(x))) for e in (left, right))
            law(same_bits(out, expected), _OPEN, f"at {left.site} in {x.dtype} a bit differs")


# ── Beside another view ──────────────────────────────────────────────────────────────────────────


def _beside(
    intervention: Any,
    identity: Any,
    direction: Direction,
    facts: ModelFacts,
    beside: Tensor,
    sae: Sae | None,
    seed: int,
) -> None:
    given = written(direction)
    for dtype, kind in DTYPES.items():
        other = beside.to(kind)
        arms = _arms_of(intervention, "edited", direction, facts, dtype, sae)
        made, twice = (arms(other.clone()) for _ in range(2))  # it may write into what it is given
        for arm, again in zip(made, twice, strict=True):
            _described(arm, facts, "edited")
            _same_again(arm, again)
        law(written(direction) == given, "does not modify its input", "the direction is another")
        noise = torch.randn(beside.shape, generator=torch.Generator().manual_seed(seed))
        x = (beside.float() + noise).to(kind)
        x[0, 0] = -0.0
        paired_laws(arms, x, other)
        if identity is not None:
            paired_identity(_arms_of(identity, "idle", direction, facts, dtype, sae), x, other)


def _arms_of(
    intervention: Any,
    name: str,
    direction: Direction,
    facts: ModelFacts,
    dtype: str,
    sae: Sae | None,
) -> Arms:
    """The arms of a batch; the intervention is given the SAE where it takes one."""
    own = [sae] if "sae" in signature(intervention.arms).parameters else []
    return lambda beside: intervention.arms(name, direction, facts, dtype, beside, *own)
