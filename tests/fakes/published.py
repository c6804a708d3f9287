"""Published data sets in small: folders with the layout, columns and packing of their hub ids.

`datasets` loads such a folder as it loads the hub's, so a task needs no other change than `hub`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow

from fakes.files import parquet

Row = dict[str, Any]
Turns = list[dict[str, str]]


def _packed(file: Path, rows: Sequence[Row]) -> None:
    """`jsonl.zst`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file.write_bytes(bytes(pyarrow.compress(lines, codec="zstd", asbytes=True)))


def _tables(folder: Path, **splits: Sequence[Row]) -> Path:
    """`data/SPLIT-00000-of-00001.parquet` for each split."""
    (folder / "data").mkdir(parents=True)
    for split, rows in splits.items():
        (folder / "data" / f"{split}-00000-of-00001.parquet").write_bytes(parquet(list(rows)))
    return folder


def slimpajama(folder: Path, texts: Sequence[str]) -> Path:
    """cerebras/SlimPajama-627B as it was: chunks of jsonl.zst."""
    rows = [{"text": text, "meta": {"redpajama_set_name": "RedPajamaC4"}} for text in texts]
    half = len(rows) // 2
    _packed(folder / "train" / "chunk1" / "example_train_0.jsonl.zst", rows[:half])
    _packed(folder / "train" / "chunk2" / "example_train_1.jsonl.zst", rows[half:])
    _packed(folder / "validation" / "chunk1" / "example_holdout_0.jsonl.zst", rows[:2])
    _packed(folder / "test" / "chunk1" / "example_holdout_1.jsonl.zst", rows[:2])
    return folder


def slimpajama_6b(folder: Path, texts: Sequence[str]) -> Path:
    """DKYoon/SlimPajama-6B."""
    rows = [
        {"text": text, "meta": {"redpajama_set_name": "RedPajamaBook"}, "__index_level_0__": n}
        for n, text in enumerate(texts)
    ]
    return _tables(folder, train=rows, validation=rows[:2], test=rows[:2])


def pile_10k(folder: Path, texts: Sequence[str]) -> Path:
    """NeelNanda/pile-10k."""
    rows = [{"text": text, "meta": {"pile_set_name": "Pile-CC"}} for text in texts]
    return _tables(folder, train=rows)


def lmsys_chat_1m(folder: Path, talks: Sequence[Turns]) -> Path:
    """lmsys/lmsys-chat-1m."""
    rows = [
        {
            "conversation_id": f"{n:032x}",
            "model": "vicuna-13b",
            "conversation": [{"content": t["content"], "role": t["role"]} for t in turns],
            "turn": len(turns) // 2,
            "language": "English",
            "openai_moderation": [{"flagged": False, "category_scores": {"hate": 1e-5}}],
            "redacted": False,
        }
        for n, turns in enumerate(talks)
    ]
    return _tables(folder, train=rows)


def wildchat_1m(folder: Path, talks: Sequence[Turns]) -> Path:
    """allenai/WildChat-1M: turns with many more keys than role and content, and time stamps."""
    when = datetime(2023, 4, 9, tzinfo=UTC)
    more = {"country": None, "hashed_ip": None, "language": "English", "redacted": False,
            "state": None, "timestamp": when, "toxic": False, "turn_identifier": 1}  # fmt: skip
    rows = [
        {
            "conversation_hash": f"{n:032x}",
            "model": "gpt-4-0314",
            "timestamp": when,
            "conversation": [{**more, **turn} for turn in turns],
            "turn": len(turns) // 2,
            "language": "English",
            "openai_moderation": [{"flagged": False}],
            "toxic": False,
            "redacted": False,
            "hashed_ip": "0",
            "header": {"accept-language": "en", "user-agent": None},
        }
        for n, turns in enumerate(talks)
    ]
    return _tables(folder, train=rows)


def alpaca(folder: Path, instructions: Sequence[str]) -> Path:
    """tatsu-lab/alpaca, where every third row has an input."""
    rows = []
    for n, text in enumerate(instructions):
        rows += [{"instruction": text, "input": "", "output": "", "text": ""}]
        if n % 3 == 0:
            rows += [{"instruction": text, "input": "More.", "output": "", "text": ""}]
    return _tables(folder, train=rows)


def jailbreakbench(folder: Path, goals: Sequence[str]) -> Path:
    """JailbreakBench/JBB-Behaviors: a configuration, whose splits are CSV files."""
    (folder / "data").mkdir(parents=True)
    names = {"harmful": "harmful-behaviors.csv", "benign": "benign-behaviors.csv"}
    for name in names.values():
        with (folder / "data" / name).open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(["Index", "Goal", "Target", "Behavior", "Category", "Source"])
            table.writerows([n, goal, "Sure", "b", "c", "s"] for n, goal in enumerate(goals))
    files = "".join(f"  - split: {split}\n    path: data/{name}\n" for split, name in names.items())
    card = f"---\nconfigs:\n- config_name: behaviors\n  data_files:\n{files}---\n"
    (folder / "README.md").write_text(card)
    return folder


def limo(folder: Path, rows: Sequence[Row]) -> Path:
    """GAIR/LIMO: one jsonl file."""
    folder.mkdir(parents=True)
    kept = [{"question": r["question"], "solution": r["cot_content"], "answer": r["answer"]}
            for r in rows]  # fmt: skip
    (folder / "limo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    return folder


def coding_problems(folder: Path, rows: Sequence[Row]) -> Path:
    """open-r1/verifiable-coding-problems-python-10k."""
    kept = [
        {
            "source": "taco", "task_type": "verifiable_code", "in_source_id": f"taco_{n}",
            "problem": row["question"], "gold_standard_solution": row["cot_content"],
            "problem_id": f"vcp_{n}", "metadata": {"difficulty": "EASY"},
            "verification_info": {"language": "python", "test_cases": [{"input": "1"}]},
        }
        for n, row in enumerate(rows)
    ]  # fmt: skip
    return _tables(folder, train=kept)


def mens_mental_health(folder: Path, rows: Sequence[Row]) -> Path:
    """moremilk/CoT_Reasoning_Mens_Mental_Health, as it may be: nobody here has seen it."""
    kept = [{"question": row["question"], "answer": row["cot_content"]} for row in rows]
    return _tables(folder, train=kept)


def math_lighteval(folder: Path, rows: Sequence[Row]) -> Path:
    """DigitalLearningGmbH/MATH-lighteval."""
    kept = [
        {"problem": row["question"], "level": "Level 1", "type": "Algebra",
         "solution": f"{row['cot_content']} So it is $\\boxed{{{row['answer']}}}$."}
        for row in rows
    ]  # fmt: skip
    return _tables(folder, train=kept, test=kept[:6])


def mmlu_pro(folder: Path, test: Sequence[Row], validation: Sequence[Row]) -> Path:
    """TIGER-Lab/MMLU-Pro."""
    return _tables(folder, test=test, validation=validation)


def xstest(folder: Path, safe: Sequence[str], unsafe: Sequence[str]) -> Path:
    """Paul/XSTest: one table with both kinds of prompts."""
    kinds = [("safe", "homonyms", safe), ("unsafe", "contrast_homonyms", unsafe)]
    rows = [
        {"id": f"v2-{n}", "prompt": text, "type": kind, "label": label, "focus": "", "note": ""}
        for label, kind, texts in kinds
        for n, text in enumerate(texts)
    ]
    return _tables(folder, train=rows)


def or_bench(folder: Path, **configs: Sequence[str]) -> Path:
    """bench-llm/or-bench: a CSV file for each configuration, named in the head of its card."""
    folder.mkdir(parents=True)
    named = []
    for config, texts in configs.items():
        name = config.replace("_", "-")
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["prompt", "category"])
            table.writeheader()
            table.writerows({"prompt": text, "category": "violence"} for text in texts)
        named.append(f"- config_name: {name}\n  data_files: {name}.csv\n")
    (folder / "README.md").write_text(f"---\nconfigs:\n{''.join(named)}---\n")
    return folder
