"""Turns as ShareGPT writes them, `from` and `value`, in the words of chat templates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from harness.errors import DataError, listed

ROLES: Mapping[str, str] = MappingProxyType(
    {
        "human": "user",
        "user": "user",
        "gpt": "assistant",
        "chatgpt": "assistant",
        "bing": "assistant",
        "bard": "assistant",
        "assistant": "assistant",
        "model": "assistant",
        "system": "system",
        "tool": "tool",
        "observation": "tool",
        "function_response": "tool",
    }
)
"""Who speaks, and the role that it is in a chat template."""
CALLS = ("function_call", "tool_call")
"""Who speaks where the assistant calls tools: the value is the call, or a list of them, as JSON."""


def is_sharegpt(turn: Mapping[str, Any]) -> bool:
    """Whether a turn is written in that way."""
    return "role" not in turn and "from" in turn and "value" in turn


def as_role(turn: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The turn with role and content; all else stays. DataError, which `where` begins, for a
    speaker that is not known, and for a call that is none."""
    who, value = turn["from"], turn["value"]
    rest = {key: one for key, one in turn.items() if key not in ("from", "value")}
    if who in CALLS:
        calls = _calls(value, f"{where} ({who})")
        return {**rest, "role": "assistant", "content": None, "tool_calls": calls}
    if not isinstance(who, str) or who not in ROLES:
        raise DataError(
            f"{where}: it is from {who!r:.60}. Allowed: {listed([*ROLES, *CALLS], 20)}. Rename the"
            " speaker, or leave the row out."
        )
    return {**rest, "role": ROLES[who], "content": value}


def _calls(value: object, where: str) -> list[dict[str, Any]]:
    told = _read(value)
    calls = told if isinstance(told, list) else [told]
    for call in calls:
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
            raise DataError(
                f"{where}: its value is no call of a tool: {value!r:.60}. Allowed: JSON such as"
                ' {"name": "weather", "arguments": {}}, or a list of them. Mend the row, or leave'
                " it out."
            )
    return [
        {
            "type": "function",
            "function": {"name": one["name"], "arguments": _read(one.get("arguments") or {})},
        }
        for one in calls
    ]


def _read(value: object) -> Any:
    """What JSON in a text says; anything else as it is."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value
