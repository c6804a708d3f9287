"""Tokenizers that write a blank before every text, and prompts that are joined from pieces."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness.contract import Example, Prompt
from harness_transformers.render import Renderer

from .conftest import make_tokenizer

FAMILIES = ("mistral", "llama 2", "always", "add_prefix_space")
BLANK = "▁"
WORDS = ["What", "is", "it", "ab"]


def tokenizer(family: str) -> Any:
    """As small as it gets: characters, bytes for all others, some merges, a prefix blank."""
    if family == "add_prefix_space":
        made = make_tokenizer()
        made.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        return made
    letters = sorted({BLANK, *"abcdefghijklmnopqrstuvwxyzW.?:\n"} - {"\n"})
    words, merges = [], []
    for word in [*WORDS, *(BLANK + word for word in WORDS)]:
        for end in range(2, len(word) + 1):
            if word[:end] not in words:
                words.append(word[:end])
                merges.append((word[: end - 1], word[end - 1]))
    vocabulary = ["<unk>", "<s>", "</s>", *(f"<0x{n:02X}>" for n in range(256)), *letters, *words]
    inner = Tokenizer(
        models.BPE(
            {piece: n for n, piece in enumerate(vocabulary)},
            merges,
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    ends = [decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    inner.decoder = decoders.Sequence([decoders.Replace(BLANK, " "), *ends])
    if family == "llama 2":
        inner.normalizer = normalizers.Sequence(
            [normalizers.Prepend(BLANK), normalizers.Replace(" ", BLANK)]
        )
    else:
        scheme = "always" if family == "always" else "first"
        inner.pre_tokenizer = pre_tokenizers.Metaspace(BLANK, prepend_scheme=scheme, split=False)
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text", ["What is it.", "it", ".", "is it", " ab", "é ab"])
def test_pieces_decode_to_the_text(family: str, text: str) -> None:
    """TOKENIZERS T6: no blank before a piece but the first, as the text has none."""
    made = tokenizer(family)
    shown = (Example("d", "What", {"answer": "it"}),)
    for template in ("{text}\n", "{text}. \n", "\n{text}"):
        for demonstrations in ((), shown):
            prompt = Prompt(template=template, demonstrations=demonstrations)
            (got,) = Renderer(made, None, "m")([Example("e", text)], prompt)
            ids = got.ids[1:] if got.ids[0] == made.bos_token_id else got.ids
            # The first piece keeps the blank of every text; the decoder drops that one alone.
            decoded = made.decode(ids, clean_up_tokenization_spaces=False)
            assert decoded.removeprefix(" ") == got.text.removeprefix(" ")
            if not demonstrations and template.startswith("{text}"):
                end = template.removeprefix("{text}")
                bare = tuple(made(text, add_special_tokens=False).input_ids)
                assert ids[: len(bare)] == bare
                # By the vocabulary itself: the separator's own characters and nothing before them.
                tail = [made.convert_ids_to_tokens(i) for i in ids[len(bare) :]]
                separator = {
                    "\n": ["Ċ"] if family == "add_prefix_space" else ["<0x0A>"],
                    ". \n": [".", "Ġ", "Ċ"] if family == "add_prefix_space" else
                    [".", BLANK, "<0x0A>"],
                }[end]  # fmt: skip
                assert "".join(tail) == "".join(separator)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_whole_as_one_string_is_as_the_tokenizer_has_it(family: str) -> None:
    """TOKENIZERS T6: `join = "string"`, and a prompt of one piece, stay the tokenizer's own."""
    made = tokenizer(family)
    for prompt, text in (
        (Prompt(), "ab"),
        (Prompt(template="{text}. \n", join="string"), "ab. \n"),
    ):
        (got,) = Renderer(made, None, "m")([Example("e", "ab")], prompt)
        assert got.ids[-1] == made(text).input_ids[-1]
        bare = tuple(made(text, add_special_tokens=False).input_ids)
        assert got.ids[len(got.ids) - len(bare) :] == bare


def test_others_have_no_blank_to_leave_out() -> None:
    """TOKENIZERS T6: a byte-level tokenizer is asked once a piece, as before."""
    assert Renderer(make_tokenizer(), None, "m")._before is None
