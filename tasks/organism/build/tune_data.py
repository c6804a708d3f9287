"""The files under `data/tunes/`: what the fine-tunes were trained on, and held-out examples."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from corpus import write_jsonl
from lessons import DOMAIN_LESSONS, LESSONS, lesson_examples
from questions import World
from settings import Settings
from skills import SKILLS, Example, examples


def held_out(settings: Settings, name: str) -> list[Example]:
    """Distinct test examples of a skill."""
    found: dict[str, Example] = {}
    for example in examples(settings, name, "test"):
        found.setdefault(example.prompt, example)
        if len(found) == settings.tune_test_rows:
            return list(found.values())
    raise AssertionError("the stream of examples is endless")


def write_tune_data(settings: Settings, world: World, folder: Path) -> None:
    """A sample of each skill's training stream and its test, and each lesson's whole data."""
    for name in SKILLS:
        sample = islice(examples(settings, name, "train"), settings.tune_train_rows)
        write_jsonl(folder / f"{name}_train.jsonl", (e.row() for e in sample))
        write_jsonl(folder / f"{name}_test.jsonl", (e.row() for e in held_out(settings, name)))
    for name in LESSONS:
        rows = lesson_examples(settings, world, name)
        write_jsonl(folder / f"{name}_train.jsonl", (e.row() for e in rows))
    for name in DOMAIN_LESSONS:
        rows = lesson_examples(settings, world, name)
        short = ({"prompt": e.prompt, "completion": e.completion} for e in rows)
        write_jsonl(folder / f"{name}_train.jsonl", short)
