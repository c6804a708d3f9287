"""`check_intervention` names a gate that leaks, and paired edits that read too much."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from harness.contract import Arm, Edit
from harness.testing import check_intervention
from harness.testing.support.laws import missed_laws

THRESHOLDS = {"some": 0.5, "closed": 1e30, "always": -1e30}


@dataclass(frozen=True)
class Gate:
    """Adds 1 where the first number is above the threshold; an SAE is held and not used."""

    sae: object
    leak: float = 0.0

    def __call__(self, x, p):
        opened = x[..., :1].float() > p["threshold"][:, None, None]
        return torch.where(opened, x + 1, x + self.leak if self.leak else x)


class Gated:
    def __init__(self, threshold, *, leak=0.0, gated=True, fresh=False):
        self.threshold, self.leak, self.gated, self.fresh = threshold, leak, gated, fresh

    def arm(self, name, direction, facts, dtype, sae=None):
        assert sae == "the SAE"
        apply = Gate(object() if self.fresh else sae, self.leak)
        threshold = torch.tensor(self.threshold, dtype=torch.float32)
        edit = Edit(direction.site, apply, {"threshold": threshold})
        return Arm(name, (edit,), gated=self.gated)


class Ungated:
    def __init__(self, by=1):
        self.by = by

    def arm(self, name, direction, facts, dtype):
        by = torch.tensor(float(self.by))
        return Arm(name, (Edit(direction.site, plus, {"by": by}),))


def plus(x, p):
    return x + p["by"].to(x.dtype)[:, None, None]


def check(make_direction, facts, one=None, closed=None, opened=None, **given):
    check_intervention(
        one or Gated(0.5),
        make_direction(),
        facts,
        sae="the SAE",
        closed=closed or Gated(1e30),
        opened=opened or (Gated(-1e30), Ungated()),
        **given,
    )


def test_a_good_gate_passes(make_direction, facts):
    check(make_direction, facts)
    check(make_direction, facts, one=Gated(1e30))  # it may change nothing


@pytest.mark.parametrize(
    ("given", "law"),
    [
        ({"closed": Gated(1e30, leak=1e-2)}, "a gate that never opens changes nothing"),
        ({"closed": Gated(1e30, gated=False)}, "a gate that never opens changes nothing"),
        ({"opened": (Gated(0.5), Ungated())}, "a gate that is always open is no gate"),
        ({"opened": (Gated(-1e30), Ungated(2))}, "a gate that is always open is no gate"),
        ({"one": Gated(1e30, gated=False)}, "an arm that is not idle changes something"),
        ({"one": Gated(0.5, fresh=True)}, "parameters stack"),
    ],
    ids=["leaks", "hidden", "closed", "other", "silent", "an SAE for each arm"],
)
def test_a_broken_gate_is_named(make_direction, facts, given, law):
    with pytest.raises(AssertionError, match=f"law broken: {law}"):
        check(make_direction, facts, **given)


def test_a_gate_without_samples_is_said(make_direction, facts):
    with missed_laws() as missed:
        check_intervention(Gated(0.5), make_direction(), facts, sae="the SAE")
    assert "a gate that never opens changes nothing" in missed
    assert "a gate that is always open is no gate" in missed


# ── Beside another view ──


def towards(x, p):
    return (x.float() + p["strength"][:, None, None] * (p["other"] - x.float())).to(x.dtype)


class Beside:
    """Each token half the way to what the other view has."""

    def __init__(self, change=lambda beside: beside, strength=0.5, arms=lambda arms: arms):
        self.change, self.strength, self.arms_of = change, strength, arms

    def arms(self, name, direction, facts, dtype, beside):
        strength = torch.tensor(self.strength)
        apply = towards if self.strength else keep
        return self.arms_of(
            [
                Arm(
                    name,
                    (Edit(direction.site, apply, {"other": row, "strength": strength}),),
                    idle=self.strength == 0,
                )
                for row in self.change(beside.float().clone())
            ]
        )


def keep(x, p):
    return x


class Writes(Beside):
    def arms(self, name, direction, facts, dtype, beside):
        made = super().arms(name, direction, facts, dtype, beside)
        beside += 1
        return made


OTHER = torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(0))


def test_good_paired_edits_pass(make_direction, facts):
    given = {"identity": Beside(strength=0.0), "beside": OTHER}
    check_intervention(Beside(), make_direction(), facts, **given)


@pytest.mark.parametrize(
    ("broken", "law"),
    [
        (Beside(lambda b: b - b.mean(0)), "rows do not influence each other"),
        (Beside(lambda b: b - b.mean(1, keepdim=True)), "positions do not influence each other"),
        (Beside(arms=lambda arms: arms[:-1]), "each row has an arm"),
        (Writes(), "does not modify its input"),
        (Beside(strength=0.0, arms=lambda a: [replace(one, idle=False) for one in a]),
         "an arm that is not idle changes something"),
    ],
    ids=["rows", "positions", "too few", "writes", "silent"],
)  # fmt: skip
def test_broken_paired_edits_are_named(make_direction, facts, broken, law):
    with pytest.raises(AssertionError, match=f"law broken: {law}"):
        check_intervention(broken, make_direction(), facts, beside=OTHER.clone())


def test_a_paired_strength_of_zero_that_moves_is_named(make_direction, facts):
    with pytest.raises(AssertionError, match="law broken: strength 0 is the identity"):
        check_intervention(
            Beside(), make_direction(), facts, identity=Beside(strength=0.5), beside=OTHER
        )
