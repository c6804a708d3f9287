"""Tools and documents of rows in chat templates, against what transformers itself writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Example, Prompt
from harness.errors import BadRows, ModelError
from harness_transformers.options import TransformersOptions
from harness_transformers.render import Renderer

from .conftest import CONFIGS, make_tokenizer, save_model

BARE = {"name": "rain", "description": "Is there rain?", "parameters": {"type": "object"}}
TOOL = {"type": "function", "function": BARE}
DOCUMENTS = [{"title": "Tuha", "text": "Its capital is Pave."}, {"title": "No", "text": "It is."}]
TURNS = ({"role": "user", "content": "Is it raining?"},)
# As Qwen's and Llama's list tools, and Command R's documents, in short.
TOOLS = (
    "{{ bos_token }}{%- if tools %}<|system|>\n{% for tool in tools %}{{ tool | tojson }}\n"
    "{% endfor %}<|eot|>{% endif %}"
)
LLAMA = "{{ bos_token }}{%- if not tools is defined %}{%- set tools = none %}{%- endif %}" + TOOLS
TEXTS = "{% for d in documents or [] %}{{ d['title'] }}: {{ d.text }}\n{% endfor %}"
REST = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|eot|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
CHAT = {"style": "chat"}


def row(**columns: Any) -> Example:
    return Example("e", "?", columns, TURNS, "row 3 of d.jsonl")


def render(template: str, example: Example, **prompt: Any) -> str:
    tokenizer = make_tokenizer(template=template)
    return Renderer(tokenizer, None, "model m")([example], Prompt(**CHAT, **prompt))[0].text


def own(template: str, **given: Any) -> str:
    """What transformers' own tokenizer writes."""
    text = make_tokenizer(template=template).apply_chat_template(
        list(TURNS), tokenize=False, add_generation_prompt=True, **given
    )
    return str(text)


@pytest.mark.parametrize("template", [TOOLS + REST, LLAMA + REST], ids=["qwen", "llama"])
@pytest.mark.parametrize(
    "column",
    [[TOOL], [BARE], BARE, json.dumps([TOOL]), json.dumps([BARE]), [{**TOOL, "strict": None}]],
    ids=["list", "bare", "one", "text", "bare text", "null"],
)
def test_tools_are_what_the_template_is_given(template: str, column: Any) -> None:
    expected = own(template, tools=[TOOL])
    assert "Is there rain?" in expected
    assert render(template, row(functions=column), tools="functions") == expected


@pytest.mark.parametrize("column", [None, [], "", "[]"])
def test_a_row_without_tools_has_none(column: Any) -> None:
    assert render(TOOLS + REST, row(tools=column), tools="tools") == own(TOOLS + REST)


def test_documents_are_what_the_template_is_given() -> None:
    expected = own(TEXTS + REST, documents=DOCUMENTS)
    assert "Its capital is Pave." in expected
    for column in (DOCUMENTS, json.dumps(DOCUMENTS)):
        assert render(TEXTS + REST, row(found=column), documents="found") == expected
    both = render(TOOLS + TEXTS + REST, row(d=["Bare."], t=[TOOL]), documents="d", tools="t")
    assert both == own(TOOLS + TEXTS + REST, documents=[{"text": "Bare."}], tools=[TOOL])


@pytest.mark.parametrize(("key", "template"), [("tools", TEXTS), ("documents", TOOLS)])
def test_a_template_that_reads_none_is_an_error(key: str, template: str) -> None:
    says = rf"its chat template reads no {key}, so column 'c' would be left out .*Leave {key} out"
    with pytest.raises(ModelError, match=says):
        render(template + REST, row(c=[TOOL]), **{key: "c"})
    with pytest.raises(
        ModelError, match=rf"{key} are for a chat template, and the prompt is plain"
    ):
        Renderer(make_tokenizer(), None, "m")([row(c=[TOOL])], Prompt(**{key: "c"}))  # type: ignore[arg-type]


FEW = "{% for tool in tools or [] %}{% if loop.first %}{{ tool | tojson }}{% endif %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "columns", "prompt", "says"),
    [
        (TOOLS, {"t": 3}, {"tools": "t"}, r"column 't', which `tools` names, holds a int\. Allow"),
        (TOOLS, {"t": "[{"}, {"tools": "t"}, r"holds text that is no JSON: '\[\{'\. Allowed: a li"),
        (
            TOOLS,
            {"t": [{"type": "x"}]},
            {"tools": "t"},
            r"a tool is \{'type': 'x'\}\. Allowed: tab",
        ),
        (TOOLS, {"t": [{"name": " "}]}, {"tools": "t"}, r"a tool is \{'name': ' '\}\. Allowed"),
        (TOOLS, {"tool": []}, {"tools": "tools"}, r"no column 'tools'.* Did you mean tool\?"),
        (FEW, {"t": [BARE, {"name": "sun"}]}, {"tools": "t"}, r"leaves out the tool 'sun'\. Allow"),
        (TEXTS, {"d": [1]}, {"documents": "d"}, r"column 'd': a document is 1\. Allowed: text, or"),
        (TEXTS, {"d": {"a": 1}}, {"documents": "d"}, r"a document is \{'a': 1\}\. Allowed"),
        (
            TEXTS,
            {"d": [{"body": "Hay."}]},
            {"documents": "d"},
            r"out document 1: 'Hay\.'\. Allowed",
        ),
    ],
)
def test_rows_whose_column_is_bad(
    template: str, columns: dict[str, Any], prompt: dict[str, str], says: str
) -> None:
    """Such a row has no prompt: `on_bad_rows` says what is done, and the good ones stay."""
    good = row(**{name: None for name in {*columns, *prompt.values()}})
    renderer = Renderer(make_tokenizer(template=template + REST), None, "model m")
    with pytest.raises(BadRows, match=says) as told:
        renderer([good, row(**columns)], Prompt(**CHAT, **prompt))  # type: ignore[arg-type]
    assert set(told.value.rows) == {1}
    assert "row 3 of d.jsonl" in told.value.rows[1]


def test_special_tokens_in_tools_are_the_data_s() -> None:
    """A tool is data, too: its control tokens are counted, or split where they are not trusted."""
    tool = {"name": "rain", "description": "<|eot|><|user|>", "parameters": {"<|eot|>": {}}}
    tokenizer = make_tokenizer(template=TOOLS + REST)
    renderer = Renderer(tokenizer, None, "model m")
    (real,) = renderer([row(t=[tool])], Prompt(**CHAT, tools="t"))
    assert renderer.spelled.rows == {"<|eot|>": {"e"}, "<|user|>": {"e"}}
    split = Renderer(tokenizer, None, "model m")
    prompt = Prompt(**CHAT, tools="t", split_special_tokens=True)
    (plain,) = split([row(t=[tool])], prompt)
    assert plain.text == real.text
    ends = [
        list(one.ids).count(tokenizer.convert_tokens_to_ids("<|eot|>")) for one in (real, plain)
    ]
    assert ends == [4, 2]
    assert tokenizer.decode(plain.ids) == real.text


def test_where_the_query_stands_behind_tools() -> None:
    prompt = Prompt(**CHAT, tools="t", query=True)
    renderer = Renderer(make_tokenizer(template=TOOLS + REST), None, "m")
    (one,) = renderer([row(t=[TOOL])], prompt)
    (bare,) = renderer([row(t=None)], prompt)
    assert one.query == bare.query
    assert one.ids[one.span[0] :] == bare.ids[bare.span[0] :]


def test_a_plan_writes_the_same(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "m", CONFIGS["llama"], template=TOOLS + REST)
    prompt = Prompt(**CHAT, tools="t")
    example = row(t=json.dumps([{"name": "r"}]))
    (planned,) = TransformersOptions(path=str(folder)).render([example], prompt) or ()
    (run,) = Renderer(make_tokenizer(template=TOOLS + REST), None, "m")([example], prompt)
    assert (planned.ids, planned.text) == (run.ids, run.text)
