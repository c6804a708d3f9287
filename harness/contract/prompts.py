"""Prompts as text, the same for every backend: plain ones in pieces, conversations as turns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from string import Formatter
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, listed, suggestion

if TYPE_CHECKING:
    from harness.contract.values import Example, Prompt

BETWEEN = "\n\n"
"""What stands between a demonstration and what follows it, in the plain style."""

OfData = Callable[[str], str]
"""What is done to each text that comes from the data, before it stands in a prompt."""


def plain_prompt(
    example: Example, prompt: Prompt, of_data: OfData = str
) -> tuple[list[str], list[str]]:
    """The pieces of a plain prompt: those before the query, and the query, which is the template
    filled with the row itself."""
    before = [f"{prompt.system}{BETWEEN}"] if prompt.system else []
    for demonstration in prompt.demonstrations:
        before += fill(prompt.template, demonstration, of_data)
        before += [of_data(column(demonstration, prompt.answer)), BETWEEN]
    return before, fill(prompt.template, example, of_data)


def fill(template: str, example: Example, of_data: OfData = str) -> list[str]:
    """The template's literal texts and the example's columns between them, in order."""
    pieces = []
    for literal, name in layout(template):
        if literal:
            pieces.append(literal)
        if name is not None:
            pieces.append(of_data(column(example, name)))
    return pieces


def layout(template: str) -> list[tuple[str, str | None]]:
    """The literal texts of a template, each with the name of the column that follows it.

    Raises DataError for a template that is none.
    """
    try:
        parts = list(Formatter().parse(template))
    except ValueError as error:
        raise DataError(
            f"template {template!r}: {error}. Allowed: {{column}}; a brace is written twice."
        ) from None
    for _, name, form, conversion in parts:
        if name is not None and (form or conversion):
            raise DataError(f"template {template!r}: {name}: Allowed: {{column}} alone.")
    return [(literal, name) for literal, name, _, _ in parts]


def column(example: Example, name: str) -> str:
    """The text under a placeholder's name.

    `{text}` is always the example's text; `{instruction}` is, where no column has that name. A
    list of texts becomes lettered lines.
    """
    if name == "text" or (name == "instruction" and name not in example.fields):
        if example.messages and not example.text:
            raise DataError(
                f"{example.name}: it is a conversation and has no single text."
                ' Allowed: style = "chat", or a template that names one of its columns:'
                f" {listed(example.fields)}."
            )
        if any(turn.get("tool_calls") for turn in example.messages):
            raise DataError(
                f"{example.name}: its conversation calls tools, which plain text leaves out."
                ' Allowed: style = "chat". Choose it, or leave the row out.'
            )
        return example.text
    value = example.fields.get(name)
    if isinstance(value, (str, int, float)):
        return str(value)
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return lettered(value)
    if value is not None:
        raise DataError(f"{example.name}: column {name!r} holds a {type(value).__name__}, no text.")
    names = {"text", *example.fields}
    empty = "is empty" if name in example.fields else "does not exist"
    raise DataError(
        f"{example.name}: column {name!r} {empty}. Allowed: {listed(names)}."
        f"{suggestion(name, names - {name})}"
    )


def lettered(options: Sequence[str]) -> str:
    """Choices of a question as lines: `A. one`, `B. other`, …, as benchmarks write them."""
    return "\n".join(f"{chr(ord('A') + i)}. {option}" for i, option in enumerate(options))


# ── Conversations ────────────────────────────────────────────────────────────────────────────────


def conversation(example: Example, prompt: Prompt, of_data: OfData = str) -> list[dict[str, Any]]:
    """The turns of a chat prompt: system, demonstrations with their answers, the row's own."""
    turns: list[dict[str, Any]] = []
    if prompt.system:
        turns.append({"role": "system", "content": prompt.system})
    for demonstration in prompt.demonstrations:
        turns += _turns(demonstration, prompt, of_data)
        if not demonstration.messages:
            answer = of_data(column(demonstration, prompt.answer))
            turns.append({"role": "assistant", "content": answer})
    return turns + _turns(example, prompt, of_data)


def _turns(example: Example, prompt: Prompt, of_data: OfData = str) -> list[dict[str, Any]]:
    if not example.messages:
        content = "".join(fill(prompt.template, example, of_data))
        return [{"role": "user", "content": content}]
    if prompt.system and example.messages[0].get("role") == "system":
        raise DataError(
            f"{example.name}: the conversation has a system turn, and so has the prompt."
            " Allowed: one of them."
        )
    # Without what is null, as transformers does, but not all of its versions: a template would
    # write the word None.
    return [
        {key: _each_text(value, of_data) for key, value in turn.items() if value is not None}
        for turn in example.messages
    ]


def given_beside(example: Example, prompt: Prompt, of_data: OfData = str) -> dict[str, Any]:
    """What the chat template is given beside the turns: the row's `tools` and `documents`, where
    the prompt names their columns and the row has some.

    A tool is a table with a name, or has one under `function`; bare ones are put there, where
    templates look. A document is a table, or its text. Null values are left out, as tables of
    columns write them where a tool has no such key. DataError for a column that is not there or
    holds something else.
    """
    given: dict[str, Any] = {}
    if prompt.tools is not None:
        items = _items(example, prompt.tools, "tools")
        given["tools"] = [_tool(one, example, prompt.tools) for one in items]
    if prompt.documents is not None:
        items = _items(example, prompt.documents, "documents")
        given["documents"] = [_document(one, example, prompt.documents) for one in items]
    return {key: _every_text(value, of_data) for key, value in given.items() if value}


def _items(example: Example, name: str, what: str) -> list[Any]:
    if name not in example.fields:
        names = list(example.fields)
        raise DataError(
            f"{example.name}: there is no column {name!r}, which `{what}` names. Allowed:"
            f" {listed(names)}.{suggestion(name, names)}"
        )
    value = told = example.fields[name]
    if isinstance(value, str):
        try:
            told = json.loads(value) if value.strip() else []
        except (ValueError, RecursionError):
            raise DataError(
                f"{example.name}: column {name!r}, which `{what}` names, holds text that is no"
                f" JSON: {value!r:.60}. Allowed: a list, or JSON of one. Mend the row, or leave it"
                " out."
            ) from None
    told = [told] if isinstance(told, Mapping) else ([] if told is None else told)
    if not isinstance(told, (list, tuple)):
        raise DataError(
            f"{example.name}: column {name!r}, which `{what}` names, holds a"
            f" {type(told).__name__}. Allowed: a list, or JSON of one. Mend the row, or leave it"
            " out."
        )
    return list(told)


def _tool(value: Any, example: Example, name: str) -> dict[str, Any]:
    inner = value.get("function", value) if isinstance(value, Mapping) else None
    called = inner.get("name") if isinstance(inner, Mapping) else None
    if not isinstance(called, str) or not called.strip():
        raise DataError(
            f"{example.name}: column {name!r}: a tool is {value!r:.60}. Allowed: tables with a"
            ' name, such as { type = "function", function = { name = "weather", … } }. Mend the'
            " row, or leave it out."
        )
    whole = value if "function" in value else {"type": "function", "function": value}
    return dict(_without_null(whole))


def _document(value: Any, example: Example, name: str) -> dict[str, Any]:
    if isinstance(value, str):
        return {"text": value}
    if not isinstance(value, Mapping) or not any(isinstance(one, str) for one in value.values()):
        raise DataError(
            f"{example.name}: column {name!r}: a document is {value!r:.60}. Allowed: text, or"
            ' tables such as { title = "…", text = "…" }. Mend the row, or leave it out.'
        )
    return dict(_without_null(value))


def _without_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_null(one) for key, one in value.items() if one is not None}
    return [_without_null(one) for one in value] if isinstance(value, (list, tuple)) else value


def _every_text(value: Any, of_data: OfData) -> Any:
    """A value with `of_data` done to each text in it, names of keys included: data write them."""
    if isinstance(value, str):
        return of_data(value)
    if isinstance(value, Mapping):
        return {of_data(str(key)): _every_text(one, of_data) for key, one in value.items()}
    return [_every_text(one, of_data) for one in value] if isinstance(value, list) else value


def _each_text(value: Any, of_data: OfData = str) -> Any:
    """A value of a turn, with `of_data` done to each text in it, its role included."""
    if isinstance(value, str):
        return of_data(value)
    if isinstance(value, Mapping):
        return {key: _each_text(one, of_data) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_each_text(one, of_data) for one in value]
    return value
