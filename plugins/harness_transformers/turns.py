"""Whether a chat template has written all turns that it was given: many leave out what they do not
know, without a word."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import DataError


def check_rendered(text: str, turns: Sequence[Mapping[str, Any]], where: str) -> None:
    """Raises DataError where a rendering lacks the content or the tool calls of a turn.

    `where` begins the error.
    Templates may trim content, move it, and write it as JSON; of an answer they may leave out the
    thought before `</think>`, and the remark beside a tool call.
    """
    contents = [_content(turn) for turn in turns]
    for number, (turn, content) in enumerate(zip(turns, contents, strict=True), 1):
        for name in _called(turn):
            if name not in text:
                raise DataError(
                    f"{where}: the chat template leaves out the call of tool {name!r} in turn "
                    f"{number} ({turn['role']}). Allowed: turns that it writes. Give a template "
                    "that knows tool calls, or leave the row out."
                )
        if content and not turn.get("tool_calls") and _lacks(text, content, contents):
            roles = ", ".join(dict.fromkeys(str(one["role"]) for one in turns))
            raise DataError(
                f"{where}: the chat template leaves out turn {number} ({turn['role']}): "
                f"{_shown(content)}. Allowed: turns that it writes; most know the roles system, "
                f"user and assistant, and this row has {roles}. Rename its roles, or give another "
                "template."
            )


def check_given(text: str, given: Mapping[str, Any], where: str) -> None:
    """Raises DataError where a rendering lacks a tool or a document that the template was given;
    `where` begins the error."""
    for tool in given.get("tools", ()):
        name = str(tool["function"]["name"])
        if name not in text:
            raise DataError(
                f"{where}: the chat template leaves out the tool {name!r}. Allowed: tools that it"
                " writes. Give a template that lists all tools, or leave the row out."
            )
    bare = "".join(text.split())
    for number, document in enumerate(given.get("documents", ()), 1):
        texts = [one for one in document.values() if isinstance(one, str) and one.strip()]
        longest = max(texts, key=len, default="")
        forms = ("".join(one.split()) for one in (longest, *_quoted(longest)))
        if not any(form in bare for form in forms):
            raise DataError(
                f"{where}: the chat template leaves out document {number}: {_shown(longest)}."
                " Allowed: documents that it writes; most read their title and text. Rename its"
                " keys, or leave the row out."
            )


def _content(turn: Mapping[str, Any]) -> str:
    content = str(turn.get("content") or "")
    if turn["role"] == "assistant":
        content = content.rpartition("</think>")[2]
    return content.strip()


def _lacks(text: str, content: str, contents: Sequence[str]) -> bool:
    """Whether the text has this content less often than all turns together."""
    if text.count(content) >= sum(one.count(content) for one in contents):
        return False
    bare = "".join(content.split())
    wanted = sum("".join(one.split()).count(bare) for one in contents)
    if "".join(text.split()).count(bare) >= wanted:
        return False
    return not any(one != content and one in text for one in _quoted(content))


def is_content(text: str, content: str) -> bool:
    """Whether a text is a turn's content, but for blanks, or as JSON writes it."""
    texts = ["".join(one.split()) for one in (content, *_quoted(content))]
    return "".join(text.split()) in texts


def _quoted(content: str) -> list[str]:
    """A content as JSON writes it, without the quotes around it."""
    return [json.dumps(content, ensure_ascii=ascii_)[1:-1] for ascii_ in (False, True)]


def _called(turn: Mapping[str, Any]) -> list[str]:
    """The names of the tools that a turn calls."""
    calls = [call for call in turn.get("tool_calls") or () if isinstance(call, Mapping)]
    called = [call.get("function", call) for call in calls]
    return [str(one["name"]) for one in called if isinstance(one, Mapping) and one.get("name")]


def _shown(content: str) -> str:
    return repr(content if len(content) <= 60 else f"{content[:59]}…")
