"""Tokens that end a turn: one rule for all families of templates, found by rendering."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness_transformers.chat import end_of_turn, turn_ends
from harness_transformers.model import TransformersModel

from .conftest import TEMPLATE, make_tokenizer

EACH = "{% for m in messages %}"
GEMMA = (
    "{{ bos_token }}" + EACH + "<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
GPT_OSS = (
    EACH + "<|start|>{{ m.role }}{% if m.role == 'assistant' %}<|channel|>final{% endif %}"
    "<|message|>{{ m.content }}{% if m.role == 'assistant' and loop.last %}<|return|>{% else %}"
    "<|end|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
CHATML = (
    EACH + "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_3 = (
    EACH + "<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n"
    "{% endif %}"
)
DEEPSEEK = (
    "{{ bos_token }}" + EACH + "{% if m.role == 'user' %}<｜User｜>{{ m.content }}{% else %}"
    "<｜Assistant｜>{{ m.content }}<｜end▁of▁sentence｜>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜>{% endif %}"
)
OPENCHAT = (  # its headers are plain text
    EACH + "GPT4 Correct {{ m.role }}: {{ m.content }}<|end_of_turn|>{% endfor %}"
    "{% if add_generation_prompt %}GPT4 Correct assistant:{% endif %}"
)
ALTERNATING = "{% if messages[0].role != 'user' %}{{ raise_exception('no') }}{% endif %}"
FAMILIES: dict[str, tuple[str, list[str], list[str]]] = {
    # Its template, all its special tokens, and those that end a turn.
    "gemma": (GEMMA, ["<start_of_turn>", "<end_of_turn>"], ["<end_of_turn>"]),
    "gemma 2": (ALTERNATING + GEMMA, ["<start_of_turn>", "<end_of_turn>"], ["<end_of_turn>"]),
    "gpt-oss": (
        GPT_OSS,
        ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>"],
        ["<|end|>", "<|return|>"],
    ),
    "qwen": (CHATML, ["<|im_start|>", "<|im_end|>"], ["<|im_end|>"]),
    "llama 3": (
        LLAMA_3,
        ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"],
        ["<|eot_id|>"],
    ),
    "deepseek": (
        DEEPSEEK,
        ["<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>"],
        ["<｜end▁of▁sentence｜>"],
    ),
    "openchat": (OPENCHAT, ["<|end_of_turn|>"], ["<|end_of_turn|>"]),
    "words": (EACH + "{{ m.role }}: {{ m.content }}\n{% endfor %}", [], []),
    "refuses all": ("{{ raise_exception('no') }}", ["<|im_end|>"], []),
}


def with_tokens(template: str | None, special: list[str], *, marked: bool = True) -> Any:
    """A byte-level tokenizer with these tokens; `marked`: whether they are special in its file."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({letter: n for n, letter in enumerate(letters)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens(["<s>", "</s>"])
    (inner.add_special_tokens if marked else inner.add_tokens)(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", chat_template=template
    )


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("family", FAMILIES)
def test_what_ends_a_turn(family: str, marked: bool) -> None:
    """TOKENIZERS T15: by hand, from each template; also where the tokens are only added ones."""
    template, special, ends = FAMILIES[family]
    tokenizer = with_tokens(template, special, marked=marked)
    numbers = {tokenizer.convert_tokens_to_ids(name) for name in ends}
    assert turn_ends(tokenizer) == numbers
    # And completions stop where they did: an inner turn of gpt-oss ends none.
    stop = {"gpt-oss": "<|return|>"}.get(family, ends[0] if ends else None)
    assert end_of_turn(tokenizer) == (tokenizer.convert_tokens_to_ids(stop) if stop else None)


def test_without_a_template_there_are_none() -> None:
    """TOKENIZERS T15."""
    assert turn_ends(with_tokens(None, ["<|im_end|>"])) == set()
    assert turn_ends(make_tokenizer(template=TEMPLATE.replace("<|eot|>", ""))) == set()


def test_they_are_masked_and_listed(llama: TransformersModel) -> None:
    """TOKENIZERS T15: measured in some families, masked in others, and nobody was told."""
    assert llama.masked_ids == {0, 1, 2, 6}
    assert llama.masked == {"<|pad|>": 0, "<|bos|>": 1, "<|eos|>": 2, "<|eot|>": 6}
