"""Runs the arms of `Model.edited`: one hook for each place, all arms of a batch in one call.

A batch's rows belong to arms. At each place the rows whose edits have the same function and the
same parameter shapes are edited together, their parameters stacked. Which rows go together depends
only on the arms of the batch, so it is worked out once (`_Plan`) and a step of decoding only looks
it up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from harness.contract import Arm, Receipt
from harness.errors import ModelError, PluginError
from harness_transformers.blocks import Layout
from harness_transformers.places import Place, hooked
from harness_transformers.receipts import Ledger, Rows

_PLANS = 32
"""Batches of different arms whose plans are remembered; a plan holds stacked parameters."""

Function = Callable[[Tensor, Mapping[str, Tensor]], Tensor]


@dataclass(frozen=True)
class _Work:
    """The function of one edit or check of an arm."""

    function: Function
    parameters: Mapping[str, Tensor]
    check: int | None = None
    """Of a check: its place in the arm's `checks`."""


_Works = dict[Place, dict[int, list[_Work]]]
"""By place and number of the arm, in the arm's own order."""


@dataclass(frozen=True, eq=False)
class _Call:
    """One call of an edit's or a check's function, on some rows of the batch."""

    function: Function
    rows: Rows
    parameters: Mapping[str, Tensor]


_Steps = tuple[list[_Call], list[_Call]]
"""What happens at one place of a batch: the checks measure, then the edits act in order."""


class _Plan:
    """The steps at every place for batches whose rows have these arms."""

    def __init__(self, arms: tuple[int, ...]) -> None:
        self.arms = arms
        self.steps: dict[tuple[Place, torch.device], _Steps] = {}
        self.stacks: dict[tuple[Any, ...], Tensor] = {}
        """Stacked parameters, shared by all places that use the same tensors."""


class Session:
    """One `Model.edited` block."""

    def __init__(self, arms: Sequence[Arm], layout: Layout, name: str) -> None:
        self._arms = tuple(arms)
        self._name = name
        self._edits: _Works = defaultdict(lambda: defaultdict(list))
        self._checks: _Works = defaultdict(lambda: defaultdict(list))
        for number, arm in enumerate(self._arms):
            for edit in arm.edits:
                work = _Work(edit.apply, edit.parameters)
                self._edits[layout.place(edit.site)][number].append(work)
            for index, check in enumerate(arm.checks):
                work = _Work(check.measure, check.parameters, index)
                self._checks[layout.place(check.site)][number].append(work)
        self._ledger = Ledger(self._arms)
        self._plans: dict[tuple[int, ...], _Plan] = {}
        self._plan: _Plan | None = None
        """That of a batch of ours; None where someone else runs the model."""
        self._mask: Tensor | None = None
        self.live: Tensor | None = None
        """While we generate: Bool[Tensor, " row"], the rows that have not ended yet."""

    @property
    def arms(self) -> int:
        """How many arms there are."""
        return len(self._arms)

    def told_broken(self, arm: int) -> bool:
        """Whether the arm's receipt can say that its edits led to numbers that are not finite."""
        if not self._arms[arm].edits:
            return False
        self._ledger.non_finite(arm)
        return True

    def so_far(self) -> list[Receipt]:
        """What the edits did until now. Not inside a forward, nor inside a batch."""
        return self._ledger.so_far()

    def receipts(self) -> list[Receipt]:
        """What the edits did, once everything ran."""
        return self._ledger.receipts()

    @contextmanager
    def attached(self, hf: nn.Module) -> Iterator[None]:
        """The hooks, for as long as the block runs."""

        def handles() -> Iterator[Any]:
            yield hf.register_forward_pre_hook(self._enter, with_kwargs=True)
            yield hf.register_forward_hook(self._leave, always_call=True)
            for place in {**self._edits, **self._checks}:
                yield place.hook(partial(self._run, place))

        with hooked(handles()):
            yield

    @contextmanager
    def batch(self, arms: tuple[int, ...], mask: Tensor | None) -> Iterator[None]:
        """A batch of ours: the arm of each row, and where it is not padding.

        Without a `mask`, each forward's own attention mask is used. Where the batch fails, its
        notes are dropped: it may be repeated in smaller batches.
        """
        self._ledger.commit()  # what someone else's forwards noted before
        self._mask, self._plan = mask, self._plan_of(arms)
        try:
            yield
        except BaseException:
            self._ledger.forget()
            raise
        finally:
            self._mask = self._plan = self.live = None
        self._ledger.commit()

    def _plan_of(self, arms: tuple[int, ...]) -> _Plan:
        if arms not in self._plans:
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[arms] = _Plan(arms)
        return self._plans[arms]

    # ── Around a forward of the whole model ──────────────────────────────────────────────────────

    def _enter(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Which rows and which tokens are real in the forward that begins."""
        attention = kwargs.get("attention_mask")
        if self._plan is None and len(self._arms) > 1:
            raise ModelError(self._several())
        ids = args[0] if args else kwargs.get("input_ids", kwargs.get("inputs_embeds"))
        if not isinstance(ids, Tensor):
            return
        if self.live is not None and ids.shape[1] == 1:
            # Also where no prompt is padded and `generate` hands on no mask at all.
            self._mask = self.live[:, None]
        elif isinstance(attention, Tensor) and attention.dim() == 2:
            self._mask = attention[:, -ids.shape[1] :].bool()

    def _leave(self, _module: Any, _args: Any, _output: Any) -> None:
        if self._plan is None:
            self._mask = None

    def _several(self) -> str:
        return (
            f"{self._name}: several arms are active, and this forward does not tell which row is"
            " whose. Allowed: Model.activations and Model.generate, or a single arm."
        )

    # ── At a place ───────────────────────────────────────────────────────────────────────────────

    def _run(self, place: Place, x: Tensor | None) -> Tensor:
        if x is None:
            raise ModelError(f"{self._name}: site {place.path}: no activations to edit there.")
        plan = self._plan
        if plan is None:
            if len(self._arms) > 1:
                raise ModelError(self._several())
            plan = self._plan_of((0,) * len(x))
        steps = plan.steps.get((place, x.device))
        if steps is None:
            if len(plan.arms) != len(x):
                raise ModelError(
                    f"{self._name}: site {place.path}: {len(x)} rows in a batch of"
                    f" {len(plan.arms)}. Allowed: places with one row for each prompt."
                )
            checks, edits = (
                list(_in_turn(works.get(place, {}), plan, x.device))
                for works in (self._checks, self._edits)
            )
            steps = plan.steps[place, x.device] = checks, edits
        for call in steps[0]:
            part = call.rows.of(x)
            values = call.function(part, call.parameters)
            if values.shape != part.shape[:-1]:
                raise PluginError(
                    f"check {_name(call.function)} at {place.path}: it measured"
                    f" {tuple(values.shape)} of {tuple(part.shape)}. A check gives one number"
                    " for each row and position."
                )
            self._ledger.checked(call.rows, values.detach(), self._real(x))
        y, ours = x, False
        for call in steps[1]:
            part = call.rows.of(y)
            new = call.function(part, call.parameters)
            if new.shape != part.shape or new.dtype != part.dtype:
                raise PluginError(
                    f"edit {_name(call.function)} at {place.path}: it made"
                    f" {new.dtype} {tuple(new.shape)} of {part.dtype} {tuple(part.shape)}."
                    " An edit keeps shape and dtype."
                )
            self._ledger.edited(call.rows, part.detach(), new.detach(), self._real(x))
            if call.rows.index is None:
                y, ours = new, False
            else:
                # What a function returned may be a view, or shared: only a copy is written to.
                y, ours = (y if ours else y.clone()), True
                y[call.rows.index] = new
        return y

    def _real(self, x: Tensor) -> Tensor | None:
        """The mask of this forward on x's device, None where nothing is padding."""
        if self._mask is not None and self._mask.device != x.device:
            self._mask = self._mask.to(x.device)
        return self._mask


# ── Which rows go together ───────────────────────────────────────────────────────────────────────


def _in_turn(
    works: Mapping[int, Sequence[_Work]], plan: _Plan, device: torch.device
) -> Iterator[_Call]:
    """The calls of all arms at one place: the k-th of each arm come before the k+1-st of any.

    So each arm's own order is kept.
    """
    for k in range(max(map(len, works.values()), default=0)):
        yield from _together({arm: w[k] for arm, w in works.items() if k < len(w)}, plan, device)


def _together(works: Mapping[int, _Work], plan: _Plan, device: torch.device) -> Iterator[_Call]:
    """One call for all rows with the same function and parameter shapes."""
    arms = plan.arms
    groups: dict[Any, list[int]] = {}
    for row, arm in enumerate(arms):
        if arm in works:
            parameters = works[arm].parameters
            shapes = tuple(sorted((name, tuple(p.shape)) for name, p in parameters.items()))
            groups.setdefault((works[arm].function, shapes), []).append(row)
    for (function, _), rows in groups.items():
        theirs = tuple(arms[row] for row in rows)
        index: slice | Tensor | None = None
        if rows != list(range(rows[0], rows[-1] + 1)):
            index = torch.tensor(rows, device=device)
        elif len(rows) < len(arms):
            index = slice(rows[0], rows[-1] + 1)
        places = (works[arm].check for arm in theirs)
        yield _Call(
            function,
            Rows(theirs, index, tuple(place for place in places if place is not None)),
            _stacked([works[arm].parameters for arm in theirs], plan, device),
        )


def _stacked(
    parameters: Sequence[Mapping[str, Tensor]], plan: _Plan, device: torch.device
) -> dict[str, Tensor]:
    """Each parameter with a leading axis of rows, float32; not copied where all rows share it."""
    out = {}
    for name in parameters[0]:
        column = [p[name] for p in parameters]
        key = (device, *map(id, column))
        if key not in plan.stacks:
            once = {id(p): p.to(device=device, dtype=torch.float32) for p in column}
            if len(once) == 1:
                one = once[id(column[0])]
                plan.stacks[key] = one.expand(len(column), *one.shape)
            else:
                plan.stacks[key] = torch.stack([once[id(p)] for p in column])
        out[name] = plan.stacks[key]
    return out


def _name(function: Function) -> str:
    return getattr(function, "__qualname__", repr(function))
