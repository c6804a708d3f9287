"""Laws of arms that run inside a model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from harness.contract import Arm, Model, Receipt, Sampling, Tokens
from harness.testing.support.edits import same_bits
from harness.testing.support.laws import law
from harness.testing.support.models import logits_of

_NEW = 4
"""Tokens that a completion has, at most."""


def arm_laws(model: Model, arm: Arm, tokens: Sequence[Tokens]) -> None:
    """Edits fire and keep their promises, touch no other arm, and leave nothing behind."""
    first, second = ([replace(one, arm=index) for one in tokens] for index in (0, 1))
    plain = logits_of(model, first)
    with model.edited([Arm("none"), arm]) as receipts:
        none, edited = logits_of(model, first), logits_of(model, second)
    law(same_bits(none, plain), "the arm without edits is untouched", "its logits changed")
    law(same_bits(logits_of(model, first), plain), "nothing is left behind", "logits differ after")
    what = "the logits are those of the model as it is"
    changed = not same_bits(edited, plain)
    law(changed or arm.idle or arm.gated, "an arm that is not idle changes something", what)
    receipt = receipts[1]
    law(receipt.fired > 0, "edits fire", f"the receipt is {receipt}")
    law(not receipt.broken, "edits keep their promises", f"the receipt is {receipt}")
    with suppress(_Interruption), model.edited([arm]):
        raise _Interruption
    after = logits_of(model, first)
    law(same_bits(after, plain), "nothing is left behind, also after an error", "logits differ")


def same_as_unedited(name: str, model: Model, arm: Arm, tokens: Sequence[Tokens]) -> Receipt:
    """Under an arm, logits and completions are those of the model as it is; what it did."""
    first = [replace(one, arm=0) for one in tokens]
    plain, written = logits_of(model, first), model.generate(first, Sampling(_NEW))
    with model.edited([arm]) as receipts:
        edited, again = logits_of(model, first), model.generate(first, Sampling(_NEW))
    law(same_bits(edited, plain), name, "the model's logits changed")
    law(again == written, name, f"completions changed: {written} became {again}")
    receipt = receipts[0]
    law(not receipt.changed, name, f"the receipt is {receipt}")
    return receipt


def same_under_both(name: str, model: Model, arms: Sequence[Arm], tokens: Sequence[Tokens]) -> None:
    """Under two arms, logits and completions are the same, to the bit."""
    first = [replace(one, arm=0) for one in tokens]
    found = []
    for arm in arms:
        with model.edited([arm]):
            found.append((logits_of(model, first), model.generate(first, Sampling(_NEW))))
    (one, written), (other, again) = found
    law(same_bits(one, other), name, "the model's logits differ")
    law(written == again, name, f"completions differ: {written} and {again}")


class _Interruption(Exception):
    pass
