"""Texts as bytes, and prompts as texts."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import Example, Prompt, Tokens
from harness.errors import DataError, ModelError

PAD, BOS, EOS = 256, 257, 258
VOCABULARY = 259


def encode(text: str, *, special: bool = True) -> list[int]:
    """The bytes of a text, with or without the BOS before them."""
    return [BOS] * special + list(text.encode("utf-8", "replace"))


def decode(ids: Sequence[int]) -> str:
    """The text of bytes; special ones are left out, wrong ones become U+FFFD."""
    return bytes(one for one in ids if one < PAD).decode("utf-8", "replace")


def render(example: Example, prompt: Prompt) -> Tokens:
    """A plain prompt; with demonstrations before it, the span is the query alone."""
    if prompt.style != "plain":
        raise ModelError('this model has no chat template. Write prompt = { style = "plain" }.')
    before = "".join(
        f"{_filled(one, prompt)}{one.fields[prompt.answer]}" for one in prompt.demonstrations
    )
    text = _filled(example, prompt)
    ids = encode(before + text)[: prompt.max_tokens]
    start = len(encode(before)) if before else 0
    return Tokens(example.id, tuple(ids), (min(start, len(ids)), len(ids)), before + text)


def _filled(example: Example, prompt: Prompt) -> str:
    try:
        return prompt.template.format_map({**example.fields, "text": example.text})
    except (KeyError, ValueError) as error:
        raise DataError(
            f"template {prompt.template!r}: {error} is no column of example {example.id}. "
            f"Allowed: {', '.join(['text', *example.fields])}."
        ) from None
