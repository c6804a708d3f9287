"""Conversations as text: what a chat template writes, where a turn's content stands in it, and with
which tokens it ends a turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from harness.contract import Prompt, PromptPart
from harness.errors import DataError, ModelError
from harness_transformers.turns import check_given, check_rendered, is_content

_MARK = "harness"
"""Stands in the place of a content, so that what is around it can be told from it."""

NO_ARGUMENTS: Mapping[str, Any] = MappingProxyType({})
"""A template is told nothing but the turns."""

Turn = Mapping[str, Any]
WriteTurns = Callable[[Sequence[Turn]], str]


def written(
    tokenizer: Any,
    turns: Sequence[Turn],
    prompt: Prompt,
    where: str,
    given: Mapping[str, Any] = NO_ARGUMENTS,
) -> str:
    """The conversation as one text, with the template's own special tokens; `given` are the row's
    tools and documents.

    DataError, which `where` begins, where the template refuses the turns or leaves one out;
    ModelError where it takes too long.
    """
    try:
        text = template_writes(
            tokenizer,
            turns,
            {**prompt.template_arguments, **given},
            generation_prompt=prompt.generation_prompt,
        )
    except ModelError:
        raise
    except Exception as error:  # a template may raise anything: it is a program
        roles = ", ".join(turn["role"] for turn in turns)
        more = "".join(f" and {key}" for key in given)
        raise DataError(
            f"{where}: the chat template refuses the turns {roles}{more}"
            f" ({error}). Allowed: what the template takes; some take no system turn."
        ) from None
    check_rendered(text, turns, where)
    check_given(text, given, where)
    return text


def template_writes(
    tokenizer: Any,
    turns: Sequence[Turn],
    arguments: Mapping[str, Any] = NO_ARGUMENTS,
    *,
    generation_prompt: bool,
) -> str:
    """What the chat template makes of the turns and its arguments, whatever that is."""
    text = tokenizer.apply_chat_template(
        list(turns), tokenize=False, add_generation_prompt=generation_prompt, **arguments
    )
    return str(text)


# ── Where a content stands ───────────────────────────────────────────────────────────────────────


def place(
    write: WriteTurns, text: str, turns: Sequence[Turn], number: int
) -> tuple[int, int] | None:
    """Where the content of turn `number` begins and ends in `text`, the rendering of `turns`.

    Found by writing the same turns with a mark in the content's place: what then stands before
    and after the mark stands around the content, whatever words that has. None where it does not,
    or where something else stands between: where the template changes a content beyond its blanks
    and quotes, writes it twice, or writes the rest by what it says.
    """
    mark = _MARK
    while mark in text:
        mark += "x"
    marked = [*turns]
    marked[number] = {**turns[number], "content": mark}
    try:
        before, found, after = write(marked).partition(mark)
    except ModelError:
        raise
    except Exception:  # a template may raise anything: it is a program
        return None
    start, end = len(before), len(text) - len(after)
    if not found or mark in after or start > end:
        return None
    if not (text.startswith(before) and text.endswith(after)):
        return None
    return (start, end) if is_content(text[start:end], str(turns[number]["content"])) else None


def last_user_turn(turns: Sequence[Turn], where: str) -> int:
    """The number of the last turn of the user; DataError, which `where` begins, without one."""
    for number in reversed(range(len(turns))):
        if turns[number]["role"] == "user" and isinstance(turns[number].get("content"), str):
            return number
    raise DataError(
        f"{where}: it has no turn of the user, and what is measured begins with the last one."
        " Allowed: conversations with a user's turn. Leave the row out."
    )


def places_wanted(
    turns: Sequence[Turn], prompt: Prompt, where: str, *, located: bool
) -> dict[PromptPart, int]:
    """The turns whose places a prompt is to tell, by part. `located`: that of the query, too.

    An answer that the conversation ends with is told beside what is asked: it ends what the prompt
    is closed with. DataError, which `where` begins, where there is no such turn.
    """
    wanted: dict[PromptPart, int] = {}
    if located or "asked" in prompt.places:
        wanted["asked"] = last_user_turn(turns, where)
    last = turns[-1] if turns else {}
    answered = last.get("role") == "assistant" and isinstance(last.get("content"), str)
    if "answered" in prompt.places and not answered:
        raise DataError(
            f"{where}: it does not end with an answer, which is to be measured. Allowed:"
            " conversations whose last turn is the assistant's, with text. Leave the row out."
        )
    if prompt.places and answered:
        wanted["answered"] = len(turns) - 1
    return wanted


# ── Tokens that end a turn ───────────────────────────────────────────────────────────────────────

_USER = {"role": "user", "content": _MARK}
_ASSISTANT = {"role": "assistant", "content": _MARK}
_CONVERSATIONS = ((_USER,), ({**_USER, "content": "a"}, _ASSISTANT))
"""One that ends with the user's turn, and one that ends with the assistant's."""


def end_of_turn(tokenizer: Any) -> int | None:
    """The special token that the chat template writes after an assistant's turn, if it does."""
    return _after(tokenizer, _CONVERSATIONS[1])


def turn_ends(tokenizer: Any) -> frozenset[int]:
    """The special tokens with which the chat template ends a turn: what follows the content of a
    last turn, of the user and of the assistant, where no answer is asked for.

    They are found by rendering, so one rule holds for all families: Qwen's `<|im_end|>`, Llama 3's
    `<|eot_id|>`, Gemma's `<end_of_turn>`, gpt-oss's `<|end|>` and `<|return|>`.
    """
    found = (_after(tokenizer, turns) for turns in _CONVERSATIONS)
    return frozenset(token for token in found if token is not None)


def _after(tokenizer: Any, turns: Sequence[Turn]) -> int | None:
    """The special token behind the last content, which is the mark."""
    try:
        text = template_writes(tokenizer, turns, generation_prompt=False)
    except ModelError:
        raise
    except Exception:  # no template, or one that wants other turns
        return None
    tail = text.rpartition(_MARK)[2].strip()
    ids = tokenizer(tail, add_special_tokens=False).input_ids if tail else []
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    return int(ids[0]) if ids and ids[0] in special else None


def structural(tokenizer: Any, arguments: Mapping[str, Any] = NO_ARGUMENTS) -> Iterator[str]:
    """What the chat template writes around turns, as texts: for what is found in them."""
    for turns in (*_CONVERSATIONS, (*_CONVERSATIONS[1], _USER)):
        try:
            asks = len(turns) != 2
            yield template_writes(tokenizer, turns, arguments, generation_prompt=asks)
        except ModelError:
            raise
        except Exception:  # no template, or one that wants other turns
            continue
