"""Prompts as ids: templates, special tokens, demonstrations and spans."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.contract import Example, Prompt
from harness.errors import BadRows, DataError, ModelError
from harness_transformers.chat import end_of_turn
from harness_transformers.model import TransformersModel
from harness_transformers.render import Renderer

from .conftest import TEMPLATE, make_tokenizer

BOS, EOT = 1, 6
EXAMPLE = Example("e", "Eat it.", {"instruction": "Eat it.", "answer": "No.", "n": 3, "l": [1]})


def ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False).input_ids)


def render(prompt: Prompt, example: Example = EXAMPLE, **tokenizer: Any) -> Any:
    return Renderer(make_tokenizer(**tokenizer), 64, "model m")([example], prompt)[0]


def test_pieces_are_tokenised_one_by_one() -> None:
    tokenizer = make_tokenizer()
    assert len(ids(tokenizer, ".\n")) == 1  # the trap: the line break would not be there
    got = render(Prompt(template="{instruction}\n"))
    assert got.ids == (BOS, *ids(tokenizer, "Eat it."), *ids(tokenizer, "\n"))
    assert got.text == "Eat it.\n"
    assert got.span == (0, len(got.ids))
    assert got.example == "e"
    whole = render(Prompt(template="{instruction}\n", join="string"))
    assert whole.ids == (BOS, *ids(tokenizer, "Eat it.\n")) != got.ids


@pytest.mark.parametrize("template", ["{text}", "{instruction}", "<|bos|>{text}"])
def test_one_bos(template: str) -> None:
    assert render(Prompt(template=template)).ids.count(BOS) == 1
    chat = render(Prompt(style="chat", template=template.replace("<|bos|>", "")))
    assert chat.ids.count(BOS) == 1
    assert chat.ids[0] == BOS


def test_no_bos_where_the_tokenizer_adds_none() -> None:
    assert BOS not in render(Prompt(), bos=False).ids


def test_columns_and_braces() -> None:
    assert render(Prompt(template="{{{n}}} {text}")).text == "{3} Eat it."
    renamed = Example("e", "Eat it.", {"goal": "Eat it."})
    assert render(Prompt(template="{goal}: {instruction}"), renamed).text == "Eat it.: Eat it."


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{inst}", "column 'inst' does not exist. Allowed: answer, instruction, l, n, text"),
        ("{answr}", "Did you mean answer"),
        ("{l}", "holds a list"),
        ("{text", "brace"),
        ("{text!r}", "Allowed: {column} alone"),
        ("{}", "column '' does not exist"),
    ],
)
def test_wrong_templates(template: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        render(Prompt(template=template))


def test_chat() -> None:
    tokenizer = make_tokenizer()
    got = render(Prompt(style="chat", system="Be kind."))
    expected = "<|bos|><|system|>\nBe kind.<|eot|>\n<|user|>\nEat it.<|eot|>\n<|assistant|>\n"
    assert got.text == expected
    assert got.ids == ids(tokenizer, expected)
    silent = render(Prompt(style="chat", generation_prompt=False))
    assert silent.text.endswith("<|eot|>\n")
    assert render(Prompt(style="chat", template="Q: {text}")).text.count("Q: Eat it.") == 1


def test_conversations() -> None:
    turns = ({"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."})
    talk = Example("c", "", {"topic": "x"}, turns)
    got = render(Prompt(style="chat", generation_prompt=False), talk)
    assert got.text == "<|bos|><|user|>\nWhy?<|eot|>\n<|assistant|>\nSo.<|eot|>\n"
    with pytest.raises(DataError, match=r"it is a conversation.*topic"):
        render(Prompt(), talk)
    assert render(Prompt(template="{topic}"), talk).text == "x"
    both = Example("c", "", {}, ({"role": "system", "content": "s"}, *turns))
    with pytest.raises(DataError, match="has a system turn, and so has the prompt"):
        render(Prompt(style="chat", system="t"), both)


def test_no_chat_template() -> None:
    with pytest.raises(ModelError, match=r"model m: its tokenizer has no chat template. Allowed"):
        render(Prompt(style="chat"), template=None)


def test_a_template_that_refuses() -> None:
    refusing = "{{ raise_exception('System role not supported') }}"
    with pytest.raises(ModelError, match=r"refuses the turns user \(System role not supported"):
        render(Prompt(style="chat"), template=refusing)


@pytest.mark.parametrize("style", ["plain", "chat"])
def test_demonstrations_and_the_query_span(style: Any) -> None:
    demonstrations = (
        Example("d1", "Why?", {"answer": "So."}),
        Example("d2", "How?", {"answer": "Thus."}),
    )
    template = "{text}\n" if style == "plain" else "{text}"
    got = render(Prompt(style=style, template=template, demonstrations=demonstrations))
    start, end = got.span
    assert end == len(got.ids)
    # All of the query and what follows it, and nothing of what the template writes before it.
    tokenizer = make_tokenizer()
    if style == "plain":
        assert got.ids[start:] == (*ids(tokenizer, "Eat it."), *ids(tokenizer, "\n"))
    else:
        assert got.ids[start:] == ids(tokenizer, "Eat it.<|eot|>\n<|assistant|>\n")
    assert got.ids.count(BOS) == 1
    for words in ("Why?", "So.", "How?", "Thus.", "Eat it."):
        assert words in got.text
    if style == "plain":
        assert got.text == "Why?\nSo.\n\nHow?\nThus.\n\nEat it.\n"
    else:
        assert got.ids.count(EOT) == 5


def test_a_demonstration_without_an_answer() -> None:
    prompt = Prompt(demonstrations=(Example("d1", "Why?", {"reply": "So."}),))
    with pytest.raises(DataError, match=r"example d1: column 'answer' does not exist. Allowed: re"):
        render(prompt)


def test_too_long_and_empty() -> None:
    with pytest.raises(DataError, match=r"example long: .* tokens. Allowed: 64, the context of"):
        render(Prompt(), Example("long", "word " * 99))
    with pytest.raises(DataError, match="its prompt has no tokens"):
        render(Prompt(), Example("empty", ""), bos=False)


def test_end_of_turn() -> None:
    assert end_of_turn(make_tokenizer()) == EOT
    assert end_of_turn(make_tokenizer(template=None)) is None
    plain = TEMPLATE.replace("<|eot|>", "")
    assert end_of_turn(make_tokenizer(template=plain)) is None


def test_rendering_many_is_rendering_each(
    llama: TransformersModel, examples: list[Example]
) -> None:
    prompt = Prompt(style="chat", demonstrations=(EXAMPLE,))
    assert llama.render(examples, prompt) == [llama.render([e], prompt)[0] for e in examples]


def test_masked_ids(loaded: dict[str, TransformersModel], folders: dict[str, Path]) -> None:
    """With the end of a turn: TOKENIZERS T15."""
    assert loaded["llama"].masked_ids == {0, 1, 2, EOT}


REFUSES = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}" + TEMPLATE
)


def test_all_rows_that_a_template_refuses_are_named() -> None:
    """TOKENIZERS row T10: the first refused row ended the rendering; a caller that may leave such
    rows out must know all of them. The others are rendered as they are alone."""
    user, system = {"role": "user", "content": "Why?"}, {"role": "system", "content": "Be kind."}
    talks = [Example(f"t{n}", "", {}, turns, f"row {n + 1}") for n, turns in enumerate(
        [(user,), (system, user), (user,), (system, user)]
    )]  # fmt: skip
    writer = Renderer(make_tokenizer(template=REFUSES), 64, "model m")
    with pytest.raises(BadRows) as caught:
        writer(talks, Prompt(style="chat"))
    assert list(caught.value.rows) == [1, 3]
    assert all("refuses the turns system, user" in why for why in caught.value.rows.values())
    assert "t1 (row 2)" in str(caught.value)
    kept = writer([talks[0], talks[2]], Prompt(style="chat"))
    assert [one.ids for one in kept] == [render(Prompt(style="chat"), talks[0]).ids] * 2


def test_empty_and_too_long_rows_are_bad_rows() -> None:
    rows = [Example("a", "Eat."), Example("b", ""), Example("c", "Eat it all. " * 40)]
    with pytest.raises(BadRows) as caught:
        Renderer(make_tokenizer(bos=False), 64, "model m")(rows, Prompt())
    assert list(caught.value.rows) == [1, 2]
    assert "no tokens" in caught.value.rows[1]
    assert "Allowed: 64" in caught.value.rows[2]
