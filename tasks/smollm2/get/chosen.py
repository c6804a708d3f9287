"""Which prompts serve for what: harmful ones in two halves, harmless ones by a list of hashes.

The list makes every source give the same prompts: the whole of Alpaca's instructions, and a draw of
them that a local copy holds.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

SEED = 0
LIST = Path(__file__).parent / "harmless.json"


def key(prompt: str) -> str:
    """Twelve hexadecimal digits that stand for a prompt."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:12]


def halves(prompts: Iterable[str], seed: int = SEED) -> tuple[list[str], list[str]]:
    """Two halves of the different prompts, drawn by `seed`: to train a LoRA, to find directions."""
    drawn = sorted(set(prompts))
    random.Random(seed).shuffle(drawn)
    return drawn[: len(drawn) // 2], drawn[len(drawn) // 2 :]


def listed(prompts: Sequence[str], keys: Sequence[str]) -> list[str]:
    """The prompts that the keys stand for, in the keys' order.

    Raises:
        KeyError: a prompt of the list is not among them.
    """
    found = {key(prompt): prompt for prompt in prompts}
    return [found[k] for k in keys]


def lists() -> dict[str, list[str]]:
    """The keys of the harmless prompts, by what they serve for."""
    loaded: dict[str, list[str]] = json.loads(LIST.read_text())
    return loaded
