"""Runs the arms of `Model.edited`: one hook for each place, all arms of a batch in one call.

Which rows go together depends only on the arms of the batch, so it is worked out once (`Plan`) and
a step of decoding only looks it up.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from harness.contract import Arm, Receipt
from harness.errors import ModelError, PluginError
from harness_transformers.blocks import Layout
from harness_transformers.fanning import Depth
from harness_transformers.places import Place, hooked
from harness_transformers.plans import Function, Plan, Stand, Work, Works
from harness_transformers.receipts import Ledger

_PLANS = 32
"""Batches of different arms whose plans are remembered; a plan holds stacked parameters."""


class Session:
    """One `Model.edited` block."""

    def __init__(self, arms: Sequence[Arm], layout: Layout, name: str) -> None:
        self._arms = tuple(arms)
        self._name = name
        self._layout = layout
        self._edits: Works = defaultdict(lambda: defaultdict(list))
        self._checks: Works = defaultdict(lambda: defaultdict(list))
        for number, arm in enumerate(self._arms):
            for edit in arm.edits:
                work = Work(edit.apply, edit.parameters)
                self._edits[layout.place(edit.site)][number].append(work)
            for index, check in enumerate(arm.checks):
                work = Work(check.measure, check.parameters, index)
                self._checks[layout.place(check.site)][number].append(work)
        self._ledger = Ledger(self._arms)
        self._plans: dict[tuple[Stand, ...], Plan] = {}
        self._plan: Plan | None = None
        """That of a batch of ours; None where someone else runs the model."""
        self._mask: Tensor | None = None
        self._first: dict[int, int] = {}
        self._with: dict[tuple[object, ...], int] = {}
        self.live: Tensor | None = None
        """While we generate: Bool[Tensor, " row"], the rows that have not ended yet."""
        self.times: Tensor | None = None
        """Of a forward that others share: Int[Tensor, "row pos"], for how many tokens each is."""
        self.prompt_of: Tensor | None = None
        """Of a forward whose rows are multiplied: Int[Tensor, " row"], each one's row before."""

    @property
    def arms(self) -> int:
        """How many arms there are."""
        return len(self._arms)

    def same_as(self, arm: int) -> int:
        """The first arm asked about that does the same, to the bit."""
        if arm not in self._first:
            one, seen = self._arms[arm], _Content()
            edits = tuple((e.site, e.apply, seen(e.parameters)) for e in one.edits)
            checks = tuple((c.site, c.measure, seen(c.parameters)) for c in one.checks)
            self._first[arm] = self._with.setdefault((edits, checks), arm)
        return self._first[arm]

    def depth(self, arms: Collection[int]) -> Depth | None:
        """The first place where some arms do anything; None where they do nothing."""
        found = [
            self._layout.depth(place)
            for works in (self._edits, self._checks)
            for place, by_arm in works.items()
            if not by_arm.keys().isdisjoint(arms)
        ]
        return min(found, default=None)

    @property
    def blocks(self) -> list[nn.Module]:
        """The model's blocks."""
        return self._layout.modules

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
    def batch(self, arms: Sequence[int], mask: Tensor | None) -> Iterator[None]:
        """A batch of ours: the arm of each row, and where it is not padding.

        Without a `mask`, each forward's own attention mask is used. Where the batch fails, its
        notes are dropped: it may be repeated in smaller batches.
        """
        self._ledger.commit()  # what someone else's forwards noted before
        self._mask, self._plan = mask, self._plan_of(tuple((arm,) for arm in arms))
        try:
            yield
        except BaseException:
            self._ledger.forget()
            raise
        finally:
            self._mask = self._plan = self.live = self.times = self.prompt_of = None
        self._ledger.commit()

    @property
    def stands(self) -> tuple[Stand, ...]:
        """Inside a batch: the arms that its rows stand for."""
        assert self._plan is not None
        return self._plan.stands

    def stand(self, stands: tuple[Stand, ...]) -> None:
        """Inside a batch: what runs from here on has these rows."""
        self._mask, self._plan = None, self._plan_of(stands)

    def keep(self, rows: Sequence[int], index: Tensor) -> None:
        """Inside a batch: of its rows only these go on."""
        assert self._plan is not None
        self._mask, self._plan = None, Plan(tuple(self._plan.stands[row] for row in rows))
        if self.live is not None:
            self.live = self.live[index]

    def forget(self) -> None:
        """Inside a batch: what it did so far was a trial."""
        self._ledger.forget()

    def _plan_of(self, stands: tuple[Stand, ...]) -> Plan:
        if stands not in self._plans:
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[stands] = Plan(stands)
        return self._plans[stands]

    # ── Around a forward of the whole model ──────────────────────────────────────────────────────

    def _enter(self, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Which rows and which tokens are real in the forward that begins."""
        attention = kwargs.get("attention_mask")
        if self._plan is None and len(self._arms) > 1:
            raise ModelError(self._several())
        ids = args[0] if args else kwargs.get("input_ids", kwargs.get("inputs_embeds"))
        if not isinstance(ids, Tensor):
            return
        if self.times is not None:
            self._mask = self.times
        elif self.live is not None and ids.shape[1] == 1:
            # Also where no prompt is padded and `generate` hands on no mask at all.
            self._mask = self.live[:, None]
        elif isinstance(attention, Tensor) and attention.dim() == 2:
            mask = attention[:, -ids.shape[1] :].bool()
            self._mask = mask if self.prompt_of is None else mask[self.prompt_of.to(mask.device)]

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
            plan = self._plan_of(((0,),) * len(x))
        checks, edits = plan.at(place, x.device, self._checks, self._edits)
        if (checks or edits) and len(plan.stands) != len(x):
            raise ModelError(
                f"{self._name}: site {place.path}: {len(x)} rows in a batch of"
                f" {len(plan.stands)}. Allowed: places with one row for each prompt."
            )
        for call in checks:
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
        for call in edits:
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


class _Content:
    """The numbers of parameters, to the bit; of each tensor they are read once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, ...]] = {}

    def __call__(self, parameters: Mapping[str, Tensor]) -> tuple[object, ...]:
        return tuple((name, self._of(tensor)) for name, tensor in sorted(parameters.items()))

    def _of(self, tensor: Tensor) -> tuple[object, ...]:
        if id(tensor) not in self._known:
            flat = tensor.detach().cpu().reshape(-1).view(torch.uint8)
            told = hashlib.sha256(flat.numpy().tobytes()).hexdigest()
            self._known[id(tensor)] = (str(tensor.dtype), tuple(tensor.shape), told)
        return self._known[id(tensor)]


def _name(function: Function) -> str:
    return getattr(function, "__qualname__", repr(function))
