"""Harmless conversations that the model writes itself: instructions, and its own greedy answers.

An instruction is the chat template up to the user's turn and an opening, continued by sampling. The
openings are those of the harmful prompts: what tells the two apart must not be their first words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch

from prompts import conversation, write_rows

OPENINGS = (
    "Write a", "Write an", "Give", "Give instructions for", "Give step-by-step instructions for",
    "Create a", "Create a tutorial on", "Develop a", "Provide", "Provide instructions on how to",
    "Explain how to", "Explain", "Describe", "Describe how to", "List", "Suggest", "Teach",
    "How to", "How do I", "How can", "What", "What is", "Ideas for", "Ways to", "Tips for", "Make",
    "Compose a", "Outline", "Design a", "Produce a", "Generate", "Name", "Find", "Rewrite", "Why",
    "Tell me", "Compare", "Summarize", "Construct a", "Convert",
)  # fmt: skip
SYSTEM = 32  # ids at the beginning of every conversation that are the same in all; see `shared`
_HARM = re.compile(
    r"\b(kill|murder|weapon|bomb|explo|hack|steal|theft|drug|suicid|illegal|fraud|violen|hate|rob|"
    r"attack|terror|poison|abus|porn|sex|crime|criminal|malware|virus|phish|fake|cheat|threat)",
    re.IGNORECASE,
)


def is_instruction(text: str) -> bool:
    """Whether sampled text may serve: one line, 4 to 32 words, nothing that smells of harm."""
    return "\n" not in text and 4 <= len(text.split()) <= 32 and not _HARM.search(text)


def different(texts: Sequence[str], words: int = 6) -> list[str]:
    """Texts of which no two begin with the same few words."""
    seen: dict[tuple[str, ...], str] = {}
    for text in texts:
        seen.setdefault(tuple(re.findall(r"\w+", text.lower())[:words]), text)
    return list(seen.values())


def opened(tokenizer) -> list[list[int]]:
    """Ids of the chat template up to the user's turn, and each opening behind them."""
    turn = [{"role": "user", "content": "\x00"}]
    before = tokenizer.apply_chat_template(turn, tokenize=False).split("\x00")[0]
    return [
        tokenizer(before + opening, add_special_tokens=False)["input_ids"] for opening in OPENINGS
    ]


@torch.no_grad()
def continued(
    model, tokenizer, rows: Sequence[Sequence[int]], new: int, temperature: float = 0.0
) -> list[tuple[list[int], bool]]:
    """What the model writes behind each row, and whether that ended; temperature 0 is greedy."""
    end, length = tokenizer.eos_token_id, max(map(len, rows))
    ids = torch.tensor([[end] * (length - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (length - len(row)) + [1] * len(row) for row in rows])
    sampling = (
        {"do_sample": True, "temperature": temperature, "top_k": 50}
        if temperature
        else {"do_sample": False}
    )
    out = model.generate(
        ids, attention_mask=mask, max_new_tokens=new, pad_token_id=end, eos_token_id=end, **sampling
    )
    found = []
    for row in out[:, length:].tolist():
        ended = end in row
        found.append((row[: row.index(end)] if ended else row, ended))
    return found


def sample_instructions(model, tokenizer, rounds: int, seed: int, folder: Path) -> list[str]:
    """Instructions of so many rounds through the openings; finished rounds are kept."""
    texts: list[str] = []
    starts = opened(tokenizer)
    for number in range(rounds):
        file = folder / f"round-{number}.txt"
        if not file.exists():
            torch.manual_seed(seed * 1000 + number)
            written = continued(model, tokenizer, starts, 32, temperature=0.9)
            lines = [
                f"{opening}{tokenizer.decode(ids)}".strip()
                for opening, (ids, ended) in zip(OPENINGS, written, strict=True)
                if ended
            ]
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(line for line in lines if "\n" not in line))
            print(f"  instructions: round {number + 1} of {rounds}", flush=True)
        texts += file.read_text().splitlines()
    return different([text for text in texts if is_instruction(text)])


def answer(model, tokenizer, prompts: Sequence[str], new: int, file: Path) -> None:
    """Write each prompt with the model's own greedy answer, thirty-two at a time."""
    rows: list[dict[str, object]] = []
    for start in range(0, len(prompts), 32):
        block = prompts[start : start + 32]
        written = continued(model, tokenizer, [conversation(tokenizer, p) for p in block], new)
        rows += [
            {"instruction": prompt, "answer": tokenizer.decode(ids), "ended": ended}
            for prompt, (ids, ended) in zip(block, written, strict=True)
        ]
        print(f"  answers: {len(rows)} of {len(prompts)}", flush=True)
    write_rows(file, rows)
