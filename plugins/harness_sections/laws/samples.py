"""What the laws are tried on, by `harness plugins check`: a small run, for every section."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from harness.contract import Record, Results, SectionOptions
from harness.testing import check_section

TASK = {
    "name": "small",
    "models": {"base": {"path": "base"}, "chat": {"path": "chat"}},
    "experiments": {"refusal": {"view": "chat", "data": "asked", "evaluators": ["substrings"]}},
    "gates": {"met": {"assert": "l0@1 >= 1"}, "missed": {"assert": "l0@1 >= 1000"}},
}
ROWS = [
    {"experiment": "refusal", "direction": direction, "example": example, "text": "how?",
     "prompt": "how?", "completion": said, "tokens": 2, "stopped": True,
     "verdicts": {"substrings": {"refusal": said == "I cannot"}}}
    for example in ("a", "b")
    for direction, said in (("none", "I cannot"), ("refusal", "Sure <b>"))
]  # fmt: skip


def _records() -> Iterator[Record]:
    for layer in range(3):
        site = {"site": f"resid_post.{layer}", "pair": "web", "sae": "mid", "data": "web"}
        for id, value, unit in (
            ("cosine.raw@1", 0.9 - 0.1 * layer, "cosine"),
            ("explained_ratio.pooled@1", 0.8, "ratio"),
            ("intersection_ratio.pooled@1", 0.7, "ratio"),
            ("fvu.pooled@1", 0.2, "ratio"),
            ("l0@1", 30.5, "latents"),
        ):
            yield Record(id, value, 100, "tokens", unit, ci=(value, value), axes=site)
    for direction, value in (("none", 1.0), ("refusal", 0.0)):
        axes = {"experiment": "refusal", "direction": direction, "evaluator": "substrings"}
        yield Record("refusal@1", value, 2, "prompts", "share", ci_why="too few", axes=axes)
        yield Record("edit.relative_change@1", value, 2, "tokens", "ratio", ci_why="-", axes=axes)
    what = {"undefined": "no token was measured", "axes": {"analysis": "answer"}}
    yield Record("accuracy@1", None, 0, "questions", "share", **what)  # type: ignore[arg-type]


def small_run() -> Results:
    """Three layers, two arms with their completions, and a number that is undefined."""
    tables: Mapping[str, Any] = {
        "completions": ROWS,
        "shift.features": [{"sae": "mid", "feature": 3, "score": 1.5, "pair": "web"}],
    }
    provenance = {"harness": "1", "python": "3", "models": {"base": {"fingerprint": "x"}}}
    return Results("complete", TASK, provenance, tuple(_records()), tables=tables)


def of(load: str) -> Callable[[Path], Iterator[partial[None]]]:
    """The samples of the section that `load` names: itself, on the small run."""
    module, _, name = load.partition(":")

    def samples(folder: Path) -> Iterator[partial[None]]:
        section = getattr(import_module(f"harness_sections.{module}"), name)(SectionOptions())
        yield partial(check_section, section, small_run())

    return samples


def __getattr__(name: str) -> Callable[[Path], Iterator[partial[None]]]:
    """The samples of the section of that name."""
    from harness_sections.plugin import SECTIONS

    if name not in SECTIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return of(SECTIONS[name][0])
