"""Padded batches, and batches that shrink until they fit the memory."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from harness.contract import Tokens
from harness.errors import MachineError, ModelError

T = TypeVar("T")


def padded(
    tokens: Sequence[Tokens], pad: int, device: torch.device, *, left: bool
) -> tuple[Int[Tensor, "row pos"], Int[Tensor, "row pos"]]:
    """Token ids, and 1 where they are no padding."""
    rows = [torch.tensor(t.ids) for t in tokens]
    side = "left" if left else "right"
    ids = pad_sequence(rows, batch_first=True, padding_value=pad, padding_side=side)
    mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True, padding_side=side)
    return ids.to(device), mask.to(device)


class Batches:
    """Cuts work into batches that fit, and remembers for each kind of work what did not."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._cells: dict[str, int] = {}

    def run(
        self, kind: str, tokens: Sequence[Tokens], work: Callable[[Sequence[Tokens]], T]
    ) -> list[T]:
        """`work` on consecutive parts of `tokens`; all at once where that has fitted so far."""
        done: list[T] = []
        at = 0
        while at < len(tokens):
            part = self._part(kind, tokens[at:])
            if (result := _attempt(work, part)) is not None:
                done.append(result)
                at += len(part)
            elif len(part) == 1:
                raise MachineError(
                    f"{self.name}: out of memory with a single prompt of {len(part[0].ids)} tokens"
                    f" ({part[0].example}). Use shorter prompts, a smaller dtype or another device;"
                    " a rerun continues."
                )
            else:
                self._cells[kind] = _cells(part[: (len(part) + 1) // 2])
        return done

    def _part(self, kind: str, tokens: Sequence[Tokens]) -> Sequence[Tokens]:
        most, rows = self._cells.get(kind, math.inf), len(tokens)
        while rows > 1 and _cells(tokens[:rows]) > most:
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


def _cells(tokens: Sequence[Tokens]) -> int:
    return len(tokens) * max(len(t.ids) for t in tokens)


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
