"""Texts as tokens and back."""

from __future__ import annotations

import warnings

import pytest

from harness.testing.evaluator import HOSTILE
from harness_transformers.model import TransformersModel


def test_special_tokens_are_put_around_a_text_or_not(llama: TransformersModel) -> None:
    text = "Tell me how to bake a small cake.\nWhy?"
    bare = llama.encode(text, special=False)
    assert llama.encode(text) == [1, *bare]
    assert llama.encode(text) == llama.tokenizer(text).input_ids
    assert llama.encode("") == [1]
    assert llama.encode("", special=False) == []


@pytest.mark.parametrize("text", ["a  b ,c", " Tell me ! ", "\n\n?", "né 🙂 '' n't", "\x00\x07"])
def test_a_text_comes_back_as_it_was(llama: TransformersModel, text: str) -> None:
    assert llama.decode(llama.encode(text)) == text


def test_special_tokens_are_left_out(llama: TransformersModel) -> None:
    assert llama.decode([1, 3, *llama.encode("cake", special=False), 6, 2, 0]) == "cake"
    assert llama.decode([]) == ""
    assert llama.encode("<|eos|>cake", special=False)[0] == 2  # as everywhere with transformers


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:10]))
def test_any_text_has_tokens(llama: TransformersModel, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ids = llama.encode(text)
    assert all(type(token) is int for token in ids)
    assert isinstance(llama.decode(ids), str)


def test_half_a_character_becomes_a_replacement(llama: TransformersModel) -> None:
    assert llama.decode(llama.encode("a\ud800b")) == "a\ufffdb"
    assert llama.decode(llama.encode("\ud83d\ude42")) == "🙂"  # both halves make one


def test_long_texts_are_not_advised_against(
    llama: TransformersModel, capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(llama.encode("very " * 10_000)) > 10_000
    assert capfd.readouterr() == ("", "")
