"""Chat templates that leave out turns, against what the template itself writes."""

from __future__ import annotations

from typing import Any

import pytest

from harness.contract import Example, Prompt
from harness.errors import DataError
from harness_transformers.render import Renderer

from .conftest import make_tokenizer

CALL = {"id": "1", "type": "function", "function": {"name": "forecast", "arguments": "{}"}}
TOOLS = (
    {"role": "user", "content": "What is it?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "content": "rain"},
    {"role": "user", "content": "And now?"},
)
KNOWN = (
    "{{ bos_token }}{% for m in messages %}{% if m.role in ['system', 'user', 'assistant'] %}"
    "<|{{ m.role }}|>\n{{ m.content | trim }}<|eot|>\n{% endif %}{% endfor %}"
)
WITH_TOOLS = (
    "{{ bos_token }}{% for m in messages %}<|{{ m.role }}|>\n"
    "{% if m.tool_calls %}{% for c in m.tool_calls %}{{ c.function | tojson }}{% endfor %}"
    "{% elif m.role == 'tool' %}{{ m.content | tojson }}{% else %}{{ m.content }}{% endif %}"
    "<|eot|>\n{% endfor %}"
)


def turns(*pairs: tuple[str, str]) -> tuple[dict[str, Any], ...]:
    return tuple({"role": role, "content": content} for role, content in pairs)


def render(template: str, messages: Any, **prompt: Any) -> str:
    row = Example("e", "?", {}, tuple(messages), "row 3 of d.jsonl")
    tokenizer = make_tokenizer(template=template)
    return Renderer(tokenizer, None, "model m")([row], Prompt(style="chat", **prompt))[0].text


def own(template: str, messages: Any) -> str:
    """What the tokenizer's own template writes."""
    text = make_tokenizer(template=template).apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=True
    )
    return str(text)


@pytest.mark.parametrize(
    ("messages", "left_out"),
    [
        (turns(("human", "Hello there"), ("gpt", "Hi")), r"turn 1 \(human\): 'Hello there'"),
        (turns(("user", "a"), ("gpt", "b c")), r"turn 2 \(gpt\): 'b c'"),
        # Its words stand in another turn, too.
        (turns(("user", "say hi"), ("gpt", "hi")), r"turn 2 \(gpt\): 'hi'"),
        (turns(("user", "go on"), ("human", "go on")), r"turn \d \(\w+\): 'go on'"),
        (turns(("User", "x" * 99)), r"turn 1 \(User\): 'x{59}…'"),
    ],
)
def test_a_role_that_the_template_does_not_know_is_an_error(messages: Any, left_out: str) -> None:
    """TOKENIZERS row T3: the turns vanished, and numbers were reported."""
    said = rf"example e \(row 3 of d.jsonl\): the chat template leaves out {left_out}.*Allowed"
    with pytest.raises(DataError, match=said):
        render(KNOWN, messages)


def test_a_template_that_drops_the_text_or_the_system_turn_is_an_error() -> None:
    with pytest.raises(DataError, match=r"leaves out turn 1 \(user\)"):
        render("<|user|>{% for m in messages %}<|eot|>{% endfor %}", ())
    silent = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"
    with pytest.raises(DataError, match=r"leaves out turn 1 \(system\): 'Be kind.'"):
        render(silent, (), system="Be kind.")
    cut = "{% for m in messages %}{{ m.content[:20] }}{% endfor %}"
    with pytest.raises(DataError, match=r"leaves out turn 1 \(user\)"):
        render(cut, turns(("user", "a text that is longer than that")))


@pytest.mark.parametrize(
    ("template", "messages"),
    [
        (KNOWN, turns(("system", "s"), ("user", " a \n"), ("assistant", "b"))),
        (KNOWN, turns(("user", "a"), ("assistant", ""), ("user", "a"))),
        # Qwen3 and R1: the thought of an earlier answer is not shown again.
        ("{% for m in messages %}{{ m.content.split('</think>')[-1] }};{% endfor %}",
         turns(("user", "why"), ("assistant", "<think>why\nnot</think>\n\nSo."), ("user", "x"))),
        # Llama 3.1: what a tool says is written as JSON.
        (WITH_TOOLS, turns(("user", "a"), ("tool", 'two\nlines, "quoted", é'))),
        # Blanks and lines are written anew.
        ("{% for m in messages %}{{ m.content.split() | join(' ') }};{% endfor %}",
         turns(("user", "two  blanks\nand a line"))),
        # Mistral and Gemma: the system turn stands in a user's turn.
        ("{{ messages[1].content }} {{ messages[0].content }}",
         turns(("system", "s"), ("user", "a"))),
        (WITH_TOOLS, TOOLS),
    ],
)  # fmt: skip
def test_what_a_template_may_do_is_no_error(template: str, messages: Any) -> None:
    assert render(template, messages) == own(template, messages)


def test_tool_calls_reach_the_template() -> None:
    """CASES row 4: the prompt had the word None, and the call was gone."""
    text = render(WITH_TOOLS, TOOLS)
    assert '{"name": "forecast", "arguments": "{}"}' in text
    assert "None" not in text


def test_a_template_without_tool_calls_is_an_error() -> None:
    with pytest.raises(
        DataError, match=r"row 3 .*leaves out the call of tool 'forecast' in turn 2"
    ):
        render(KNOWN.replace("['system'", "['tool', 'system'"), TOOLS)


def test_the_word_none_is_never_written_for_content_that_is_null() -> None:
    """CASES row 4: older versions of transformers give null to the template, as `plan` did."""
    both = WITH_TOOLS.replace("{% if m.tool_calls %}", "{% if m.tool_calls %}{{ m.content }}")
    seen: list[Any] = []
    tokenizer = make_tokenizer(template=both)
    write = tokenizer.apply_chat_template
    tokenizer.apply_chat_template = lambda turns, **more: seen.append(turns) or write(turns, **more)
    row = Example("e", "", {}, TOOLS)
    (prompt,) = Renderer(tokenizer, None, "model m")([row], Prompt(style="chat"))
    assert all(value is not None for turns in seen for turn in turns for value in turn.values())
    assert "None" not in prompt.text
    empty = [{**turn, "content": turn["content"] or ""} for turn in TOOLS]
    assert prompt.text == own(both, empty)


def test_the_word_none_in_the_data_is_a_word() -> None:
    call = {"function": {"name": "None", "arguments": {"a": None}}}
    talk = (*turns(("user", "None?")), {"role": "assistant", "content": None, "tool_calls": [call]})
    assert render(WITH_TOOLS, talk) == own(WITH_TOOLS, talk)


def test_plain_text_has_no_place_for_tool_calls() -> None:
    row = Example("e", "What?", {"n": 1}, TOOLS, "row 3 of d.jsonl")
    write = Renderer(make_tokenizer(), None, "model m")
    with pytest.raises(DataError, match=r"row 3 of d.jsonl\): its conversation calls tools"):
        write([row], Prompt())
    assert write([row], Prompt(template="{n}"))[0].text == "1"
