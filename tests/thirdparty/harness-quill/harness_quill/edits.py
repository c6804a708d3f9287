"""Runs the arms of `Model.edited`, and writes down what they did."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from harness.contract import Arm, Receipt, Site


@dataclass
class _Account:
    """Sums of one arm."""

    fired: int = 0
    tokens: int = 0
    changed: int = 0
    ratio: float = 0.0
    finite: bool = True
    checks: dict[str, float] = field(default_factory=dict)


class Session:
    """One `edited` block: at each site the checks look first, then the edits act in order."""

    def __init__(self, arms: Sequence[Arm]) -> None:
        self._arms = tuple(arms)
        self._accounts = [_Account() for _ in arms]

    def run(
        self,
        site: Site,
        x: Float[Tensor, "batch pos d"],
        arms: Sequence[int],
        new: Bool[Tensor, "batch pos"],
    ) -> Float[Tensor, "batch pos d"]:
        """x after the edits there: row i belongs to the arm `arms[i]`; `new` tokens count."""
        out = x
        for number in sorted(set(arms)):
            arm, account = self._arms[number], self._accounts[number]
            rows = [row for row, its in enumerate(arms) if its == number]
            for check in arm.checks:
                if check.site == site:
                    values = check.measure(x[rows], _stacked(check.parameters, rows, x))
                    most = float(values[new[rows]].max())
                    account.checks[check.name] = _worse(account.checks.get(check.name), most)
            for edit in arm.edits:
                if edit.site == site:
                    before = out[rows]
                    after = edit.apply(before, _stacked(edit.parameters, rows, x))
                    self._note(account, before[new[rows]], after[new[rows]])
                    out = out.index_copy(0, torch.tensor(rows, device=x.device), after)
        return out

    def receipts(self) -> list[Receipt]:
        """What each arm did."""
        return [
            self._receipt(arm, one) for arm, one in zip(self._arms, self._accounts, strict=True)
        ]

    def _note(self, account: _Account, before: Tensor, after: Tensor) -> None:
        length, change = before.double().norm(dim=-1), (after - before).double().norm(dim=-1)
        account.fired += 1
        account.tokens += len(before)
        account.changed += int((change != 0).sum())
        account.ratio += float((change / length)[length > 0].sum())
        account.finite &= bool(after.isfinite().all())

    def _receipt(self, arm: Arm, account: _Account) -> Receipt:
        limits = {check.name: check.limit for check in arm.checks}
        broken = [
            name
            for name, most in account.checks.items()
            if math.isnan(most) or ((limit := limits[name]) is not None and most > limit)
        ]
        return Receipt(
            arm.name,
            fired=account.fired,
            tokens=account.tokens,
            changed=account.changed,
            relative=account.ratio / account.tokens if account.tokens else None,
            checks=account.checks,
            broken=(*broken, *(() if account.finite else ("non-finite",))),
        )


def _stacked(parameters: Mapping[str, Tensor], rows: Sequence[int], x: Tensor) -> dict[str, Tensor]:
    """The parameters of an edit, once for each row."""
    return {
        name: one.to(x.device).expand(len(rows), *one.shape) for name, one in parameters.items()
    }


def _worse(old: float | None, new: float) -> float:
    """The larger of two values; NaN is worse than any."""
    return old if old is not None and (math.isnan(old) or old > new) else new
