"""Plain prompts as pieces: a template's literal texts and the columns of a row between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from string import Formatter

from harness.contract import Example, Prompt
from harness.errors import DataError, listed, suggestion

BETWEEN = "\n\n"
"""What stands between a demonstration and what follows it, in the plain style."""

OfData = Callable[[str], str]
"""What is done to each text that comes from the data, before it stands in a prompt."""


def plain(example: Example, prompt: Prompt, of_data: OfData) -> tuple[list[str], list[str]]:
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
