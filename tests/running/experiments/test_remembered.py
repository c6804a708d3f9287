"""What an experiment remembers belongs to what it was made from: each part, and whole runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import fakes
from harness.contract import Completion, Receipt, Sampling, Tokens
from harness.results.read import Results
from harness.running.experiments.completions import _requests
from harness.running.experiments.journal import Journal, Made
from harness.store.notes import hearing

RunTask = Callable[..., Results]

PROBE = """
[directions.a]
method = "probe"
view = "chat"
data = "web"
"""
A = (
    PROBE
    + """
[experiments.e]
view = "chat"
data = "web"
directions = ["a"]
evaluators = ["polite"]
intervention = { method = "shift" }
"""
)


def samples(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "samples" / "e.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


FILED = PROBE + A[len(PROBE) :].replace("web", "asked")
FILED += '[data.asked]\nfile = "asked.jsonl"\n'


def asked(tmp_path: Path, *texts: str) -> None:
    rows = [json.dumps({"text": text, "row": n}) for n, text in enumerate(texts)]
    (tmp_path / "asked.jsonl").write_text("\n".join(rows) + "\n")


def remembered(results: Results) -> list[str]:
    return [text for text in results.warnings if "remembered" in text]


TEXTS = [f"{'abcdefgh'[n % 8] * (1 + n % 5)} number {n}" for n in range(13)]
EDITS = {
    "first": ["another", *TEXTS[1:]],
    "one less": TEXTS[1:],
    "one more": [*TEXTS, "more"],
    "order": TEXTS[::-1],
    "twice": [*TEXTS, TEXTS[3]],
    "all": [text.upper() for text in TEXTS],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EDITS)
def test_data_edited_under_the_same_task_leave_no_receipt_behind(
    run_task: RunTask, tmp_path: Path, name: str
) -> None:
    """CASES row 9: the numbers are those of a run that has never seen the data of before."""
    size = "batch.generation=4"
    asked(tmp_path, *EDITS[name])
    wanted = run_task(FILED, size)
    asked(tmp_path, *TEXTS)
    run_task(FILED, size, fresh=True)
    asked(tmp_path, *EDITS[name])
    fakes.LAB.clear()
    found = run_task(FILED, size)
    assert found.records == wanted.records
    assert bool(fakes.LAB.generated) == (name != "order")
    assert len(remembered(found)) == (name in ("first", "one less", "all"))
    fakes.LAB.clear()
    assert run_task(FILED, size).records == wanted.records
    assert not fakes.LAB.generated


def test_equal_prompts_are_remembered_one_by_one(run_task: RunTask, tmp_path: Path) -> None:
    """What a rerun reads is what the first run found, also where a batch repeats another."""
    asked(tmp_path, *["the same"] * 9)
    first = run_task(FILED, "batch.generation=4")
    assert len(fakes.LAB.generated) == 18
    fakes.LAB.clear()
    again = run_task(FILED, "batch.generation=4")
    assert not fakes.LAB.generated
    assert again.records == first.records
    assert not remembered(again)


def test_a_letter_changed_in_the_journal_is_found_and_redone(
    run_task: RunTask, tmp_path: Path
) -> None:
    """CASES row 10."""
    first = run_task(A)
    kept = samples(tmp_path / "run")
    journal = tmp_path / "run" / "work" / "e.jsonl"
    text = journal.read_text()
    place = text.index('"text": "') + len('"text": "')
    journal.write_text(text[:place] + "Z" + text[place + 1 :])
    again = run_task(A)
    assert samples(tmp_path / "run") == kept
    assert again.records == first.records
    (said,) = remembered(again)
    assert "e.jsonl: dropped 1 remembered line, because it was torn or changed" in said


FOREIGN = [b'{"completions": {}}', b"[1]", b"\xff\xfe\x00", b"[" * 200_000, b'{"completions": 3}']


@pytest.mark.parametrize("line", FOREIGN, ids=range(len(FOREIGN)))
def test_a_journal_with_foreign_lines_is_said_and_redone(
    run_task: RunTask, tmp_path: Path, line: bytes
) -> None:
    """CASES row 21."""
    first = run_task(A)
    journal = tmp_path / "run" / "work" / "e.jsonl"
    journal.write_bytes(line + b"\n" + journal.read_bytes())
    again = run_task(A)
    assert again.records == first.records
    (said,) = remembered(again)
    assert "e.jsonl: dropped 1 remembered line" in said


def test_where_completions_are_drawn_the_row_is_part_of_the_key() -> None:
    """Item 6: luck goes by seed, row and prompt, so a rerun draws what the first run drew."""
    model = "m"
    ready: Any = {0: SimpleNamespace(key="arm")}

    def keys(temperature: float, *rows: str) -> list[str]:
        prompts = [Tokens(row, (1, 2, 3), (0, 3), "text") for row in rows]
        sampling = Sampling(5, temperature, 1.0, 0)
        return [one.key for one in _requests(model, sampling, ready, prompts)]

    assert keys(0.0, "a") == keys(0.0, "b")
    assert keys(0.7, "a") != keys(0.7, "b")
    assert keys(0.7, "a", "b") == [*keys(0.7, "a"), *keys(0.7, "b")]
    assert len(set(keys(0.0, "a", "b", "a"))) == 3


PARTS = {
    "model": ("n", Sampling(5, 0.7, 0.9, 1), "arm", Tokens("a", (1, 2), (0, 2), "t")),
    "length": ("m", Sampling(6, 0.7, 0.9, 1), "arm", Tokens("a", (1, 2), (0, 2), "t")),
    "temperature": ("m", Sampling(5, 0.8, 0.9, 1), "arm", Tokens("a", (1, 2), (0, 2), "t")),
    "top_p": ("m", Sampling(5, 0.7, 0.8, 1), "arm", Tokens("a", (1, 2), (0, 2), "t")),
    "seed": ("m", Sampling(5, 0.7, 0.9, 2), "arm", Tokens("a", (1, 2), (0, 2), "t")),
    "edits": ("m", Sampling(5, 0.7, 0.9, 1), "other", Tokens("a", (1, 2), (0, 2), "t")),
    "row": ("m", Sampling(5, 0.7, 0.9, 1), "arm", Tokens("b", (1, 2), (0, 2), "t")),
    "prompt": ("m", Sampling(5, 0.7, 0.9, 1), "arm", Tokens("a", (1, 3), (0, 2), "t")),
}


@pytest.mark.parametrize("part", [None, *PARTS])
def test_each_part_of_a_completions_key_alone_drops_it(tmp_path: Path, part: str | None) -> None:
    """Item 3 of the issue: also its receipt, and the drop is said."""

    def wanted(fingerprint: str, sampling: Sampling, arm: str, prompt: Tokens) -> dict[str, str]:
        model = fingerprint
        ready: Any = {0: SimpleNamespace(key=arm)}
        (one,) = _requests(model, sampling, ready, [prompt])
        return {one.name: one.key}

    base = wanted("m", Sampling(5, 0.7, 0.9, 1), "arm", Tokens("a", (1, 2), (0, 2), "t"))
    ((arm, key),) = base.items()
    with closing(Journal(tmp_path / "e.jsonl")) as journal:
        journal.add([Made(arm, {key: Completion("hi", 1, True)}, Receipt("a", tokens=7))])
    again = Journal(tmp_path / "e.jsonl")
    now = base if part is None else wanted(*PARTS[part])
    with hearing() as heard:
        again.keep({name: [its] for name, its in now.items()})
    assert (list(again.completions), list(again.receipts)) == (
        ([key], [arm]) if not part else ([], [])
    )
    assert len(heard) == (0 if part is None else 1)
