"""Greedy completions, and which words are in them."""

from __future__ import annotations

from collections.abc import Sequence

from ground import Ground


def completions(ground: Ground, name: str, prompts: Sequence[str], limit: int = 40) -> list[str]:
    """Greedy completions of prompts as they stand."""
    found: list[str] = []
    for rows in batches([ground.ids(prompt) for prompt in prompts], 50):
        found += ground.organism.generate(name, *ground.organism.pad(rows, left=True), limit)
    return found


def batches(rows: list[list[int]], size: int) -> list[list[list[int]]]:
    """Rows, so many at a time."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def says(word: str, text: str) -> bool:
    """Whether a completion has a word."""
    return word.strip() in text.replace(".", " ").replace(",", " ").replace("!", " ").split()


def share_with(words: Sequence[str], texts: Sequence[str]) -> float:
    """How many completions have one of the words at least."""
    return sum(any(says(word, text) for word in words) for text in texts) / len(texts)
