"""A chat template that was ended, because it took too long or made too much."""

from __future__ import annotations


class TooMuch(Exception):
    """A template was ended because it took too long, or made too much."""


def too_much(name: str, error: TooMuch) -> str:
    """The message for a model whose template was ended."""
    return (
        f"{name}: its tokenizer's chat template {error}, and was ended. Allowed: templates that "
        "write a conversation, in a moment. Read it before you trust it; give another with "
        'tokenizer = "…", or a chat_template.jinja beside the tokenizer.'
    )
