"""Where a query begins in a prompt: found by construction, in every family of templates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from harness.contract import Example, Prompt, Tokens
from harness.errors import DataError, ModelError
from harness.planning.queries import same_query
from harness.running.reading.rows import check_aligned, one_row
from harness_transformers.render import Renderer

from .conftest import make_tokenizer
from .test_blank import FAMILIES, tokenizer as with_blank

ANSWER = "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
TURNS = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|eot|>\n{% endfor %}" + ANSWER
SYSTEM = (
    "{% if messages[0].role != 'system' %}<|system|>\nYou are a helpful one.<|eot|>\n{% endif %}"
)
TEMPLATES = {
    "chatml": TURNS,
    # Qwen2.5 and SmolLM2: a system turn of their own; Llama-3.1: with a date, and trimmed.
    "qwen": SYSTEM + TURNS,
    "llama 3.1": "{{ bos_token }}" + SYSTEM.replace("helpful one.", "kind. Today: 26 Jul 2024\n\n")
    + TURNS.replace("m.content", "m.content | trim"),
    # gpt-oss: a long block whatever the turns are, and answers in a channel.
    "gpt-oss": "<|system|>You are what you are.\nReasoning: medium<|eot|>"
    "{% for m in messages %}<|{{ m.role }}|>{% if m.role == 'assistant' %}final\n{% endif %}"
    "{{ m.content }}<|eot|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "mistral": "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] "
    "{{ m.content }} [/INST]{% else %} {{ m.content }}<|eot|>{% endif %}{% endfor %}",
}  # fmt: skip
AFTER = {"gpt-oss": "<|eot|><|assistant|>", "mistral": " [/INST]"}
"""What stands behind the query; in all others `<|eot|>` and the header of an answer."""
QUERIES = [
    "What is it?", "Why", "assistant", "\nTwo\n\nlines ", ". ", "user\n", "harness", "é 日本",
    "So.", "You are a helpful one.",
]  # fmt: skip
SHOWN = (Example("d1", "Why?", {"answer": "So."}), Example("d2", "So.", {"answer": "Why"}))


def rendered(tokenizer: Any, prompt: Prompt, text: str, shown: Any = ()) -> Tokens:
    wanted = replace(prompt, demonstrations=shown, query=True)
    return Renderer(tokenizer, None, "model m")([Example("e", text)], wanted)[0]


def aligned(left: Tokens, right: Tokens) -> tuple[Tokens, Tokens]:
    one, other = same_query(left, right)
    check_aligned([one_row(one)], [one_row(other)], "pair p")
    return one, other


def spelled(tokenizer: Any, ids: Any) -> str:
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


@pytest.mark.parametrize("family", TEMPLATES)
@pytest.mark.parametrize("query", QUERIES)
def test_the_span_is_the_last_user_turn_and_what_follows(family: str, query: str) -> None:
    """TOKENIZERS T5: the longest common end ran back into what the template writes before it.

    The right value: how the template's own text ends, spelled out by the tokenizer.
    """
    tokenizer = make_tokenizer(template=TEMPLATES[family])
    content = query.strip() if family == "llama 3.1" else query
    end = content + AFTER.get(family, "<|eot|>\n<|assistant|>\n")
    prompt = Prompt(style="chat")
    alone, after = (rendered(tokenizer, prompt, query, shown) for shown in ((), SHOWN))
    turns = [{"role": "user", "content": query}]
    own = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert own.endswith(end)
    for got in (alone, after):
        assert got.query == end
        assert got.text.endswith(end)
        tail = spelled(tokenizer, got.ids[got.span[0] :])
        # All of it, and of what stands before at most what is merged into its first token.
        assert tail.endswith(end)
        assert not spelled(tokenizer, got.ids[got.span[0] + 1 :]).endswith(end)
        assert got.span[1] == len(got.ids)
    for left, right in ((alone, after), (after, alone)):
        one, other = aligned(left, right)
        assert one.span == left.span
        assert other.span == right.span


class NoPlaces:
    """A tokenizer that does not tell where its tokens stand, as those written in Python."""

    is_fast = False

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __call__(self, *texts: Any, **more: Any) -> Any:
        assert "return_offsets_mapping" not in more
        return self._inner(*texts, **more)


@pytest.mark.parametrize("family", TEMPLATES)
def test_without_the_places_of_tokens(family: str) -> None:
    """TOKENIZERS T5: then the tokens before the query are tokenised alone, too."""
    tokenizer = make_tokenizer(template=TEMPLATES[family])
    for query in QUERIES:
        for prompt in (Prompt(style="chat"), Prompt(join="string", template="Q: {text}\nA:")):
            for shown in ((), SHOWN):
                found = rendered(tokenizer, prompt, query, shown)
                assert rendered(NoPlaces(tokenizer), prompt, query, shown) == found


def test_a_conversation_is_measured_from_its_last_user_turn() -> None:
    """TOKENIZERS T5: earlier turns are context; an answer behind the turn is not."""
    tokenizer = make_tokenizer(template=TEMPLATES["qwen"])
    said = [("user", "Why?"), ("assistant", "So."), ("user", "Why?"), ("assistant", "Thus.")]
    turns = tuple({"role": role, "content": content} for role, content in said)
    prompt = Prompt(style="chat", generation_prompt=False, query=True)
    write = Renderer(tokenizer, None, "model m")
    (got,) = write([Example("e", "", {}, turns)], prompt)
    end = "Why?<|eot|>\n<|assistant|>\nThus.<|eot|>\n"
    assert got.query == end
    assert spelled(tokenizer, got.ids[got.span[0] :]) == end
    with pytest.raises(DataError, match=r"model m: example e.*has no turn of the user"):
        write([Example("e", "", {}, turns[1:2])], prompt)


@pytest.mark.parametrize(
    "template",
    [
        "<|user|>{{ messages[-1].content | length }} {{ messages[-1].content }}<|eot|>",
        "{% for m in messages %}<|user|>{{ m.content }}<|eot|>{{ m.content }}{% endfor %}",
        "{% for m in messages %}{% if 'so' in m.content %}!{% endif %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{{ m.content | replace('?', ' ?!') }}{% endfor %}",
    ],
)  # fmt: skip
def test_a_query_that_cannot_be_found_is_an_error(template: str) -> None:
    """TOKENIZERS T5: the row is named, and no end is guessed."""
    tokenizer = make_tokenizer(template=template)
    row = Example("e", "but why so?", {}, (), "row 3 of d.jsonl")
    write = Renderer(tokenizer, None, "model m")
    said = r"example e \(row 3 of d.jsonl\): where its last user turn begins"
    with pytest.raises(DataError, match=said):
        write([row], Prompt(style="chat", query=True))
    assert write([row], Prompt(style="chat"))[0].span[0] == 0  # nobody asks where it is


def test_blanks_that_the_template_changes_do_not_matter() -> None:
    """TOKENIZERS T5: what stands around the content is known all the same."""
    tokenizer = make_tokenizer(template=TURNS.replace("m.content", "m.content.split() | join(' ')"))
    got = rendered(tokenizer, Prompt(style="chat"), "Why\n\n so ", SHOWN)
    assert got.query == "Why so<|eot|>\n<|assistant|>\n"


PLAIN: dict[str, Callable[[], Any]] = {
    "bytes": make_tokenizer,
    "no bos": lambda: make_tokenizer(bos=False),
    **{family: lambda family=family: with_blank(family) for family in FAMILIES},
}


@pytest.mark.parametrize("family", PLAIN)
@pytest.mark.parametrize("join", ["pieces", "string"])
@pytest.mark.parametrize("template", ["{text}", "{text}\n", "is {text}"])
@pytest.mark.parametrize("system", [None, "What it is."])
def test_plain_queries_are_the_same_tokens(
    family: str, join: Any, template: str, system: str | None
) -> None:
    """TOKENIZERS T5: the filled template; where one side has a blank before it, or what stands
    before merges with its beginning, no more than the first token of a side is left out."""
    tokenizer = PLAIN[family]()
    prompt = Prompt(template=template, join=join, system=system)
    shown = (Example("d", "What", {"answer": "it?"}),)
    for query in ("What is it.", "Why? What is it", "it"):
        filled = template.format(text=query)
        alone, after = (rendered(tokenizer, prompt, query, one) for one in ((), shown))
        assert alone.query == after.query == filled
        for left, right in ((alone, after), (after, alone)):
            one, other = aligned(left, right)
            mine = one.ids[slice(*one.span)]
            assert mine == other.ids[slice(*other.span)]
            assert one.span[1] == len(one.ids)
            assert filled.endswith(spelled(tokenizer, mine).lstrip(" "))
            whole = [side.ids[slice(*side.span)] for side in (left, right)]
            assert min(map(len, whole)) - len(mine) <= 1
    no_blank = family in ("bytes", "no bos")
    if no_blank and join == "pieces" and family == "bytes":
        assert one.span == left.span  # and then all of it is measured


def test_the_texts_of_two_sides_must_be_the_same() -> None:
    """TOKENIZERS T5: another template is another query, also where the ends are alike."""
    tokenizer = make_tokenizer()
    left = rendered(tokenizer, Prompt(template="A: {text}"), "What is it?")
    right = rendered(tokenizer, Prompt(template="B: {text}"), "What is it?", SHOWN)
    with pytest.raises(ModelError, match=r"Document e: 'A: What is it\?' on the left, 'B: What"):
        aligned(left, right)


@pytest.mark.parametrize(
    ("left", "right", "begins"),
    [
        ((5, 6, 7, 8), (5, 6, 7, 8), (2, 4)),  # clean
        ((9, 6, 7, 8), (5, 6, 7, 8), (3, 5)),  # a blank before one of them
        ((9, 7, 8), (5, 6, 7, 8), (3, 6)),  # merged on the left
        ((5, 6, 7, 8), (9, 8), (5, 5)),  # on the right
        ((5, 6, 7, 8), (5, 9, 7, 8), None),  # another tokenizer
        ((5, 6, 7), (5, 6, 8), None),
    ],
)
def test_no_more_than_a_first_token_may_differ(left: Any, right: Any, begins: Any) -> None:
    """TOKENIZERS T5: with one text on both sides, by hand."""
    one = Tokens("e", (1, 2, *left), (2, 2 + len(left)), "", query="q")
    other = Tokens("e", (1, 2, 3, 4, *right), (4, 4 + len(right)), "", query="q")
    if begins is None:
        with pytest.raises(ModelError, match="do not render the same query"):
            aligned(one, other)
        return
    found = aligned(one, other)
    assert tuple(side.span[0] for side in found) == begins


def test_a_content_that_the_template_writes_too_is_cut_by_its_place() -> None:
    """TOKENIZERS T5, a sibling: the content of a prompt that is cut was looked for from the end,
    where the template's own words were found."""
    tokenizer = make_tokenizer()
    write = Renderer(tokenizer, None, "model m")
    text = "assistant" * 20
    (got,) = write([Example("e", text)], Prompt(style="chat", max_tokens=20))
    assert got.text.startswith("<|bos|><|user|>\nassis")
    assert got.text.endswith("<|eot|>\n<|assistant|>\n")
    (short,) = write([Example("e", "\n")], Prompt(style="chat"))
    (cut,) = write([Example("e", "\n" * 60)], Prompt(style="chat", max_tokens=20))
    assert short.text.count("<|user|>") == cut.text.count("<|user|>") == 1
    assert len(cut.ids) <= 20
