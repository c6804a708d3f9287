"""What edits really did: small tensors noted in the hooks, added up later, many at a time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import overload

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from harness.contract import Arm, Receipt

ENOUGH = 1 << 17
"""Numbers that may wait before they are added up."""


@dataclass
class Totals:
    """Sums of one arm, over every forward so far."""

    fired: int = 0
    tokens: int = 0
    changed: int = 0
    ratio: int = 0
    """In units of 2⁻⁶⁰, so that no order of batches, and no break between them, is seen in it."""
    checks: dict[int, float] = field(default_factory=dict)
    """The largest value of each of the arm's checks, by its place in `Arm.checks`."""
    non_finite: bool = False

    def add(self, other: Totals) -> None:
        """Adds another's sums to these."""
        self.fired += other.fired
        self.tokens += other.tokens
        self.changed += other.changed
        self.ratio += other.ratio
        self.non_finite |= other.non_finite
        for check, value in other.checks.items():
            self.see(check, value)

    def see(self, check: int, value: float) -> None:
        """One more value of a check; NaN stays."""
        self.checks[check] = _worse(self.checks.get(check, -math.inf), value)

    def receipt(self, arm: Arm) -> Receipt:
        """The receipt of `arm`."""
        checks: dict[str, float] = {}
        broken: list[str] = []
        for index, value in self.checks.items():
            check = arm.checks[index]
            checks[check.name] = _worse(checks.get(check.name, -math.inf), value)
            if math.isnan(value) or (check.limit is not None and value > check.limit):
                broken.append(check.name)
        if self.non_finite:
            broken.append("non-finite")
        relative = self.ratio / (self.tokens << 60) if self.tokens else None  # rounded once
        return Receipt(
            arm=arm.name,
            fired=self.fired,
            tokens=self.tokens,
            changed=self.changed,
            relative=relative,
            checks=checks,
            broken=tuple(dict.fromkeys(broken)),
            relative_sum=self.ratio if self.tokens else None,
        )


def whole_sums(
    x: Float[Tensor, "notes rows pos"], times: Int[Tensor, "notes rows pos"] | None = None
) -> list[int]:
    """The sum of each row's float64 numbers, none negative, in units of 2⁻⁶⁰: exact, but that each
    of them is rounded to such a unit first. More than 1e300 counts as that. `times`: how often
    each of them counts, else once."""
    if not x.numel():
        return [0] * x.shape[1]
    large = x.clamp_max(1e300) * 2.0**20
    high = large.floor()
    low = ((large - high) * 2.0**40).round()
    above, below = (_sums(part, times) for part in (high, low))
    return [(one << 40) + other for one, other in zip(above, below, strict=True)]


def _sums(x: Float[Tensor, "notes rows pos"], times: Tensor | None) -> list[int]:
    """The exact sum of each row's whole numbers, each counted so many times."""
    most = x.shape[0] * x.shape[2] * (1 if times is None else max(1, int(times.max())))
    if float(x.max()) * most < 2.0**62:
        whole = x.long()
        return (whole if times is None else whole * times).sum((0, 2)).tolist()
    often = torch.ones_like(x) if times is None else times
    pairs = zip(x.unbind(1), often.long().unbind(1), strict=True)
    return [
        sum(int(one) * n for one, n in zip(a.flatten().tolist(), b.flatten().tolist(), strict=True))
        for a, b in pairs
    ]


def _worse(old: float, new: float) -> float:
    """The larger of two values; NaN is worse than any."""
    return old if math.isnan(old) or old > new else new


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a batch that one call of an edit or check works on, and their arms."""

    stands: tuple[tuple[int, ...], ...]
    """For each of the rows, the arms that it stands for; the edits are those of the first."""
    index: slice | Tensor | None
    """Which rows of the batch they are, on its device; None for all."""
    checks: tuple[int, ...] = ()
    """For a check: for each row, the check's place in its arm's `checks`."""

    def of(self, x: Tensor) -> Tensor:
        """These rows of activations or of a mask of the batch."""
        return x if self.index is None else x[self.index]


_Kind = tuple[Rows, tuple[int, ...]]
"""Notes of one kind are added up together: the same rows, the same shape, and whether there is a
mask."""


class Receipts(Sequence[Receipt]):
    """The receipts of a block, one for each arm: while it runs, of what was done until now."""

    def __init__(self, now: Callable[[], list[Receipt]], arms: int) -> None:
        self._now = now
        self._arms = arms
        self._final: list[Receipt] | None = None

    def end(self, final: list[Receipt]) -> None:
        """The block is over, and this is what was done."""
        self._final = final

    @overload
    def __getitem__(self, index: int) -> Receipt: ...
    @overload
    def __getitem__(self, index: slice) -> list[Receipt]: ...
    def __getitem__(self, index: int | slice) -> Receipt | list[Receipt]:
        """The receipt of an arm."""
        return (self._now() if self._final is None else self._final)[index]

    def __len__(self) -> int:
        """How many arms there are."""
        return self._arms


class Ledger:
    """Notes of the hooks, and the sums of every arm.

    What is noted since the last `commit` is kept apart until the next one, so that a batch that
    ran out of memory and runs again in halves is counted once.
    """

    def __init__(self, arms: Sequence[Arm]) -> None:
        self._arms = arms
        self._totals = [Totals() for _ in arms]
        self._open = [Totals() for _ in arms]
        self._notes: dict[_Kind, list[tuple[Tensor, ...]]] = defaultdict(list)
        self._waiting = 0

    def edited(
        self,
        rows: Rows,
        x: Float[Tensor, "rows pos d"],
        y: Float[Tensor, "rows pos d"],
        mask: Shaped[Tensor, "batch pos"] | None,
    ) -> None:
        """Notes that an edit made y of x. Three small operations: this runs at every step.

        `mask`: how many tokens each position stands for, none where it is padding.
        """
        dtype = torch.promote_types(x.dtype, torch.float32)
        before = torch.linalg.vector_norm(x, dim=-1, dtype=dtype)
        delta = torch.linalg.vector_norm(y - x, dim=-1, dtype=dtype)
        self._note(rows, (before, delta), mask)

    def checked(
        self,
        rows: Rows,
        values: Float[Tensor, "rows pos"],
        mask: Shaped[Tensor, "batch pos"] | None,
    ) -> None:
        """Notes what a check measured."""
        self._note(rows, (values.detach(),), mask)

    def non_finite(self, arm: int) -> None:
        """Notes that the model came to numbers that are not finite under an arm."""
        self._open[arm].non_finite = True

    def _note(self, rows: Rows, values: tuple[Tensor, ...], mask: Tensor | None) -> None:
        real = rows.of(mask) if mask is not None else None
        shape = (*values[0].shape, int(real is None))
        self._notes[rows, shape].append(values if real is None else (*values, real))
        self._waiting += values[0].numel()
        if self._waiting > ENOUGH:
            self._add_up()

    def _add_up(self) -> None:
        for (rows, shape), notes in self._notes.items():
            # [note, row, position]: one transfer for all notes of a kind, then float64.
            parts = [torch.stack(p).cpu() for p in zip(*notes, strict=True)]
            real = torch.ones(parts[0].shape, dtype=torch.bool) if shape[-1] else parts.pop()
            if rows.checks:
                self._add_checks(rows, parts[0].double(), real)
            else:
                self._add_edits(rows, parts[0].double(), parts[1].double(), real)
        self._notes.clear()
        self._waiting = 0

    def _add_edits(self, rows: Rows, before: Tensor, delta: Tensor, times: Tensor) -> None:
        real = times.bool()
        finite = torch.isfinite(before) & torch.isfinite(delta)
        # A vector of length zero has no relative change: it counts as none.
        ratio = torch.where(real & finite & (before > 0), delta / before.clamp_min(1e-300), 0.0)
        often = None if times.dtype == torch.bool else times
        tokens = times.sum((0, 2)).tolist()
        changed = (times * (delta != 0)).sum((0, 2)).tolist()
        bad = (real & ~finite).any(2).any(0).tolist()
        for row, (stand, share) in enumerate(
            zip(rows.stands, whole_sums(ratio, often), strict=True)
        ):
            for arm in stand:
                total = self._open[arm]
                total.tokens += tokens[row]
                total.changed += changed[row]
                total.ratio += share
                total.non_finite |= bad[row]
        for arm in {arm for stand in rows.stands for arm in stand}:
            self._open[arm].fired += len(before)

    def _add_checks(self, rows: Rows, values: Tensor, real: Tensor) -> None:
        largest = torch.where(real.bool(), values, -math.inf).amax((0, 2)).tolist()
        for stand, check, value in zip(rows.stands, rows.checks, largest, strict=True):
            if value != -math.inf:  # nothing but padding in this row
                for arm in stand:
                    self._open[arm].see(check, value)

    def commit(self) -> None:
        """What was noted since the last call counts."""
        self._add_up()
        for total, new in zip(self._totals, self._open, strict=True):
            total.add(new)
        self._open = [Totals() for _ in self._arms]

    def forget(self) -> None:
        """The batch failed: its sums do not count."""
        self._notes.clear()
        self._waiting = 0
        self._open = [Totals() for _ in self._arms]

    def so_far(self) -> list[Receipt]:
        """One receipt for each arm of what was noted until now; the sums stay as they are."""
        now = Ledger(self._arms)
        now._totals, now._open = deepcopy(self._totals), deepcopy(self._open)
        now._notes.update({kind: list(notes) for kind, notes in self._notes.items()})
        return now.receipts()

    def receipts(self) -> list[Receipt]:
        """One receipt for each arm."""
        self.commit()
        return [t.receipt(arm) for t, arm in zip(self._totals, self._arms, strict=True)]
