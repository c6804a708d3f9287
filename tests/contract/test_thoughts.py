"""Thought and answer of a completion, apart."""

from __future__ import annotations

import pytest

from harness.contract import Completion, Parted, ThoughtMarks

THINK = ThoughtMarks.literal("<think>", "</think>")
MAGISTRAL = ThoughtMarks.literal("[THINK]", "[/THINK]")
GEMMA = ThoughtMarks.literal("<|channel>thought\n", "<channel|>")


@pytest.mark.parametrize(
    ("marks", "prompt", "written", "parted"),
    [
        # Qwen3, which opens the thought by itself.
        (THINK, "", "<think>\nI cannot?\n</think>\n\nSure.", ("I cannot?", "Sure.", True)),
        # The same with enable_thinking = false: the empty pair is in the prompt.
        (THINK, "assistant\n<think>\n\n</think>\n\n", "Sure.", ("", "Sure.", True)),
        # DeepSeek-R1, QwQ: the prompt opens it, so only its end is written.
        (THINK, "<think>\n", "I cannot?\n</think>\n\nSure.", ("I cannot?", "Sure.", True)),
        (THINK, "<think>\nOkay, ", "I cannot", ("I cannot", "", False)),
        # The last end counts, not the first.
        (THINK, "", "<think>a</think> b </think>c", ("a</think> b", "c", True)),
        (THINK, "", "<think>a</think>b<think>c", ("a</think>b<think>c", "", False)),
        (THINK, "", "<think>\nI cannot", ("I cannot", "", False)),
        (THINK, "", "Sure.", ("", "Sure.", True)),
        (THINK, "", "", ("", "", True)),
        (THINK, "", "<think></think>", ("", "", True)),
        (MAGISTRAL, "", "[THINK]I cannot?[/THINK]Sure.", ("I cannot?", "Sure.", True)),
        (MAGISTRAL, "", "[THINK]I cannot?", ("I cannot?", "", False)),
        (GEMMA, "", "<|channel>thought\nI cannot?\n<channel|>Sure.", ("I cannot?", "Sure.", True)),
        (GEMMA, "", "<|channel>thought\nI cannot", ("I cannot", "", False)),
    ],
)
def test_thought_and_answer(
    marks: ThoughtMarks, prompt: str, written: str, parted: tuple[str, str, bool]
) -> None:
    """TOKENIZERS T9: what each family writes, parted by hand."""
    assert marks.part(written, prompt) == Parted(*parted)


@pytest.mark.parametrize("text", ["\ud800</think>", "<think>" * 1000, "</think>" * 1000, "\x00"])
def test_no_text_makes_it_raise(text: str) -> None:
    found = THINK.part(text, text)
    assert "</think>" not in found.answer


def test_a_backend_that_knows_of_no_thoughts_says_nothing_of_them() -> None:
    """A completion that is made as before has an answer, and is no reasoning model's."""
    plain = Completion("Sure.", 3, stopped=True)
    assert (plain.thought, plain.finished) == (None, True)
