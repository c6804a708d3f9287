"""Blanks at the end of a template's literal: said by `check`, and what they become."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from harness.contract import Example, Prompt
from harness.task.literals import lone_blanks
from harness.task.spec import TaskSpec

DRIFT = Path(__file__).parents[2] / "tasks" / "drift.toml"


def said_of(**prompt: Any) -> list[str]:
    views = {"v": {"model": "m", "prompt": prompt}}
    spec = {"name": "t", "title": "t", "models": {"m": {}}, "views": views}
    return list(lone_blanks(TaskSpec.model_validate(spec)))


@pytest.mark.parametrize(
    ("template", "mend"),
    [
        ("Question: {question}", "Write 'Question:', and let the column begin with the blank"),
        (" {b}", "Leave it out, and let the column begin with the blank"),
        ("{a} {b}", "Leave it out, and let the column begin with the blank"),
        ("{question}\nAnswer: ", r"Write '\nAnswer:': an answer begins with a blank of its own"),
        ("Q:\t{question}", "Write 'Q:'"),
    ],
)
def test_a_literal_that_ends_in_a_blank(template: str, mend: str) -> None:
    """TOKENIZERS T11."""
    (note,) = said_of(template=template)
    assert note.startswith("views.v.prompt.template: ")
    assert mend in note
    assert 'or set join = "string"' in note
    assert said_of(template=template, join="string") == []
    assert said_of(template=template, style="chat") == []


@pytest.mark.parametrize("template", ["{text}", "Question:\n{q}\n", "Q:{q}", "{q", "{{ }}"])
def test_others_are_fine(template: str) -> None:
    """TOKENIZERS T11."""
    assert said_of(template=template) == []


def test_check_says_it(said: Callable[..., tuple[int, str, str]]) -> None:
    """TOKENIZERS T11."""
    code, out, _ = said("check", DRIFT, "--set", "views.base.prompt.template='Text: {text}'")
    assert code == 0
    assert "note: views.base.prompt.template: 'Text: ' ends in a blank" in " ".join(out.split())


def test_what_becomes_of_the_blank_and_what_is_advised() -> None:
    """TOKENIZERS T11: with a vocabulary that has the blank in its words, as byte-level ones do."""
    from transformers import PreTrainedTokenizerFast

    from harness_transformers.render import Renderer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["is", "Ġis"]
    inner = Tokenizer(
        models.BPE({one: n for n, one in enumerate([*letters, *words])}, [("i", "s"), ("Ġ", "is")])
    )
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner)
    write = Renderer(tokenizer, None, "m")

    def tokens(text: str, **prompt: Any) -> list[str]:
        (got,) = write([Example("e", text)], Prompt(**prompt))
        return list(tokenizer.convert_ids_to_tokens(list(got.ids)))

    right = tokenizer.convert_ids_to_tokens(tokenizer("Q: is").input_ids)
    assert right == ["Q", ":", "Ġis"]
    assert tokens("is", template="Q: {text}") == ["Q", ":", "Ġ", "is"]
    assert tokens(" is", template="Q:{text}") == right
    assert tokens("is", template="Q: {text}", join="string") == right
