"""The turns of a conversation in a row of data, as chat templates take them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, listed
from harness.task.sharegpt import as_role, is_sharegpt
from harness.text import well_formed

if TYPE_CHECKING:
    from harness.contract import Example

KEYS = (
    "role",
    "content",
    "name",
    "tool_calls",
    "tool_call_id",
    "reasoning_content",
    "reasoning",
    "thinking",
)
"""What chat templates read of a turn; all else in it is a remark of whoever made the data."""


def turns_of(value: object, where: str) -> tuple[Mapping[str, Any], ...] | None:
    """The turns of a conversation; None where the value is no list of turns.

    A turn has role and content, or from and value, as in ShareGPT. Content in parts is joined,
    because templates of texts know no parts. What has no value is left out: tables of columns write
    None where a turn has no such key. Raises DataError, which `where` begins, for a turn without
    role or content, and for parts that are no text.
    """
    if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping)):
        return None
    turns = list(value)
    if not turns or not all(isinstance(turn, Mapping) for turn in turns):
        return None
    return tuple(_turn(turn, f"{where}: turn {n}") for n, turn in enumerate(turns, 1))


def text_of(turns: Iterable[Mapping[str, Any]]) -> str:
    """The contents of turns, one after the other; a turn without content is an empty line."""
    return "\n".join(turn.get("content") or "" for turn in turns)


def is_answered(example: Example) -> bool:
    """Whether the row is a conversation that ends with an answer."""
    return bool(example.messages) and example.messages[-1]["role"] == "assistant"


def asked(example: Example) -> Example:
    """The row as a prompt to be answered: a conversation without the answer that it ends with.

    Raises DataError where nothing is left.
    """
    turns = example.messages
    while turns and turns[-1]["role"] == "assistant":
        turns = turns[:-1]
    if len(turns) == len(example.messages):
        return example
    if not turns:
        raise DataError(
            f"{example.name}: the conversation has answers alone, so nothing is asked. Allowed: a"
            " turn of the user before them. Leave the row out."
        )
    return replace(example, messages=turns, text=text_of(turns))


def clean(value: Any) -> Any:
    """The value with lone surrogates in its texts as U+FFFD, which no tokenizer takes."""
    if isinstance(value, str):
        return value if value.isascii() else well_formed(value)
    if isinstance(value, Mapping):
        return {clean(key): clean(one) for key, one in value.items()}
    return [clean(one) for one in value] if isinstance(value, (list, tuple)) else value


def _turn(turn: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    if is_sharegpt(turn):
        turn = as_role(turn, where)
    if "role" not in turn or not ("content" in turn or turn.get("tool_calls")):
        raise DataError(
            f"{where}: a turn must have role and content, not {listed(turn)}. Allowed: such as "
            '{"role": "user", "content": "Hi"}, or from and value. Give the row such turns, or '
            "leave it out."
        )
    if not isinstance(turn["role"], str) or not turn["role"].strip():
        raise DataError(
            f"{where}: its role is a {type(turn['role']).__name__}, or blank. "
            "Allowed: text, such as user. Mend the row."
        )
    kept = {key: turn[key] for key in KEYS if turn.get(key) is not None}
    content = turn.get("content")
    if content is None:
        if not turn.get("tool_calls"):
            raise DataError(
                f"{where} ({turn['role']}): its content is null. Allowed: text, or null beside "
                'tool_calls. Write "" for a turn that says nothing, or leave the row out.'
            )
        # In its place: templates ask whether content is none.
        return {"role": turn["role"], "content": None, **kept}
    return {**kept, "content": _text(content, f"{where} ({turn['role']})")}


def _text(content: object, where: str) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, Sequence) or isinstance(content, bytes):
        raise DataError(
            f"{where}: its content is a {type(content).__name__}. Allowed: text, or a list of "
            "parts whose type is text. Mend the row, or leave it out."
        )
    texts = []
    for number, part in enumerate(content, 1):
        text = part.get("text") if isinstance(part, Mapping) else part
        kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
        if kind != "text" or not isinstance(text, str):
            what = kind if isinstance(kind, str) and kind != "text" else type(text).__name__
            raise DataError(
                f"{where}: part {number} of its content is no text but {what!r}. Allowed: parts "
                'such as {"type": "text", "text": "…"}. Leave the row out, or the part.'
            )
        texts.append(text)
    return "".join(texts)
