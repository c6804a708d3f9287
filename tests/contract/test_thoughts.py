"""Thought and answer of a completion, apart."""

from __future__ import annotations

import pytest

from harness.contract import KNOWN_MARKS, Completion, Parted, ThoughtMarks, part_text

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


# ── Text of a model whose tokenizer nobody has ───────────────────────────────────────────────────

ANALYSIS = "<|channel|>analysis<|message|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>"
LITERAL = [
    # gpt-oss, decoded with special tokens.
    ("", f"{ANALYSIS}I cannot?<|end|>{FINAL}Sure.<|return|>", ("I cannot?", "Sure.", True)),
    (
        "",
        f"{ANALYSIS}a<|end|><|start|>assistant<|channel|>commentary<|message|>b<|end|>{FINAL}c",
        ("a\nb", "c", True),
    ),
    ("", f"{ANALYSIS}I cannot", ("I cannot", "", False)),
    ("", f"{ANALYSIS}I cannot?<|end|>", ("I cannot?", "", False)),
    ("", f"{FINAL}Sure.<|return|>", ("", "Sure.", True)),
    # The same without them.
    ("", "analysisI cannot?assistantfinalSure.", ("I cannot?", "Sure.", True)),
    ("", "analysis of the question: none.", ("", "analysis of the question: none.", True)),
    # Qwen3; with the empty pair in the prompt; with the thought opened there, as R1 and QwQ.
    ("", "<think>\nI cannot?\n</think>\n\nSure.<|im_end|>", ("I cannot?", "Sure.", True)),
    ("assistant\n<think>\n\n</think>\n\n", "Sure.", ("", "Sure.", True)),
    ("assistant\n<think>\n", "I cannot?\n</think>\n\nSure.", ("I cannot?", "Sure.", True)),
    ("assistant\n<think>\n", "I cannot", ("I cannot", "", False)),
    ("", "I cannot?\n</think>\n\nSure.", ("I cannot?", "Sure.", True)),
    ("", "<think>\nI cannot", ("I cannot", "", False)),
    # Magistral, Gemma 4, Command A, Seed-OSS.
    ("", "[THINK]I cannot?[/THINK]Sure.</s>", ("I cannot?", "Sure.", True)),
    ("", "[THINK]I cannot", ("I cannot", "", False)),
    ("[THINK]", "I cannot", ("I cannot", "", False)),
    ("", "<|channel>thought\nI cannot?<channel|>Sure.<turn|>", ("I cannot?", "Sure.", True)),
    ("", "<|channel>thought\n<channel|>Sure.", ("", "Sure.", True)),
    ("", "<|channel>thought\nI cannot", ("I cannot", "", False)),
    ("", "<|START_THINKING|>a<|END_THINKING|>b", ("a", "b", True)),
    ("", "<seed:think>a</seed:think>b", ("a", "b", True)),
    # Nothing that is only mentioned opens a thought.
    ("", "Write <think> before it.", ("", "Write <think> before it.", True)),
    ("", "", ("", "", True)),
]


@pytest.mark.parametrize(("prompt", "written", "parted"), LITERAL)
def test_text_of_each_family(prompt: str, written: str, parted: tuple[str, str, bool]) -> None:
    """METHODS2, section 7: what each family writes, parted by hand."""
    assert part_text(written, prompt) == Parted(*parted)


def test_every_family_has_a_text() -> None:
    texts = " ".join(prompt + written for prompt, written, _ in LITERAL)
    assert all(all(word in texts for word in words) for words, _ in KNOWN_MARKS)


@pytest.mark.parametrize("text", ["\ud800</think>", "[THINK]" * 1000, "\x00", "analysis" * 9000])
def test_no_text_of_a_server_makes_it_raise(text: str) -> None:
    assert isinstance(part_text(text, text).answer, str)
