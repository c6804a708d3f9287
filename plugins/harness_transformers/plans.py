"""Which rows of a batch are edited together: worked out once for each batch of arms.

At each place the rows whose edits have the same function and the same parameter shapes are edited
in one call, their parameters stacked. Which these are depends only on the arms of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness_transformers.places import Place
from harness_transformers.receipts import Rows

Function = Callable[[Tensor, Mapping[str, Tensor]], Tensor]

Stand = tuple[int, ...]
"""The arms that one row of a batch stands for, an arm as often as it has such a row: prompts that
come more than once under the same edits are computed once. The edits are those of the first."""


@dataclass(frozen=True)
class Work:
    """The function of one edit or check of an arm."""

    function: Function
    parameters: Mapping[str, Tensor]
    check: int | None = None
    """Of a check: its place in the arm's `checks`."""


Works = dict[Place, dict[int, list[Work]]]
"""By place and number of the arm, in the arm's own order."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of an edit's or a check's function, on some rows of the batch."""

    function: Function
    rows: Rows
    parameters: Mapping[str, Tensor]


Steps = tuple[list[Call], list[Call]]
"""What happens at one place of a batch: the checks measure, then the edits act in order."""


class Plan:
    """The steps at every place for batches whose rows stand for these arms."""

    def __init__(self, stands: tuple[Stand, ...]) -> None:
        self.stands = stands
        self._by_arm: dict[int, list[int]] = {}
        for row, stand in enumerate(stands):
            self._by_arm.setdefault(stand[0], []).append(row)
        self._steps: dict[tuple[Place, torch.device], Steps] = {}
        self._rows: dict[tuple[object, ...], tuple[Rows, Tensor | None]] = {}
        """What is the same at all places: rows, and for each which of the stacked arms is its."""
        self._stacks: dict[tuple[object, ...], Tensor] = {}
        """Stacked parameters, shared by all places that use the same tensors."""

    def at(self, place: Place, device: torch.device, checks: Works, edits: Works) -> Steps:
        """What happens at a place."""
        steps = self._steps.get((place, device))
        if steps is None:
            checking, editing = (
                list(self._in_turn(works.get(place, {}), device)) for works in (checks, edits)
            )
            steps = self._steps[place, device] = checking, editing
        return steps

    def _in_turn(self, works: Mapping[int, Sequence[Work]], device: torch.device) -> Iterator[Call]:
        """The calls of all arms at one place: the k-th of each arm come before the k+1-st of any.

        So each arm's own order is kept.
        """
        for k in range(max(map(len, works.values()), default=0)):
            yield from self._together({a: w[k] for a, w in works.items() if k < len(w)}, device)

    def _together(self, works: Mapping[int, Work], device: torch.device) -> Iterator[Call]:
        """One call for all rows with the same function and parameter shapes."""
        groups: dict[Any, list[int]] = {}
        for arm in self._by_arm:
            if arm in works:
                parameters = works[arm].parameters
                shapes = tuple(sorted((name, tuple(p.shape)) for name, p in parameters.items()))
                groups.setdefault((works[arm].function, shapes), []).append(arm)
        for (function, _), arms in groups.items():
            rows, each = self._of(tuple(arms), tuple(works[arm].check for arm in arms), device)
            given = [works[arm].parameters for arm in arms]
            yield Call(function, rows, self._stacked(given, len(rows.stands), each, device))

    def _of(
        self, arms: tuple[int, ...], checks: tuple[int | None, ...], device: torch.device
    ) -> tuple[Rows, Tensor | None]:
        """The rows of some arms, and the place among `arms` of each row's own; None for one."""
        key = (arms, checks, device)
        if key not in self._rows:
            pairs = sorted((row, n) for n, arm in enumerate(arms) for row in self._by_arm[arm])
            rows = [row for row, _ in pairs]
            index: slice | Tensor | None = None
            if rows != list(range(rows[0], rows[-1] + 1)):
                index = torch.tensor(rows, device=device)
            elif len(rows) < len(self.stands):
                index = slice(rows[0], rows[-1] + 1)
            numbers = tuple(check for _, n in pairs if (check := checks[n]) is not None)
            each = torch.tensor([n for _, n in pairs], device=device) if len(arms) > 1 else None
            self._rows[key] = Rows(tuple(self.stands[r] for r in rows), index, numbers), each
        return self._rows[key]

    def _stacked(
        self,
        parameters: Sequence[Mapping[str, Tensor]],
        rows: int,
        each: Tensor | None,
        device: torch.device,
    ) -> dict[str, Tensor]:
        """Each parameter with a leading axis of rows, float32; not copied where all share it."""
        out = {}
        for name in parameters[0]:
            column = [p[name] for p in parameters]
            key = (device, id(each), rows, *map(id, column))
            if key not in self._stacks:
                once = {id(p): p.to(device=device, dtype=torch.float32) for p in column}
                if len(once) == 1:
                    one = once[id(column[0])]
                    self._stacks[key] = one.expand(rows, *one.shape)
                else:
                    assert each is not None
                    self._stacks[key] = torch.stack([once[id(p)] for p in column])[each]
            out[name] = self._stacks[key]
        return out
