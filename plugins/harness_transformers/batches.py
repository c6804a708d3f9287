"""Padded batches, and batches that shrink until they fit the memory."""

from __future__ import annotations

import gc
import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

import torch
from jaxtyping import Int
from torch import Tensor, nn

from harness.contract import Tokens
from harness.errors import MachineError, ModelError

T = TypeVar("T")


WIDE = 64
"""What is padded to so many tokens, or to some times as many, comes out the same however many:
attention cuts a prompt into blocks of 64 tokens at most, and products work on 32 rows at once."""
WORTH = 2048
"""Positions of padding that one more forward must save on a CPU."""


def padded(
    tokens: Sequence[Tokens], pad: int, device: torch.device, *, left: bool, width: int = 0
) -> tuple[Int[Tensor, "row pos"], Int[Tensor, "row pos"]]:
    """Token ids, and 1 where they are no padding; as wide as the longest, or as `width`."""
    width = max(width, *(len(t.ids) for t in tokens))
    ids = torch.full((len(tokens), width), pad)
    mask = torch.zeros_like(ids)
    for row, t in enumerate(tokens):
        real = slice(width - len(t.ids), None) if left else slice(len(t.ids))
        ids[row, real] = torch.tensor(t.ids)
        mask[row, real] = 1
    return ids.to(device), mask.to(device)


def placed(whole: Tensor | None, rows: Sequence[int], part: Tensor, count: int) -> Tensor:
    """A batch of so many rows with a part of them in their places; the first part makes it, and is
    the widest. The rest of a row is 0."""
    if whole is None:
        if list(rows) == list(range(count)):
            return part
        whole = part.new_zeros(count, *part.shape[1:])
    whole[torch.tensor(rows, device=part.device), : part.shape[1]] = part
    return whole


def hangs_on_width(hf: nn.Module) -> bool:
    """Whether what a model says of a short row hangs on the longest one beside it: some kinds of
    rotary positions turn by other angles in a longer forward (`longrope`, `dynamic`)."""
    kinds = [str(getattr(module, "rope_type", "")) for module in hf.modules()]
    return any("longrope" in kind or "dynamic" in kind for kind in kinds)


def by_width(lengths: Sequence[int], device: torch.device) -> dict[int, list[int]]:
    """Which rows of a batch are read together, by the width to which they are padded on the right.

    All together where a forward takes as long for few rows as for many (accelerators), and where
    little padding would be saved.
    """
    widest = max(lengths)
    if device.type != "cpu":
        return {widest: list(range(len(lengths)))}
    widths = [min(math.ceil(length / WIDE) * WIDE, widest) for length in lengths]
    # For the narrowest rows up to each width: the fewest positions, a forward counted as some, and
    # the widths of the groups that need no more.
    rows_of = Counter(widths)
    best: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    up_to = sorted(rows_of)
    for end, width in enumerate(up_to, 1):
        rows = list(accumulate((rows_of[one] for one in reversed(up_to[:end])), initial=0))
        best.append(
            min(
                (best[start][0] + width * rows[end - start] + WORTH, (*best[start][1], width))
                for start in range(end)
            )
        )
    groups: dict[int, list[int]] = {width: [] for width in best[-1][1]}
    for row, width in enumerate(widths):
        groups[min(one for one in groups if one >= width)].append(row)
    return groups


class Batches:
    """Cuts work into batches that fit, and remembers for each kind of work what did not."""

    def __init__(self, name: str, rest: Callable[[], None] = lambda: None) -> None:
        self.name = name
        self._rest = rest
        """Gives back what is kept from batch to batch: called where the memory did not suffice."""
        self._cells: dict[str, int] = {}

    def run(
        self,
        kind: str,
        tokens: Sequence[Tokens],
        work: Callable[[Sequence[Tokens]], T],
        width: int = 0,
    ) -> list[T]:
        """`work` on consecutive parts of `tokens`; all at once where that has fitted so far.

        `width`: to how many positions each part is padded, where that is more than it is long.
        """
        done: list[T] = []
        at = 0
        while at < len(tokens):
            part = self._part(kind, tokens[at:], width)
            if (result := _attempt(work, part)) is not None:
                done.append(result)
                at += len(part)
                continue
            self._rest()
            if len(part) == 1:
                own = len(part[0].ids)
                wide = f", as wide as its batch of {width}" if width > own else ""
                raise MachineError(
                    f"{self.name}: out of memory with a single prompt of {own} tokens"
                    f" ({part[0].example}){wide}. Use shorter prompts, a smaller dtype or another"
                    " device; a rerun continues."
                )
            self._cells[kind] = _cells(part[: (len(part) + 1) // 2], width)
        return done

    def _part(self, kind: str, tokens: Sequence[Tokens], width: int) -> Sequence[Tokens]:
        most, rows = self._cells.get(kind, math.inf), len(tokens)
        while rows > 1 and _cells(tokens[:rows], width) > most:
            rows = (rows + 1) // 2
        return tokens[:rows]


def check_ids(tokens: Sequence[Tokens], rows: int, arms: int | None, name: str) -> None:
    """Refuses ids that the embedding does not have, empty prompts and arms that do not exist."""
    for t in tokens:
        if not t.ids:
            raise ModelError(f"{name}: example {t.example}: a prompt without tokens.")
        if max(t.ids) >= rows or min(t.ids) < 0:
            raise ModelError(
                f"{name}: example {t.example}: token id {max(t.ids)}, but the embedding has"
                f" {rows} rows. The tokenizer is not this model's."
            )
        if arms is not None and not 0 <= t.arm < arms:
            raise ModelError(f"{name}: example {t.example}: arm {t.arm}. Allowed: 0 to {arms - 1}.")


def _cells(tokens: Sequence[Tokens], width: int) -> int:
    return len(tokens) * max(width, *(len(t.ids) for t in tokens))


def _attempt(work: Callable[[Sequence[Tokens]], T], part: Sequence[Tokens]) -> T | None:
    """The result, or None where the memory did not suffice; what the attempt held is then freed."""
    try:
        return work(part)
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
    # Outside the handler: the error's traceback holds the activations.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that the memory did not suffice."""
    words = ("not enough memory", "DefaultCPUAllocator", "out of memory")
    return isinstance(error, torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(word in str(error) for word in words)
    )
