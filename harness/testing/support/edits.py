"""Laws of one edit and of one check, tried on activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from harness.contract import Arm, Check, Edit
from harness.testing.support.laws import law

Activations = Callable[[Edit | Check], Tensor]
"""Activations to try an edit or a check on: Float[Tensor, "rows pos d"]."""

_AGAIN = 3
"""How often an edit is made again that must come out the same."""


def edit_laws(edit: Edit, twin: Edit, x: Tensor) -> bool:
    """The laws of one edit, beside that of another direction; returns whether it changed x."""
    where = f"at {edit.site} in {x.dtype}"
    rows, positions = x.shape[:2]
    mine, theirs = (stacked([one.parameters] * rows) for one in (edit, twin))
    out = kept_shape(edit, mine, x)

    for _ in range(_AGAIN):
        again = edit.apply(x, mine)
        law(same_bits(again, out), "deterministic", f"{where}: the same again came out different")
    apart = [edit.apply(x[i : i + 1], stacked([edit.parameters])) for i in range(rows)]
    close("rows do not influence each other", where, torch.cat(apart), out)
    steps = [edit.apply(x[:, i : i + 1], mine) for i in range(positions)]
    close("positions do not influence each other", where, torch.cat(steps, 1), out)

    both = [edit.parameters, twin.parameters]
    mixed = edit.apply(x, stacked([both[i % 2] for i in range(rows)]))
    alone = twin.apply(x, theirs)
    expected = torch.stack([(out, alone)[i % 2][i] for i in range(rows)])
    close("parameters stack", where, mixed, expected)
    return not same_bits(out, x)


def kept_shape(edit: Edit, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """What an edit makes of x, after the laws on its shape and on what it may not modify."""
    where = f"at {edit.site} in {x.dtype}"
    given, before = x.clone(), {name: tensor.clone() for name, tensor in parameters.items()}
    out = edit.apply(x, parameters)
    became = f"{where}: {tuple(x.shape)} became {tuple(out.shape)} {out.dtype}"
    law(out.shape == x.shape and out.dtype == x.dtype, "shape and dtype kept", became)
    untouched = same_bits(x, given)
    untouched &= all(torch.equal(parameters[name], one) for name, one in before.items())
    law(untouched, "does not modify its input", where)
    return out


def check_laws(check: Check, x: Tensor) -> None:
    """A check measures every position, and modifies nothing."""
    given = x.clone()
    values = check.measure(x, stacked([check.parameters] * len(x)))
    fine = values.shape == x.shape[:2] and bool(torch.isfinite(values).all())
    what = f"{check.name!r} gave {tuple(values.shape)} for {tuple(x.shape)}: {values}"
    law(fine, "a check measures every position", what)
    law(same_bits(x, given), "does not modify its input", f"the check {check.name!r}")


def changes_nothing(name: str, arm: Arm, activations: Activations) -> None:
    """No edit of an arm changes a bit, also of -0.0."""
    for edit in arm.edits:
        x = activations(edit)
        out = edit.apply(x, stacked([edit.parameters] * len(x)))
        law(same_bits(out, x), name, f"at {edit.site} in {x.dtype} a bit changed")


def stacked(rows: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Parameters with a leading axis of rows."""
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def same_bits(left: Tensor, right: Tensor) -> bool:
    """Equal bit for bit: -0.0 is not 0.0, NaN is itself."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    bits = (one.contiguous().reshape(-1).view(torch.uint8) for one in (left, right))
    return torch.equal(*bits)


def close(name: str, where: str, left: Tensor, right: Tensor) -> None:
    """Equal up to what another order of summation may change."""
    scale = float(right.float().abs().max())
    tolerance = max(1e-5, 4 * torch.finfo(right.dtype).eps) * scale
    furthest = float((left.float() - right.float()).abs().max())
    law(furthest <= tolerance, name, f"{where}: off by {furthest:.3g} of {scale:.3g}")
