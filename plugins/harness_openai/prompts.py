"""Prompts as they are sent: a text, or the turns of a conversation.

The server's tokenizer is not here, so the bytes of what is sent stand in the place of token ids.
Nothing else about a prompt has to be remembered: what is sent is read from them again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import Example, Prompt, Tokens, conversation, plain_prompt
from harness.errors import BadRows, DataError, ModelError
from harness.text import well_formed

ROLES = ("system", "developer", "user", "assistant", "tool")
"""The roles of turns that the protocol knows."""


def written(examples: Sequence[Example], prompt: Prompt, where: str, *, chat: bool) -> list[Tokens]:
    """The prompt of each example, in order.

    ModelError, which `where` begins, for a way of writing that needs the model's tokenizer;
    BadRows with every example of which no prompt can be made.
    """
    for what in _impossible(prompt, chat=chat):
        raise ModelError(f"{where}: {what}")
    found: list[Tokens] = []
    bad: dict[int, str] = {}
    for place, example in enumerate(examples):
        try:
            sent = _sent(example, prompt)
        except DataError as error:
            bad[place] = str(error)
            continue
        ids = tuple(json.dumps(sent, ensure_ascii=False, sort_keys=True).encode())
        asked = _asked(example, prompt) if prompt.query else None
        found.append(Tokens(example.id, ids, (0, len(ids)), in_words(sent), query=asked))
    if bad:
        raise BadRows(bad)
    return found


def sent_of(tokens: Tokens) -> dict[str, Any]:
    """The part of a request that holds the prompt: `prompt`, or `messages`."""
    sent: dict[str, Any] = json.loads(bytes(tokens.ids))
    return sent


def in_words(sent: Mapping[str, Any]) -> str:
    """A prompt for people: its text, or each turn under its role."""
    if "prompt" in sent:
        return str(sent["prompt"])
    return "\n\n".join(
        f"[{turn['role']}]\n{turn.get('content') or ''}" for turn in sent["messages"]
    )


def _impossible(prompt: Prompt, *, chat: bool) -> Iterator[str]:
    """What of a view's prompt only the model's own tokenizer could do."""
    if prompt.style == "chat" and not chat:
        yield 'its task says that it takes no conversations (chat = false). Use style = "plain".'
    if prompt.template_arguments:
        yield (
            "its chat template is the server's, and takes no template_arguments from here. Leave "
            "them out, or send what the server knows: request = { chat_template_kwargs = { … } }."
        )
    if given := [key for key in ("tools", "documents") if getattr(prompt, key) is not None]:
        yield (
            f"its chat template is the server's, and takes no {' and '.join(given)} of rows from "
            "here. Leave them out."
        )
    if prompt.max_tokens is not None:
        yield "max_tokens cuts prompts by tokens, and its tokenizer is not here. Leave it out."
    if prompt.split_special_tokens:
        yield (
            "split_special_tokens cannot be had: the server reads special tokens in a text as it "
            "likes. Leave it out, and use data that are trusted."
        )
    if prompt.style == "chat" and not prompt.generation_prompt:
        yield "generation_prompt = false is for text that is read; a server answers. Leave it out."


def _sent(example: Example, prompt: Prompt) -> dict[str, Any]:
    if prompt.style == "plain":
        before, query = plain_prompt(example, prompt, well_formed)
        text = "".join([*before, *query])
        if not text:
            raise DataError(f"{example.name}: its prompt is empty. Allowed: some text.")
        return {"prompt": text}
    turns = conversation(example, prompt, well_formed)
    for number, turn in enumerate(turns, 1):
        if turn["role"] not in ROLES:
            raise DataError(
                f"{example.name}: turn {number} has the role {turn['role']!r}. Allowed: "
                f"{', '.join(ROLES)}. Rename it, or leave the row out."
            )
    return {"messages": turns}


def _asked(example: Example, prompt: Prompt) -> str:
    """The text of what is asked, without what stands before it."""
    if prompt.style == "plain":
        return "".join(plain_prompt(example, prompt, well_formed)[1])
    return str(conversation(example, prompt, well_formed)[-1].get("content") or "")
