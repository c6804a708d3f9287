"""Item 3 of the issue: each part of a key alone drops what was remembered, and nothing else does.

The parts are those of the code's own key types. Each is changed by what a person can change: an
option, a row, the weights of a model, a version that was installed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

import fakes
from fakes.running import bare
from harness.contract import Record
from harness.errors import UsageError
from harness.planning.planner import plan
from harness.registry import Registry
from harness.results.read import Results
from harness.running.experiments.benchmarks import BenchmarkKey
from harness.running.experiments.completions import CompletionKey
from harness.running.passes.key import StateKey
from harness.running.runner import run
from harness.task.file import read_source
from harness.task.resolve import resolve

TASK = """
[preflight]
data = "web"
fvu = "loss"
also = []
fvu_max = 9
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
[metrics.active]
pair = "p"
[directions.before]
method = "probe"
view = "base"
data = "web"
[directions.after]
method = "probe"
view = "base"
data = "web"
start = "before"
[data.more]
file = "more.jsonl"
[statistics.t]
method = "tally"
view = "base"
data = "web"
more = "more"
site = "resid_post.1"
sae = "mid"
[evaluators.quiz]
[experiments.e]
view = "chat"
data = "web"
directions = ["after"]
evaluators = ["quiz", "polite"]
intervention = { method = "shift" }
generation = { max_new_tokens = 4, temperature = 0.7 }
"""
ROWS = ["one", "row", "after", "another", "and", "more"]
Key = StateKey | BenchmarkKey | CompletionKey


@dataclass(frozen=True)
class Case:
    """What a person changes, and which parts of the keys change with it."""

    parts: str
    overrides: tuple[str, ...] = ()
    web: tuple[str, ...] | None = None
    """Other rows of `web`."""
    note: str = ""
    """What stands beside the text in each row of `web`."""
    version: str = "1"
    """Of the plugin."""
    plugin: str = "fake"
    """Its name."""
    harness: str = "1"
    """The version of the harness."""


@dataclass
class Lived:
    """What a run has looked up and done."""

    keys: dict[str, list[Key]]
    records: list[Record]
    forwards: int
    generated: int


Live = Callable[..., Lived]


@pytest.fixture
def live(
    write: Callable[..., Path],
    registry: Registry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Live:
    """Runs the task in `out`, whatever task ran there before, and counts what is done anew."""
    heard: list[Key] = []
    for kind in (StateKey, BenchmarkKey, CompletionKey):
        monkeypatch.setattr(kind, "__str__", _heard(kind, heard))

    def live(case: Case, out: str = "run", text: str = TASK, name: str = "task.toml") -> Lived:
        if (tmp_path / out / ".task").exists():
            (tmp_path / out / ".task").write_text("of no task\n")
        fakes.LAB.clear()
        heard.clear()
        with monkeypatch.context() as patched:
            patched.setattr("harness.running.passes.key.__version__", case.harness)
            file = write(text, name)
            for data, rows in (("more", ROWS), ("web", case.web or fakes.WEB)):
                lines = [json.dumps({"text": row, "note": case.note}) for row in rows]
                (file.parent / f"{data}.jsonl").write_text("\n".join(lines) + "\n")
            (plugin,) = registry.plugins
            plugins = (replace(plugin, version=case.version, name=case.plugin),)
            known = Registry(plugins, registry.disabled)
            task = resolve(read_source(file, case.overrides), known)
            found = run(plan(task), known, tmp_path / out)
        keys: dict[str, list[Key]] = {}
        for key in heard:
            keys.setdefault(type(key).__name__, []).append(key)
        return Lived(keys, bare(list(found.records)), fakes.LAB.forwards, len(fakes.LAB.generated))

    return live


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Case, Lived]]:
    """What one run is enough for: the folder in which all go on, and what a run of its own made."""
    return tmp_path_factory.mktemp("once") / "run", {}


@pytest.fixture
def first(live: Live, once: tuple[Path, dict[Case, Lived]], tmp_path: Path) -> Lived:
    """A run of the unchanged task, whose folder is `run`."""
    folder, lives = once
    if folder.exists():
        shutil.copytree(folder, tmp_path / "run")
    else:
        lives[Case("")] = live(Case(""))
        shutil.copytree(tmp_path / "run", folder)
    return lives[Case("")]


def _heard(kind: type[Any], heard: list[Key]) -> Callable[[Any], str]:
    text = kind.__str__

    def spoken(self: Key) -> str:
        heard.append(self)
        return str(text(self))

    return spoken


STATES = {
    "harness": [Case("harness", harness="2")],
    "models": [
        Case("models", ("models.base.fingerprint=tuned",)),
        Case("models", ("models.base.dtype=float16", "models.base.fingerprint=in float16")),
        Case("models saes jobs", version="2"),
    ],
    "prompts": [Case("prompts before directions", ("views.base.prompt.template=so: {text}",))],
    "saes": [
        Case("saes", ("saes.mid.fingerprint=other",)),
        Case("saes jobs", ("saes.mid.site=resid_post.1", "saes.mid.home=1")),
        Case("saes jobs", ("saes.mid.out=resid_post.3",)),
    ],
    "jobs": [
        Case("jobs directions", ("directions.before.offset=7",)),
        Case("jobs directions", ("metrics.active.where.cosine_below=0.5",)),
        Case("jobs", ("pairs.p.skip_first=2",)),
    ],
    "directions": [Case("directions", ("directions.before.scale=2",))],
    "rendering": [Case("rendering jobs before directions", ("pairs.p.budget=30",))],
    "before": [Case("before directions", web=("another", *fakes.WEB[1:]))],
    "limit": [Case("limit", ("preflight.limit=3",))],
    "seed": [Case("seed", ("seed=1",))],
}
ANSWERS = {
    "arm": [
        Case("arm", ("experiments.e.intervention.strength=2",)),
        Case("arm", ("directions.after.scale=3",)),
    ],
    "model": [
        Case("model", ("models.chat.fingerprint=tuned",)),
        Case("arm model version", version="2"),
    ],
    "benchmark": [Case("arm model benchmark", plugin="other")],
    "version": [Case("arm model version", version="2")],
    "options": [Case("options", ("evaluators.quiz.prompts=2",))],
    "seed": [Case("seed", ("seed=1",))],
}
COMPLETIONS = {
    "model": [Case("model", ("models.chat.fingerprint=tuned",)), Case("arm model", version="2")],
    "sampling": [
        Case("sampling", ("experiments.e.generation.max_new_tokens=5",)),
        Case("sampling", ("experiments.e.generation.temperature=0.8",)),
        Case("sampling", ("seed=1",)),
    ],
    "arm": [Case("arm", ("experiments.e.intervention.strength=2",))],
    "prompt": [Case("prompt", ("views.chat.prompt.template=so: {text}",))],
    "row": [Case("row", note="another row with the same text")],
}
TABLES: dict[str, tuple[type[Any], dict[str, list[Case]]]] = {
    "states": (StateKey, STATES),
    "benchmarks": (BenchmarkKey, ANSWERS),
    "completions": (CompletionKey, COMPLETIONS),
}
CASES = [
    pytest.param(kind, part, case, id=f"{name}-{part}-{number}")
    for name, (kind, table) in TABLES.items()
    for part, cases in table.items()
    for number, case in enumerate(cases)
]


@pytest.mark.parametrize("name", TABLES)
def test_every_part_of_a_key_has_a_case(name: str) -> None:
    kind, table = TABLES[name]
    assert list(table) == [part.name for part in fields(kind)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "part", "case"), CASES)
def test_a_part_that_changes_drops_what_was_made_with_it(
    live: Live,
    first: Lived,
    once: tuple[Path, dict[Case, Lived]],
    kind: type[Any],
    part: str,
    case: Case,
) -> None:
    """And no part changes but those of the case; the numbers are those of a run of its own."""
    now, (_, lives) = live(case), once
    if case not in lives:
        lives[case] = live(case, "own")
    assert now.records == lives[case].records
    old, new = first.keys[kind.__name__], now.keys[kind.__name__]
    changed = [min((_differ(key, other) for other in old), key=len) for key in new]
    assert part in set.union(*changed)
    assert set.union(*changed) == set(case.parts.split())
    assert {*map(str, old)} != {*map(str, new)}
    assert (now.forwards if kind is StateKey else now.generated) > 0


def _differ(one: Key, other: Any) -> set[str]:
    names = [field.name for field in fields(one)]
    return {name for name in names if getattr(one, name) != getattr(other, name)}


# ── What does not count ──────────────────────────────────────────────────────────────────────────


def turned(text: str) -> str:
    """The same task with its tables in another order."""
    head, *tables = text.split("\n[")
    return "\n[".join([head, *reversed(tables)])


def kept(live: Live, before: Lived, **more: Any) -> None:
    again = live(Case("", more.pop("overrides", ())), **more)
    assert (again.forwards, again.generated) == (0, 0)
    assert sorted(map(repr, again.records)) == sorted(map(repr, before.records))
    for name, keys in before.keys.items():
        assert {*map(str, keys)} == {*map(str, again.keys[name])}


SIZES = ("batch.shard=20", "batch.activations=1", "batch.generation=2")


@pytest.mark.slow
def test_what_does_not_count_drops_nothing(live: Live, first: Lived, tmp_path: Path) -> None:
    before = first
    kept(live, before)
    kept(live, before, overrides=SIZES)
    kept(live, before, text=turned(TASK))
    kept(live, before, name="elsewhere/another.toml")
    for copy in ("web", "more"):
        (tmp_path / "copies").mkdir(exist_ok=True)
        shutil.copy(tmp_path / f"{copy}.jsonl", tmp_path / "copies" / f"the_{copy}.jsonl")
    places = [f"data.{name}.file={tmp_path}/copies/the_{name}.jsonl" for name in ("web", "more")]
    kept(live, before, overrides=tuple(places))
    (tmp_path / "model").mkdir()
    kept(live, before, overrides=(f"models.base.path={tmp_path}/model", "models.chat.path=hub/id"))
    kept(live, before, overrides=("title=Does it?", "evaluators.polite.shrug=no"))


def test_a_task_that_was_moved_goes_on_in_its_folder(
    run_task: Callable[..., Results], registry: Registry, tmp_path: Path, write: Callable[..., Path]
) -> None:
    """Its data were moved, too; other data at another path are another task, as before."""
    text = fakes.EXPERIMENT
    first = run_task(text)
    fakes.LAB.clear()
    moved = write(text, "moved/again.toml")
    task = resolve(read_source(moved, ()), registry)
    again = run(plan(task), registry, tmp_path / "run")
    assert not fakes.LAB.generated
    assert bare(list(again.records)) == bare(list(first.records))
    (tmp_path / "other.jsonl").write_text(json.dumps({"text": "other"}) + "\n")
    with pytest.raises(UsageError, match="holds a run of another task"):
        run_task(text, f"data.web.file={tmp_path}/other.jsonl")
