"""Clips completions and prompts to what the HarmBench classifier reads."""

from __future__ import annotations

from dataclasses import dataclass

from harness_evaluators.harmbench.tokenizer import Tokenizer

_PROBE = "a"


@dataclass(frozen=True)
class Prompt:
    """One question as the classifier reads it."""

    ids: tuple[int, ...]
    text: str
    clipped: bool
    """Whether the completion in it was clipped."""
    cut: bool
    """Whether `ids` lack the start of `text`."""


class Clipper:
    """Cuts texts to a number of tokens. The special tokens around a text stay, as in truncation."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        full, bare = tokenizer.encode(_PROBE), tokenizer.encode(_PROBE, special=False)
        places = range(len(full) - len(bare) + 1)
        start = next((i for i in places if full[i : i + len(bare)] == bare), 0)
        self._before = start
        """How many special tokens the tokenizer puts before a text."""
        self._after = len(full) - len(bare) - start

    def completion(self, text: str, most: int) -> tuple[str, bool]:
        """The completion's first `most` tokens as text, and whether it had more.

        As HarmBench's `evaluate_completions.py`: `decode(encode(text, max_length=most))`, which
        counts the start token, and for every completion, so special tokens spelt out in it go.
        """
        before, ids, after = self._parts(text)
        room = max(0, most - len(before) - len(after))
        return self._tokenizer.decode([*before, *ids[:room], *after]), len(ids) > room

    def prompt(self, text: str, most: int | None) -> tuple[tuple[int, ...], bool]:
        """The prompt's last `most` tokens (all of them for None), and whether it had more."""
        before, ids, after = self._parts(text)
        room = len(ids) if most is None else max(0, most - len(before) - len(after))
        return (*before, *ids[max(0, len(ids) - room) :], *after), len(ids) > room

    def _parts(self, text: str) -> tuple[list[int], list[int], list[int]]:
        """The special tokens before a text, its own tokens, and the special tokens behind it."""
        ids = self._tokenizer.encode(text)
        end = len(ids) - self._after
        return ids[: self._before], ids[self._before : end], ids[end:]
