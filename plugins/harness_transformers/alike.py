"""Which rows of a batch are computed: prompts that are equal under equal edits are written once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.contract import Sampling, Tokens
from harness_transformers.edits import Session
from harness_transformers.plans import Stand


@dataclass(frozen=True)
class Distinct:
    """The different rows of a batch."""

    rows: tuple[Tokens, ...]
    """One of each kind, in order."""
    of: tuple[int, ...]
    """For each row of the batch, which of them is its."""
    stands: tuple[Stand, ...]
    """For each of them, the arms of the rows that it stands for."""

    @property
    def prompts(self) -> tuple[tuple[Tokens, ...], tuple[int, ...]]:
        """Their different prompts, whatever is done to them, and which is each row's."""
        number: dict[tuple[int, ...], int] = {}
        of = tuple(number.setdefault(one.ids, len(number)) for one in self.rows)
        first = {n: one for n, one in reversed([*zip(of, self.rows, strict=True)])}
        return tuple(first[n] for n in range(len(number))), of


def distinct(tokens: Sequence[Tokens], sampling: Sampling, session: Session | None) -> Distinct:
    """The different rows of a batch. Where completions are drawn, rows of one prompt have luck of
    their own, by their example."""
    drawn = sampling.temperature > 0
    number: dict[tuple[object, ...], int] = {}
    rows: list[Tokens] = []
    stands: list[list[int]] = []
    of = []
    for one in tokens:
        arm = session.same_as(one.arm) if session is not None else None
        key = (one.ids, arm, one.example if drawn else None)
        if key not in number:
            number[key] = len(rows)
            rows.append(one)
            stands.append([])
        of.append(number[key])
        stands[number[key]].append(one.arm)
    return Distinct(tuple(rows), tuple(of), tuple(map(tuple, stands)))
