# ruff: noqa: E501
"""What a chat template may do is bounded, whoever renders it; real ones write what they wrote."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from jinja2 import TemplateError
from transformers.utils import chat_template_utils
from transformers.utils.chat_template_utils import render_jinja_template

from harness.contract import Example, Prompt
from harness.errors import BadRows, ModelError
from harness_transformers import bounds
from harness_transformers.ahead import rendered
from harness_transformers.ended import TooMuch
from harness_transformers.render import Renderer
from harness_transformers.template import BoundedTemplate, _Compiled, compiled
from pace import slower

from .conftest import TEMPLATE, make_tokenizer

NESTED = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% for c in range(99999) %}"
    "{% endfor %}{% endfor %}{% endfor %}"
)
GROW = "{% set ns = namespace(x='x', y='x') %}{% for i in range(60) %}"
LIST = GROW + "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}"
LONG = "{% set x = 'x' * 9999999 %}"
HOSTILE = {
    "nested loops": NESTED,
    "doubled by +": GROW + "{% set ns.x = ns.x + ns.x %}{% endfor %}{{ ns.x|length }}",
    "doubled by ~": GROW + "{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x|length }}",
    "squared by replace": GROW + "{% set ns.x = ns.x.replace('x', ns.x ~ 'x') %}{% endfor %}",
    "times": "{% set n = 10**9 %}{{ ('x' * n)|length }}",
    "times a constant": "{{ 'x' * 10**9 }}",
    "a list times": "{{ ([1] * 10**9)|length }}",
    "power": "{% set n = 10**9 %}{{ (7**n) % 3 }}",
    "a list in a list": LIST + "{{ ns.x }}",
    "compared": LIST + "{{ ns.x == ns.y }}",
    "width": "{{ 'x'|center(10**9) }}",
    "width of a method": "{{ 'x'.ljust(1000000000)|length }}",
    "width of a format": "{{ '%1000000000d' % 1 }}",
    "width of format": "{{ '{:1000000000}'.format(1)|length }}",
    "joined": LONG + "{{ range(99999)|join(x)|length }}",
    "joined by a method": LONG + "{{ x.join(['a'] * 9999)|length }}",
    "tabs": "{{ ('\t' * 9999999).expandtabs(99999)|length }}",
    "indented": "{{ ('\n' * 9999999)|indent(900, blank=true)|length }}",
    "nonsense": "{{ lipsum(100000000)|length }}",
    "slices": LONG + "{% for i in range(99999) %}{% set y = x[1:] %}{% endfor %}",
    "a long template": "x" * 2_000_000,
}
LOOPS = ("nested loops", "a list in a list", "compared")
"""Those that make nothing, and are ended by the clock."""
TURNS = [{"role": "user", "content": "Why?"}]


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Templates that loop are ended in a quarter of the second that they have in earnest."""
    monkeypatch.setattr(bounds, "SECONDS", 0.25)


@pytest.mark.slow
@pytest.mark.parametrize("what", HOSTILE)
def test_a_template_that_does_too_much_is_ended(what: str, request: pytest.FixtureRequest) -> None:
    """CASES row 25: nested `range(99999)` loops hung; texts and numbers grew until memory ended."""
    if what in LOOPS:
        request.getfixturevalue("soon")
    begun = time.process_time()
    with pytest.raises(TooMuch):
        compiled(HOSTILE[what])(messages=TURNS)
    assert time.process_time() - begun < 3 * slower()


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("through", ["renderer", "plan", "library"])
def test_whoever_renders_it_is_told_whose_template_it_is(through: str, tmp_path: Path) -> None:
    """CASES row 25: in check and plan, in a run, and for a library that has the tokenizer."""
    tokenizer = make_tokenizer(template=NESTED + "{{ messages[-1].content }}")
    prompt, row = Prompt(style="chat"), Example("e", "Why?")
    tokenizer.save_pretrained(tmp_path / "m")
    tokenizer.apply_chat_template = BoundedTemplate(tokenizer, "model m")
    ways = {
        "renderer": lambda: Renderer(tokenizer, 64, "model m")([row], prompt),
        "plan": lambda: rendered(tmp_path / "m", 64, "model m", "26 Jul 2024", [row], prompt),
        "library": lambda: tokenizer.apply_chat_template(
            TURNS, tokenize=False, continue_final_message=True
        ),
    }
    begun = time.process_time()
    with pytest.raises(ModelError, match=r"model m: its tokenizer's chat template runs for more"):
        ways[through]()
    assert time.process_time() - begun < 5 * slower()


WATCHED = {
    "by a variable": "{% if tokenize is defined %}calm{% else %}" + NESTED + "{% endif %}",
    "by an error": "{{ strftime_now('%Y') }}" + NESTED,
    "by the depth of calls": "{% macro deep(n) %}{% if n %}{{ deep(n - 1) }}{% else %}"
    + NESTED + "{% endif %}{% endmacro %}{{ deep(150) }}",
}  # fmt: skip
"""Templates that could behave in a trial run, and loop for years in the next one."""


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("how", WATCHED)
def test_a_template_cannot_wait_until_nobody_watches(how: str) -> None:
    """CASES row 25: a trial under bounds, and then transformers' own run, were two runs."""
    tokenizer = make_tokenizer(template=WATCHED[how])
    bounded = BoundedTemplate(tokenizer, "model m")
    begun = time.process_time()
    with pytest.raises((ModelError, RecursionError)):
        bounded(TURNS, tokenize=False)
    assert time.process_time() - begun < 5 * slower()


def test_a_template_runs_once_and_transformers_stays_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tokenizer, runs = make_tokenizer(template=TEMPLATE), []
    theirs = chat_template_utils._compile_jinja_template
    render = _Compiled.render
    monkeypatch.setattr(
        _Compiled, "render", lambda self, **given: runs.append(given) or render(self, **given)
    )
    bounded = BoundedTemplate(tokenizer, "m")
    own = tokenizer.apply_chat_template(TALK, tokenize=True, return_dict=False)
    assert bounded(TALK, tokenize=True, return_dict=False) == own
    assert len(runs) == 1
    assert chat_template_utils._compile_jinja_template is theirs


def test_a_template_that_refuses_is_the_librarys_own_error() -> None:
    """lm-eval leaves the system turn out where it catches jinja's TemplateError."""
    bounded = BoundedTemplate(make_tokenizer(template=GEMMA), "m")
    with pytest.raises(TemplateError, match="System role not supported"):
        bounded([{"role": "system", "content": "a"}, *TALK[:1]], tokenize=False)


def test_what_cannot_be_made_within_bounds_is_said() -> None:
    with pytest.raises(ModelError, match="return_assistant_tokens_mask is not made here"):
        BoundedTemplate(make_tokenizer(template=TEMPLATE), "m")(
            TALK, return_assistant_tokens_mask=True, return_dict=True
        )


@pytest.mark.slow
@pytest.mark.usefixtures("soon")
def test_what_is_ended_where_a_query_is_looked_for(tmp_path: Path) -> None:
    """CASES row 25 with TOKENIZERS T5: the mark in the query's place may be what takes so long.

    Before a run this was told as a row whose query cannot be found, which may be left out.
    """
    slow = "{% if 'harness' in messages[-1].content %}" + NESTED + "{% endif %}"
    tokenizer = make_tokenizer(template=slow + TEMPLATE)
    tokenizer.save_pretrained(tmp_path / "m")
    prompt, row = Prompt(style="chat", query=True), Example("e", "Why?")
    with pytest.raises(ModelError, match=r"model m: its tokenizer's chat template runs") as caught:
        rendered(tmp_path / "m", 64, "model m", "26 Jul 2024", [row], prompt)
    assert not isinstance(caught.value, BadRows)


@pytest.mark.slow
def test_a_run_hands_libraries_a_bounded_tokenizer(folders: Any, tmp_path: Path) -> None:
    from harness_transformers.backend import TransformersBackend
    from harness_transformers.options import TransformersOptions

    shutil.copytree(folders["llama"], tmp_path / "m")
    (tmp_path / "m" / "chat_template.jinja").write_text(NESTED)
    with pytest.raises(ModelError, match="its tokenizer's chat template runs for more than 1 sec"):
        TransformersBackend(TransformersOptions(path=str(tmp_path / "m"))).load()


QWEN = """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}"""
GEMMA = """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"""

TALK = [
    {"role": "user", "content": "why " * 20},
    {"role": "assistant", "content": "<think>\nso\n</think>\n\nbecause {{ x }}"},
    {"role": "user", "content": "é\n  and 日本 <end_of_turn>  "},
]
TOOLS = [{"name": "f", "arguments": {"a": 1, "é": [1, 2, {"x": None}]}}]


@pytest.mark.parametrize("template", [QWEN, GEMMA, TEMPLATE])
@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize("turns", [TALK, TALK[:1], TALK * 40])
def test_real_templates_write_what_transformers_writes(
    template: str, tools: Any, turns: Any
) -> None:
    if template == GEMMA:
        turns = turns[: len(turns) % 2 or 1]
    given = {"add_generation_prompt": True, "bos_token": "<bos>"}
    ((theirs,), _) = render_jinja_template([turns], tools, chat_template=template, **given)
    ours = compiled(template)(messages=turns, tools=tools, documents=None, **given)
    assert ours == theirs
    tokenizer = make_tokenizer(template=template)
    before = tokenizer.apply_chat_template(turns, tools, tokenize=False, add_generation_prompt=True)
    tokenizer.apply_chat_template = BoundedTemplate(tokenizer, "m")
    after = tokenizer.apply_chat_template(turns, tools, tokenize=False, add_generation_prompt=True)
    assert before == after
