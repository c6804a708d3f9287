"""The shipped check finds what it says it finds."""

from dataclasses import replace

import pytest
import torch

from harness.contract import Arm, Check, Edit, Site
from harness.testing import check_intervention


def scaled(x, parameters):
    return x * parameters["by"].to(x.dtype)[:, None, None]


class Scaling:
    """Multiplies the stream: an intervention that keeps every law."""

    apply = staticmethod(scaled)

    def __init__(self, by=2.0):
        self.by = by

    def arm(self, name, direction, facts, dtype):
        edit = Edit(Site("resid_post", 2), type(self).apply, {"by": torch.tensor(self.by)})
        return Arm(name, (edit,), idle=self.by == 1)


def test_a_good_one_passes(make_direction, facts):
    check_intervention(Scaling(), make_direction(), facts, identity=Scaling(1.0))


def broken(change, by=2.0):
    """The same with another `apply`, or with another arm."""

    class Broken(Scaling):
        def arm(self, name, direction, facts, dtype):
            arm = super().arm(name, direction, facts, dtype)
            return change(arm, direction)

    return Broken(by)


def with_apply(apply):
    return lambda arm, _: replace(
        arm, edits=tuple(replace(edit, apply=apply) for edit in arm.edits)
    )


def in_place(x, p):
    return x.mul_(p["by"].to(x.dtype)[:, None, None])


def first_rows_strength(x, p):
    return x * p["by"][0].to(x.dtype)


def last_position_only(x, p):
    return torch.cat([x[:, :-1], scaled(x[:, -1:], p)], 1)


def row_mean(x, p):
    return scaled(x, p) + x.mean(0, keepdim=True)


def widened(x, p):
    return scaled(x, p).double()


def longer(x, p):
    return torch.cat([x, x], 1)


def nothing(x, p):
    return x.clone()


def own_closure(arm, direction):
    return with_apply(lambda x, p: scaled(x, p))(arm, direction)


def own_strength(arm, direction):
    by = torch.tensor(float(direction.vectors[0, 0]))
    edits = tuple(
        replace(edit, parameters={"by": by}, apply=first_rows_strength) for edit in arm.edits
    )
    return replace(arm, edits=edits)


def deep(arm, _):
    edits = tuple(replace(edit, site=Site("resid_post", 9)) for edit in arm.edits)
    return replace(arm, edits=edits)


def half_precision(arm, _):
    by = {"by": torch.tensor(2.0, dtype=torch.float64)}
    return replace(arm, edits=tuple(replace(edit, parameters=by) for edit in arm.edits))


def bad_check(arm, _):
    check = Check("c", Site("resid_post", 2), lambda x, p: x.norm(dim=-1) * torch.nan, {}, None)
    return replace(arm, checks=(check,))


@pytest.mark.parametrize(
    ("change", "law"),
    [
        (with_apply(in_place), "does not modify its input"),
        (with_apply(last_position_only), "positions do not influence each other"),
        (with_apply(row_mean), "rows do not influence each other"),
        (with_apply(widened), "shape and dtype kept"),
        (with_apply(longer), "shape and dtype kept"),
        (with_apply(nothing), "an arm that is not idle changes something"),
        (own_closure, "parameters stack"),
        (own_strength, "parameters stack"),
        (deep, "sites are the model's"),
        (half_precision, "parameters are finite float32"),
        (bad_check, "a check measures every position"),
        (lambda arm, _: replace(arm, name="x"), "an arm has the name it was given"),
        (lambda arm, _: replace(arm, edits=()), "an arm edits something"),
    ],
)
def test_a_broken_one_is_named(make_direction, facts, change, law):
    with pytest.raises(AssertionError, match=f"law broken: {law}"):
        check_intervention(broken(change), make_direction(), facts)


def plus_zero(x, p):
    return x + 0.0


@pytest.mark.parametrize(
    "identity",
    [Scaling(1.5), broken(with_apply(plus_zero), by=1.0), broken(lambda a, _: replace(a, idle=0))],
)
def test_a_broken_identity_is_named(make_direction, facts, identity):
    with pytest.raises(AssertionError, match="law broken: strength 0 is the identity"):
        check_intervention(Scaling(), make_direction(), facts, identity=identity)
