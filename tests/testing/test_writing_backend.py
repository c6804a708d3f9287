"""A backend that only answers, as docs/plugins.md writes it: its laws, `check`, and a run."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Activations, Arm, Example, Site
from harness.errors import ModelError
from harness.results.read import load_results
from harness.testing import check_backend
from harness.testing.support.laws import missed_laws
from pages import ROOT, blocks

EXAMPLES = [Example("1", "Tell me a story"), Example("2", "Tell me a long sad story now")]
HOOK = """
from harness.contract import Component, hookimpl

@hookimpl
def harness_components():
    return [Component(kind="backend", name="parrot", summary="repeats a word",
                      load="parrot_backend:Parrot", options="parrot_backend:ParrotOptions")]
"""
TASK = """
name = "parrot"
[models.parrot]
backend = "parrot"
{option}
[views.plain]
model = "parrot"
[data.rows]
file = "rows.jsonl"
[experiments.says]
view = "plain"
data = "rows"
evaluators = ["substrings"]
"""
ROWS = ["Say I cannot", "Please help", "Say it again: sorry"]


@pytest.fixture
def parrot(fake_dist: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module of docs/plugins.md, installed as a plugin."""
    folder = fake_dist("parrot-harness", HOOK)
    (code,) = (
        block.text
        for block in blocks(ROOT / "docs" / "plugins.md")
        if block.of == "parrot_harness/backend.py"
    )
    (folder / "parrot_backend.py").write_text(code, encoding="utf-8")
    yield importlib.import_module("parrot_backend")
    sys.modules.pop("parrot_backend", None)


@pytest.fixture
def written(tmp_path: Path, parrot: Any) -> Callable[..., Path]:
    def written(more: str = "", option: str = "") -> Path:
        rows = "".join(json.dumps({"text": row}) + "\n" for row in ROWS)
        (tmp_path / "rows.jsonl").write_text(rows)
        (tmp_path / "parrot.toml").write_text(TASK.format(option=option) + more)
        return tmp_path / "parrot.toml"

    return written


# ── Laws ─────────────────────────────────────────────────────────────────────────────────────────


def test_laws_that_do_not_apply_are_not_tried(parrot: Any) -> None:
    model = parrot.Parrot(parrot.ParrotOptions()).load()
    with missed_laws() as missed:
        check_backend(model, EXAMPLES)
    assert missed["capture sees edits"] == (
        "the model does not offer activations, logits and edits"
    )
    assert missed["padding and batch change nothing"] == "the model does not offer activations"
    for tried in ("rendering is deterministic", "completions do not depend on the batch",
                  "what is not offered is refused"):  # fmt: skip
        assert tried not in missed


def test_the_laws_that_apply_are_tried(parrot: Any) -> None:
    model = parrot.Parrot(parrot.ParrotOptions())
    loaded = model.load()

    class Batched(type(loaded)):  # type: ignore[misc]
        def generate(self, tokens: Any, sampling: Any) -> Any:
            found = super().generate(tokens, sampling)
            return [replace(one, text=f"{one.text}{len(tokens)}") for one in found]

    class Handing(type(loaded)):  # type: ignore[misc]
        def generate_each(self, tokens: Any, sampling: Any, keep: Any) -> None:
            for index, one in enumerate(self.generate(tokens, sampling)[:-1]):
                keep(index, one)

    class Silent(type(loaded)):  # type: ignore[misc]
        def activations(self, *given: Any, **more: Any) -> Any:
            return Activations({}, ())

    class Rough(type(loaded)):  # type: ignore[misc]
        def encode(self, text: str, *, special: bool = True) -> Any:
            raise NotImplementedError

    for kind, broken in (
        (Batched, "completions do not depend on the batch"),
        (Handing, "what is handed over one by one is the same"),
        (Silent, "what is not offered is refused: activations is not among"),
        (Rough, "what is not offered is refused: tokens: NotImplementedError"),
    ):
        with pytest.raises(AssertionError, match=f"law broken: {broken}"):
            check_backend(kind(parrot.ParrotOptions()), EXAMPLES)


def test_what_it_lacks_is_refused_in_words(parrot: Any) -> None:
    model = parrot.Parrot(parrot.ParrotOptions()).load()
    for call in (
        lambda: model.activations([], [Site("embed")]),
        lambda: model.edited([Arm("none")]),
        lambda: model.encode("a"),
        lambda: model.decode([1]),
    ):
        with pytest.raises(ModelError, match=r"cannot be had of it. Allowed: generation. Use a"):
            call()


# ── In a task ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_a_task_with_it_runs(
    written: Callable[..., Path], said: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    task, out = written(), tmp_path / "run"
    assert said("check", task)[0] == 0
    code, screen, complaint = said("eval", task, "--out", out)
    assert code == 0, complaint
    scores = [one for one in load_results(out).records if one.id.startswith("refusal_score")]
    assert {(one.axes["direction"], one.n) for one in scores} == {("none", 3)}
    samples = (out / "samples" / "says.jsonl").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in samples.splitlines()]
    assert [line["completion"] for line in lines] == ["cannot cannot .", "help help .",
                                                      "sorry sorry ."]  # fmt: skip
    usage = load_results(out).provenance["usage"]["total"]
    assert (usage["completions"], usage["completion_tokens"], usage["tokens"]) == (3, 9, 0)
    code, screen, complaint = said("plan", task)
    assert code == 0, complaint
    assert "models.parrot: runs elsewhere" in screen


def test_check_refuses_a_pair_of_it(
    written: Callable[..., Path], said: Callable[..., tuple[int, str, str]]
) -> None:
    pair = '[pairs.two]\nleft = "plain"\nright = "plain"\ndata = "rows"\n'
    code, _, complaint = said("check", written(pair))
    assert code == 2
    assert "pairs.two.left: a pair needs activations of a model, and parrot has none" in complaint
    assert "Also at: pairs.two.right." in complaint
