"""What was asked in an example, for a judge that reads question and answer."""

from __future__ import annotations

from harness.contract import Answer
from harness.errors import DataError, listed, suggestion


def asked_text(answer: Answer, column: str | None, who: str) -> str:
    """The example's text, or one of its columns; of a conversation, what the user said last.

    Raises DataError, which begins with `who`, for an example that asks nothing.
    """
    if column is not None:
        return column_text(answer, column, who)
    if answer.example.request:
        return answer.example.request
    raise DataError(
        f"{who}: {answer.example.name}: nothing is asked in it: it has no text, or it is a "
        "conversation without a turn of the user. Set behavior_column to one of its columns: "
        f"{listed(answer.example.fields)}."
    )


def column_text(answer: Answer, name: str, who: str) -> str:
    """A column's text; empty where the row has nothing there."""
    fields = answer.example.fields
    if name not in fields:
        raise DataError(
            f"{who}: example {answer.example.id}: column {name!r} does not exist. "
            f"Allowed: {listed(fields)}.{suggestion(name, fields)}"
        )
    value = fields[name]
    if value is None or isinstance(value, (str, int, float)):
        return "" if value is None else str(value)
    raise DataError(
        f"{who}: example {answer.example.id}: column {name!r} holds a "
        f"{type(value).__name__}, no text."
    )
