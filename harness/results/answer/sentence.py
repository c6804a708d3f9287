"""A sentence that a template makes out of records: flip the records, and the sentence flips."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from harness.contract import Record, Results


@dataclass(frozen=True)
class Sentence:
    """One plain sentence with its numbers, and the records that it was made from.

    Text from outside is as it was found: whoever shows the sentence makes it harmless.
    """

    text: str
    weight: float = 0.0
    """Sentences of more weight stand first; those of one template have weights between 0 and 1."""
    evidence: tuple[Record, ...] = ()


Template = Callable[[Results], Iterator[Sentence]]
"""Finds the records that it has something to say of; says nothing where there are none."""
