"""What the edits of an arm did: receipts of several batches as one, as records, and as failures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import JSON, Receipt, Record
from harness.running.experiments.arms import ArmOutcome


def merged_receipt(arm: str, receipts: Sequence[Receipt]) -> Receipt:
    """One receipt for several batches of the same arm.

    Counts are summed, `relative` is weighted by tokens, and of each check the worst value counts.
    """
    tokens = sum(receipt.tokens for receipt in receipts)
    weighted = sum((r.relative or 0.0) * r.tokens for r in receipts)
    names = {name for receipt in receipts for name in receipt.checks}
    return Receipt(
        arm=arm,
        fired=sum(receipt.fired for receipt in receipts),
        tokens=tokens,
        changed=sum(receipt.changed for receipt in receipts),
        relative=weighted / tokens if tokens else None,
        checks={
            name: _worst([r.checks[name] for r in receipts if name in r.checks])
            for name in sorted(names)
        },
        broken=tuple(dict.fromkeys(name for receipt in receipts for name in receipt.broken)),
    )


def receipt_records(
    outcomes: Sequence[ArmOutcome], axes: Mapping[str, JSON], options: Mapping[str, Any]
) -> Iterator[Record]:
    """The records of each arm whose edits ran.

    `edit.relative@1` is how much the edits changed the activations, as a share of their length.
    `edit.check@1` is the largest value of each check over the sites where it was made.
    """
    for outcome in outcomes:
        receipt = outcome.receipt
        if receipt is None or not receipt.fired:
            continue
        at = outcome.axes(axes)
        yield Record(
            "edit.relative@1",
            receipt.relative,
            receipt.tokens,
            "edited tokens",
            "ratio",
            options,
            ci_why="a count of what was done, not an estimate",
            axes=at,
            undefined=None if receipt.relative is not None else "no token was edited",
        )
        for name, value in _worst_by_check(receipt.checks).items():
            yield Record(
                "edit.check@1",
                value,
                receipt.tokens,
                "edited tokens",
                "ratio",
                options,
                ci_why="the largest value seen, not an estimate",
                axes={**at, "check": name},
            )


def receipt_failures(where: str, outcomes: Sequence[ArmOutcome]) -> Iterator[str]:
    """Why arms did not do what they are for: their edits changed nothing, or broke a promise.

    `where` is the place in the task that the messages begin with.
    """
    for outcome in outcomes:
        receipt = outcome.receipt
        if receipt is None or outcome.idle:
            continue
        arm = f"{where}, direction {outcome.planned.label}"
        if not receipt.changed:
            yield (
                f"{arm}: the intervention changed nothing (it ran {receipt.fired} times on "
                f"{receipt.tokens} tokens), so its completions are those of the unedited model."
            )
        for name in receipt.broken:
            value = receipt.checks.get(name)
            measured = "" if value is None else f" (measured {value:.2g})"
            yield f"{arm}: the intervention broke its promise {name!r}{measured}."


def _worst_by_check(checks: Mapping[str, float]) -> dict[str, float]:
    """The worst value of each check over its sites: a receipt names them `<check> at <site>`."""
    values: dict[str, list[float]] = {}
    for name, value in checks.items():
        values.setdefault(name.partition(" at ")[0], []).append(value)
    return {name: _worst(some) for name, some in values.items()}


def _worst(values: Sequence[float]) -> float:
    """The largest; a value that is not a number is worse than any."""
    return next((value for value in values if math.isnan(value)), max(values))
