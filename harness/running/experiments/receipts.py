"""What the edits of an arm did: receipts of several batches as one, as records, and as failures."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from harness.contract import JSON, Axes, Receipt, Record
from harness.running.experiments.arms import ArmOutcome


def merged_receipt(arm: str, receipts: Sequence[Receipt]) -> Receipt:
    """One receipt for several batches of the same arm.

    Counts are summed, `relative` is weighted by tokens, and of each check the worst value counts.
    The order of the batches does not matter, not even in the last bit; nor does it matter how a
    run that was cut off has parted them, where the backend gives whole sums.
    """
    tokens = sum(receipt.tokens for receipt in receipts)
    weighted = math.fsum((r.relative or 0.0) * r.tokens for r in receipts)
    parts = [r.relative_sum for r in receipts if r.tokens]
    exact = [one for one in parts if one is not None]
    whole = sum(exact) if exact and len(exact) == len(parts) else None
    relative = weighted / tokens if tokens else None
    checks = _worst(check for receipt in receipts for check in receipt.checks.items())
    return Receipt(
        arm=arm,
        fired=sum(receipt.fired for receipt in receipts),
        tokens=tokens,
        changed=sum(receipt.changed for receipt in receipts),
        relative=relative if whole is None else whole / (tokens << 60),  # rounded once
        checks=dict(sorted(checks.items())),
        broken=tuple(sorted({name for receipt in receipts for name in receipt.broken})),
        relative_sum=whole,
    )


def receipt_records(
    outcomes: Sequence[ArmOutcome], axes: Mapping[str, JSON], options: Mapping[str, Any]
) -> Iterator[Record]:
    """The records of each arm whose edits ran.

    `edit.relative@1` is how much the edits changed the activations, as a share of their length.
    `edit.share@1`, of gated arms alone, is the share of the edited tokens whose activation came out
    different: where the gate was open. (What an ungated edit leaves as it is, such as an ablation
    of what is gone already, hangs on the rounding of a batch.) Both are over tokens and sites,
    prompts and completions alike.
    `edit.check@1` is the largest value of each check over the sites where it was made.
    """
    for outcome in outcomes:
        receipt = outcome.receipt
        if receipt is None or not receipt.fired:
            continue
        # A receipt names its checks `<check> at <site>`.
        checks = _worst((name.partition(" at ")[0], v) for name, v in receipt.checks.items())
        counted = "a count of what was done, not an estimate"
        largest = "the largest value seen, not an estimate"
        share = receipt.changed / receipt.tokens if receipt.tokens else None
        found: list[tuple[str, float | None, str, str, Axes]] = [
            ("edit.relative@1", receipt.relative, "ratio", counted, {}),
            *([("edit.share@1", share, "share", counted, {})] if outcome.gated else []),
            *(
                ("edit.check@1", value, "ratio", largest, {"check": name})
                for name, value in checks.items()
            ),
        ]
        for id, value, unit, why, own in found:
            yield Record(
                id,
                value,
                receipt.tokens,
                "edited tokens",
                unit,
                options,
                ci_why=why,
                axes={**outcome.axes(axes), **own},
                undefined=None if value is not None else "no token was edited",
            )


def edit_row(outcome: ArmOutcome, axes: Axes) -> dict[str, JSON]:
    """The receipt of an arm as the row of a table, under these axes and those of its direction."""
    receipt = outcome.receipt or Receipt(outcome.planned.label)
    largest = max(receipt.checks.values(), default=None)
    return {
        **outcome.axes(axes),
        "fired": receipt.fired,
        "tokens": receipt.tokens,
        "changed": receipt.changed,
        "relative": receipt.relative,
        "largest_check": largest,
    }


def receipt_failures(where: str, outcomes: Sequence[ArmOutcome]) -> Iterator[str]:
    """Why arms did not do what they are for: their edits changed nothing, or broke a promise.

    `where` is the place in the task that the messages begin with.
    """
    for outcome in outcomes:
        receipt = outcome.receipt
        if receipt is None or outcome.idle:
            continue
        arm = f"{where}, direction {outcome.planned.label}"
        if not receipt.changed and not _closed(outcome):
            yield (
                f"{arm}: the intervention changed nothing (it ran {receipt.fired} times on "
                f"{receipt.tokens} tokens), so its completions are those of the unedited model."
            )
        for name in receipt.broken:
            value = receipt.checks.get(name)
            measured = "" if value is None else f" (measured {value:.2g})"
            yield f"{arm}: the intervention broke its promise {name!r}{measured}."


def closed_gates(where: str, outcomes: Sequence[ArmOutcome]) -> Iterator[str]:
    """What to say of gated arms whose gate opened nowhere: an answer, and no failure.

    `where` is the place in the task that the messages begin with.
    """
    for outcome in outcomes:
        receipt = outcome.receipt
        if receipt is not None and _closed(outcome) and not outcome.idle:
            yield (
                f"{where}, direction {outcome.planned.label}: the gate of the intervention opened "
                f"on none of {receipt.tokens} tokens, so its numbers are those of the unedited "
                "model."
            )


def _closed(outcome: ArmOutcome) -> bool:
    """Whether the arm has a gate that was asked about tokens, and opened on none of them."""
    receipt = outcome.receipt
    if receipt is None or not outcome.gated:
        return False
    return receipt.tokens > 0 and not receipt.changed


def _worst(checks: Iterable[tuple[str, float]]) -> dict[str, float]:
    """By name, the largest value; one that is not a number is worse than any."""
    values = defaultdict(list)
    for name, value in checks:
        values[name].append(value)
    return {name: float(np.max(some)) for name, some in values.items()}
