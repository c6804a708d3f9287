"""Where the parts of a prompt stand: what is asked, what closes it, and what is answered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.contract import Example, Prompt, PromptPart, Stream, Tokens, Where
from harness.errors import BadRows, ModelError
from harness.running.reading.rows import measured, one_row
from harness_transformers.render import Renderer

from .conftest import make_tokenizer
from .test_query import AFTER, QUERIES, TEMPLATES, NoPlaces, spelled

BOTH: tuple[PromptPart, ...] = ("asked", "answered")
CHAT = Prompt(style="chat", generation_prompt=True)


def render(tokenizer: Any, prompt: Prompt, example: Example, *places: PromptPart) -> Tokens:
    wanted = Prompt(**{**vars(prompt), "places": places})
    return Renderer(tokenizer, None, "model m")([example], wanted)[0]


def talk(*contents: str) -> Example:
    roles = ["user", "assistant"] * len(contents)
    turns = [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    return Example("e", "\n".join(contents), {}, tuple(turns))


def kept(tokens: Tokens, which: Any, masked: frozenset[int] = frozenset()) -> list[int]:
    stream = Stream("s", "view", "data", tokens=which, where=Where(skip_first=0))
    return [int(i) for i in measured([one_row(tokens)], stream, masked).ids]


@pytest.mark.slow
@pytest.mark.parametrize("places", [True, False])
@pytest.mark.parametrize("family", TEMPLATES)
@pytest.mark.parametrize("query", QUERIES)
def test_what_closes_a_prompt_is_all_behind_what_is_asked(
    family: str, query: str, places: bool
) -> None:
    """The right value: how the template's own text ends. A token that holds both is asked."""
    tokenizer = make_tokenizer(template=TEMPLATES[family])
    reader = tokenizer if places else NoPlaces(tokenizer)
    end = AFTER.get(family, "<|eot|>\n<|assistant|>\n")
    content = query.strip() if family == "llama 3.1" else query
    got = render(reader, CHAT, Example("e", query), "asked")
    assert got.asked is not None
    start, stop = got.asked
    closing = spelled(tokenizer, kept(got, "closing"))
    assert end.endswith(closing)
    assert len(spelled(tokenizer, got.ids[stop - 1 :])) > len(end)
    assert content in spelled(tokenizer, got.ids[start:stop])
    assert content not in spelled(tokenizer, got.ids[start + 1 : stop])
    assert got.answered is None
    assert got.span == (0, len(got.ids))


@pytest.mark.parametrize("family", TEMPLATES)
def test_an_answer_is_the_last_turn_alone_and_ends_what_closes(family: str) -> None:
    tokenizer = make_tokenizer(template=TEMPLATES[family])
    row = talk("Why", "So.", "What is it?", "assistant")
    got = render(tokenizer, CHAT, row, *BOTH)
    assert spelled(tokenizer, kept(got, "answer")).strip() == "assistant"
    assert got.asked is not None
    assert got.answered is not None
    between = spelled(tokenizer, kept(got, "closing"))
    _, found, behind = spelled(tokenizer, got.ids).partition(f"What is it?{between}")
    assert found
    assert behind.lstrip().startswith("assistant")
    # Asked for alone, an answer still ends what closes the prompt.
    assert kept(render(tokenizer, CHAT, row, "asked"), "closing") == kept(got, "closing")


def test_what_is_never_measured_is_not_in_an_answer_either() -> None:
    tokenizer = make_tokenizer(template=TEMPLATES["chatml"])
    got = render(tokenizer, CHAT, talk("Why", "So. Why"), *BOTH)
    every = kept(got, "answer")
    assert len(every) > 1
    assert kept(got, "answer", frozenset(every[:1])) == [one for one in every if one != every[0]]


def test_other_tokens_are_the_same_whether_places_are_told_or_not() -> None:
    tokenizer = make_tokenizer(template=TEMPLATES["qwen"])
    row = talk("Why", "So.")
    told, untold = render(tokenizer, CHAT, row, *BOTH), render(tokenizer, CHAT, row)
    assert (told.ids, told.span, told.text) == (untold.ids, untold.span, untold.text)
    for which in ("all", "last"):
        assert kept(told, which) == kept(untold, which)


@pytest.mark.parametrize("join", ["pieces", "string"])
@pytest.mark.parametrize(
    ("template", "closing"),
    [("{text}", ""), ("Q: {text}\nA:", "\nA:"), ("Say {text} and {more}.", "."), ("No", "")],
    ids=["bare", "question", "two", "none"],
)
def test_a_plain_prompt_closes_with_what_its_template_ends_in(
    template: str, closing: str, join: Any
) -> None:
    tokenizer = make_tokenizer()
    prompt = Prompt(template=template, join=join)
    got = render(tokenizer, prompt, Example("e", "Why", {"more": "What is it?"}), "asked")
    assert spelled(tokenizer, kept(got, "closing")) == closing


@pytest.mark.parametrize("most", range(6, 14))
def test_what_is_cut_is_cut_of_its_part(most: int) -> None:
    tokenizer = make_tokenizer(template=TEMPLATES["chatml"])
    prompt = Prompt(style="chat", max_tokens=most)
    try:
        got = render(tokenizer, prompt, Example("e", "What is it? Why. So. Why."), "asked")
    except BadRows:
        return
    assert len(got.ids) <= most
    assert spelled(tokenizer, kept(got, "closing")) == "<|eot|>\n<|assistant|>\n"


def test_rows_without_an_answer_are_refused_by_name() -> None:
    tokenizer = make_tokenizer(template=TEMPLATES["chatml"])
    with pytest.raises(BadRows, match="does not end with an answer"):
        render(tokenizer, CHAT, talk("Why"), "answered")
    with pytest.raises(BadRows, match="a plain prompt holds no answer"):
        render(tokenizer, Prompt(), Example("e", "Why"), "answered")


def test_what_predicts_an_answer_stands_one_before_it() -> None:
    """Also the last token of the template, which predicts the answer's first one."""
    tokenizer = make_tokenizer(template=TEMPLATES["chatml"])
    got = render(tokenizer, CHAT, talk("What is it?", "So it is."), "answered")
    assert got.answered is not None
    start, end = got.answered
    assert end - start > 2
    masked = frozenset({got.ids[end - 1]} - set(got.ids[: end - 1]))
    assert len(masked) == 1
    assert kept(got, "predicting", masked) == list(got.ids[start - 1 : end - 2])
    assert kept(got, "answer", masked) == list(got.ids[start : end - 1])


@pytest.mark.parametrize("which", ["closing", "answer", "predicting"])
def test_a_backend_that_tells_no_place_is_named(which: str) -> None:
    tokens = Tokens("e", tuple(range(5)), (0, 5), json.dumps("text"))
    with pytest.raises(ModelError, match="does not tell where in a prompt"):
        kept(tokens, which)
