"""Both sides of a pair read the same ids: special tokens that the template writes count, too."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from harness.contract import Example, Tokens
from harness.errors import ModelError
from harness.running.passes.shards import _check_tokenizers

SPECIAL = ["<|im_start|>", "<|im_end|>"]
EXAMPLES = [Example("a", "Why?"), Example("b", "")]
PROMPT = "<|im_start|>user\nWhy?<|im_end|>\n"


class OnlyTokenizer:
    """As much of a model as has to do with tokens."""

    def __init__(self, special: list[str]) -> None:
        self.inner = Tokenizer(models.BPE())
        self.inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        self.inner.decoder = decoders.ByteLevel()
        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        self.inner.model = models.BPE({char: n for n, char in enumerate(alphabet)}, [])
        self.inner.add_special_tokens(special)

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        return list(self.inner.encode(text, add_special_tokens=special).ids)

    def decode(self, ids: list[int]) -> str:
        return str(self.inner.decode(ids))


def check(right: OnlyTokenizer, prompt: str = PROMPT) -> None:
    views: dict[str, Any] = {"chat": OnlyTokenizer(SPECIAL), "base": right}
    session: Any = SimpleNamespace(view_model=views.__getitem__)
    ids = tuple(views["chat"].encode(prompt))
    prompts = [Tokens(one.id, ids, (0, len(ids)), prompt) for one in EXAMPLES]
    _check_tokenizers(session, "chat", ["base"], EXAMPLES, prompts)


def test_a_tokenizer_without_the_templates_tokens_is_refused() -> None:
    """TOKENIZERS T4, T16: the base model would read ids that mean nothing to it."""
    without = OnlyTokenizer([])
    with pytest.raises(ModelError, match=r"views\.base: its tokenizer is not that of") as caught:
        check(without)
    less = without.encode("<")[0]
    said = f"Document a, token 0 of its prompt: {less} ('<') there, 256 (a special token) here."
    assert said in str(caught.value)


def test_special_tokens_of_other_numbers_are_refused() -> None:
    """TOKENIZERS T4, T16: by their ids, as their words are alike or none."""
    with pytest.raises(ModelError, match=r"prompt: 257 \(a special token\) there, 256 \(a spe"):
        check(OnlyTokenizer(SPECIAL[::-1]))


def test_what_the_prompts_do_not_hold_does_not_matter() -> None:
    """TOKENIZERS T4: neither special tokens that never occur, nor a tokenizer that is the same."""
    check(OnlyTokenizer(SPECIAL))
    check(OnlyTokenizer([]), prompt="Why? So.")
