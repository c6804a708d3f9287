"""Literal texts of plain templates that end in a blank, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from string import Formatter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.task.spec import PromptSpec, TaskSpec


def lone_blanks(spec: TaskSpec) -> Iterator[str]:
    """Views in whose prompts a blank of the template is a token of its own, in words.

    Where pieces are tokenised one by one, `Question: {question}` gives a blank and then a word
    without one, which models have rarely read: in most vocabularies (Llama 3, Qwen, Gemma) the
    blank belongs to the word behind it.
    """
    for name, view in spec.views.items():
        for literal, last in _literals(view.prompt):
            bare = literal.rstrip(" \t")
            if bare == literal:
                continue
            mend = f"Write {bare!r}" if bare else "Leave it out"
            mend += (
                ": an answer begins with a blank of its own"
                if last
                else ", and let the column begin with the blank"
            )
            yield (
                f"views.{name}.prompt.template: {literal!r} ends in a blank, and pieces are"
                " tokenised one by one, so with most tokenizers (Llama 3, Qwen, Gemma) the blank is"
                f' a token of its own, which models rarely read. {mend}, or set join = "string".'
            )


def _literals(prompt: PromptSpec) -> Iterator[tuple[str, bool]]:
    """The literal texts of a prompt whose pieces are tokenised one by one, and whether each is at
    the template's end."""
    if prompt.style != "plain" or prompt.join != "pieces":
        return
    try:
        parts = list(Formatter().parse(prompt.template))
    except ValueError:
        return  # it is an error of its own once it is filled
    for literal, column, _, _ in parts:
        yield literal, column is None
