"""Finds a view that writes one prompt for rows that ask different things.

Such a template leaves out what the rows say, so nothing that is measured is about them.
"""

from __future__ import annotations

from harness.contract import Example, Tokens
from harness.errors import InvalidRun

_LONGEST = 100
"""Characters of the prompt that a message quotes."""


class Sameness:
    """Is shown each row of some data with its prompt, and tells whether the prompts ever differ."""

    def __init__(self, view: str, data: str) -> None:
        self._where = f"views.{view}", f"data.{data}"
        self._first: tuple[object, Tokens] | None = None
        self._rows = 0
        self._others = False
        self._differ = False

    def see(self, example: Example, prompt: Tokens) -> None:
        """Takes note of one row and what the view makes of it."""
        self._rows += 1
        if self._differ:
            return
        asks = (example.text, example.messages)
        if self._first is None:
            self._first = (asks, prompt)
        self._others |= asks != self._first[0]
        self._differ = prompt.ids != self._first[1].ids

    def check(self) -> None:
        """Raises InvalidRun where rows were different and all of their prompts are the same."""
        if self._first is None or self._differ or not self._others:
            return
        view, data = self._where
        text = self._first[1].text
        shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        raise InvalidRun(
            f"{view}.prompt: all {self._rows} rows of {data} become one prompt, {shown!r}, though "
            "their texts differ. Allowed: a prompt that holds what its row asks. Name the column "
            "in the template, such as {text}; where max_tokens cuts the rows off, raise it; where "
            "a chat template leaves out the user's turn, give another."
        )
