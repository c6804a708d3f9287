"""Prompts that are cut: the content gets shorter, and what the template writes after it stays."""

from __future__ import annotations

from typing import Any

import pytest

from harness.contract import Example, Prompt
from harness.errors import DataError
from harness_transformers.render import Renderer

from .conftest import make_tokenizer

LONG = "Tell me how to bake a small cake. " * 9
SHORT = Example("d", "Why?", {"answer": "So."})
HEAD, END = "<|bos|><|user|>\n", "<|eot|>\n<|assistant|>\n"


def rendered(prompt: Prompt, example: Example, context: int | None = None) -> Any:
    return Renderer(make_tokenizer(), context, "m")([example], prompt)[0]


def ids(text: str) -> tuple[int, ...]:
    return tuple(make_tokenizer()(text, add_special_tokens=False).input_ids)


@pytest.mark.slow
@pytest.mark.parametrize("most", [20, 33, 60])
def test_a_chat_prompt_keeps_its_end(most: int) -> None:
    """TOKENIZERS T7: the longest beginning of the content that fits, found by trying them all."""
    got = rendered(Prompt(style="chat", max_tokens=most), Example("e", LONG))
    tried = [HEAD + LONG[:size] + END for size in range(len(LONG))]
    fitting = [text for text in tried if len(ids(text)) <= most]
    assert got.text == fitting[-1]
    assert got.ids == ids(got.text)
    assert got.span == (0, len(got.ids))


@pytest.mark.parametrize("join", ["pieces", "string"])
def test_a_plain_prompt_keeps_its_end(join: Any) -> None:
    """TOKENIZERS T7: as in a chat; the demonstrations stay, and the span begins where it did."""
    template = "Q: {text}\nA:"
    prompt = Prompt(template=template, join=join, demonstrations=(SHORT,), max_tokens=40)
    got = rendered(prompt, Example("e", LONG))
    assert len(got.ids) <= 40
    assert got.ids[-len(ids("\nA:")) :] == ids("\nA:")
    start = "Q: Why?\nA:So.\n\nQ: "
    assert got.text.startswith(start)
    assert got.text.endswith("\nA:")
    assert LONG.startswith(got.text.removeprefix(start).removesuffix("\nA:"))
    whole = rendered(
        Prompt(template=template, join=join, demonstrations=(SHORT,)), Example("e", LONG)
    )
    assert got.span[0] == whole.span[0]


def test_a_conversation_loses_of_its_last_turn() -> None:
    """TOKENIZERS T7."""
    turns = ({"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."},
             {"role": "user", "content": LONG})  # fmt: skip
    got = rendered(Prompt(style="chat", max_tokens=50), Example("e", "", {}, turns))
    assert got.text.startswith(f"{HEAD}Why?<|eot|>\n<|assistant|>\nSo.<|eot|>\n<|user|>\nTell")
    assert got.text.endswith(END)
    assert len(got.ids) <= 50


def test_what_is_read_loses_its_end() -> None:
    """TOKENIZERS T7: no template stands after it."""
    got = rendered(Prompt(max_tokens=9), Example("e", LONG))
    assert got.ids == rendered(Prompt(), Example("e", LONG)).ids[:9]


@pytest.mark.parametrize("style", ["plain", "chat"])
def test_no_room_for_any_content(style: Any) -> None:
    """TOKENIZERS T7: never a prompt without what is asked."""
    with pytest.raises(DataError, match=r"example e: max_tokens = 3 leaves nothing"):
        rendered(Prompt(style=style, template="Q: {text}\nA:", max_tokens=3), Example("e", LONG))


def test_short_prompts_are_as_they_were() -> None:
    """TOKENIZERS T7: beside one that is cut, in the same call."""
    render = Renderer(make_tokenizer(), None, "m")
    prompt, whole = Prompt(style="chat", max_tokens=30), Prompt(style="chat")
    examples = [Example("a", LONG), Example("b", "Why?"), Example("c", LONG), Example("d", "Eat")]
    got = render(examples, prompt)
    assert [got[1], got[3]] == render([examples[1], examples[3]], whole)


def test_text_that_loses_its_end_is_tokenised_once() -> None:
    """Of text that is read nearly every row is cut; it was tokenised a second time for that."""
    inner = make_tokenizer()
    asked: list[str] = []

    class Counting:
        is_fast = True

        def __call__(self, text: Any, **more: Any) -> Any:
            asked.extend([text] if isinstance(text, str) else text)
            return inner(text, **more)

        def __getattr__(self, name: str) -> Any:
            return getattr(inner, name)

    (got,) = Renderer(Counting(), None, "m")([Example("e", LONG)], Prompt(max_tokens=20))
    assert got.ids == (*inner("").input_ids, *ids(LONG))[:20]
    assert asked.count(LONG) == 1
