"""Everything that a person does with a run, in a world of hostile text; what is shown is kept."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import tomli_w

import harness
from campaign.strings.hostile import Hostile
from campaign.strings.scene import Scene
from harness.cli.main import main
from harness.registry import discover


class Terminal(io.StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Screen:
    """What a command wrote."""

    command: str
    code: int
    text: str
    styled: bool = False
    """Whether it was told that it writes to a terminal."""


@dataclass
class Seen:
    """What was shown, by the way in which it is shown."""

    screens: list[Screen] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)
    """HTML by name: reports, and what notebooks show."""
    figures: list[Path] = field(default_factory=list)
    """Exported, with their index."""
    spreadsheets: list[Path] = field(default_factory=list)
    papers: list[Path] = field(default_factory=list)
    """Exported as CSV, and as LaTeX."""
    suites: list[Path] = field(default_factory=list)
    """JUnit files."""
    run: Path = Path()
    """The run's folder."""

    def did(self, *arguments: object, styled: bool = False) -> int:
        """Runs a command in this process."""
        out = Terminal() if styled else io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
            code = main([str(argument) for argument in arguments])
        self.screens.append(Screen(str(arguments[0]), code, out.getvalue(), styled))
        return code


def toured(scene: Scene) -> Seen:
    """Runs the task and everything that reads runs, on the run and on one that was edited."""
    seen = Seen()
    installed = discover()
    with patch("harness.registry.discover", lambda disabled=(): installed):  # looked for once
        _run_and_read(scene, seen)
    if seen.pages:
        _plugins(scene, seen)
    return seen


def _run_and_read(scene: Scene, seen: Seen) -> None:
    # No control characters: a run's folder may not have them. One that was renamed may.
    kept = "".join(c for c in scene.first.file_name if unicodedata.category(c) != "Cc")
    seen.run = scene.folder / f"{kept} run"
    seen.did("check", scene.task, "--trust-local-code")
    seen.did("check", scene.task, "--set", f"models.tuned.adapter={scene.home / 'adapter'}")
    seen.did("plan", scene.task)
    if seen.did("eval", scene.task, "--out", seen.run, styled=True) not in (0, 1):
        return  # 1: a gate of the task fails
    seen.did("report", "-v", seen.run, styled=True)
    _notebook(scene, seen)
    edited = _edited(scene, seen.run)
    for folder in (seen.run, edited):
        _read(seen, folder)
    seen.did("compare", seen.run, edited)
    seen.did("compare", "--json", seen.run, edited)
    _renamed_runs(scene, seen, edited)
    several, listing = scene.folder / "several.html", scene.folder / "runs.html"
    seen.did("report", seen.run, edited, "--out", several)
    seen.did("runs", scene.folder, "--html", listing)
    for page in (several, listing):
        _page(seen, page.name, page)
    _drafts(scene, seen)
    _mistakes(scene, seen)


def _read(seen: Seen, folder: Path) -> None:
    """The commands that read one run."""
    seen.did("report", folder)
    seen.did("report", "-q", folder)
    seen.did("report", "-v", folder)
    _page(seen, folder.name, folder / "report.html")
    suite, figures = folder / "gates.xml", folder / "figures"
    seen.did("gate", folder, "--junit", suite)
    seen.did("export", folder, "--to", "figures", "--out", figures)
    if suite.exists():
        seen.suites.append(suite)
    seen.figures += sorted(figures.glob("*"))
    if folder == seen.run:
        for form in ("csv", "latex"):
            seen.did("export", folder, "--to", form, "--out", folder / form)
        seen.spreadsheets += sorted((folder / "csv").rglob("*.csv"))
        seen.papers += sorted((folder / "latex").glob("*.tex"))


def _page(seen: Seen, name: str, file: Path) -> None:
    if file.exists():
        seen.pages[name] = file.read_text(encoding="utf-8")


def _notebook(scene: Scene, seen: Seen) -> None:
    """What objects show of themselves."""
    task = harness.load(scene.task, trust_local_code=True)
    planned, results = harness.plan(task), harness.load_results(seen.run)
    for name, shown in (("task", task), ("plan", planned), ("results", results)):
        seen.pages[f"notebook {name}"] = shown._repr_html_()
        seen.screens.append(Screen(f"repr {name}", 0, repr(shown)))
    seen.pages["notebook claims"] = results.claims._repr_html_()
    seen.screens.append(Screen("repr claims", 0, repr(results.claims)))


# ── A run that somebody edited: names that no task may have ──────────────────────────────────────


def _edited(scene: Scene, run: Path) -> Path:
    """A copy whose names of experiments, arms, axes and numbers are the texts."""
    folder = run.with_name(f"{scene.first.file_name} edited")
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("work", "arrays"))
    content = json.loads((run / "results.json").read_text(encoding="utf-8"))
    first = scene.first.text
    content = _renamed(content, {"talk": first, "both": first, "hostile": first, "tuned": first})
    for one in scene.strings:
        content["records"] += list(_records(one))
    content["task"]["gates"] = {
        one.text: {"assert": f"named.{number} >= 1"} for number, one in enumerate(scene.strings)
    }
    content["warnings"] += [one.text for one in scene.strings]
    content["provenance"] |= {one.text: one.text for one in scene.strings}
    (folder / "results.json").write_text(json.dumps(content))
    return folder


def _renamed_runs(scene: Scene, seen: Seen, edited: Path) -> None:
    """Runs whose folder, title and name are each of the other texts: there is but one of these in
    a run."""
    content = json.loads((edited / "results.json").read_text(encoding="utf-8"))
    for one in scene.strings[1:]:
        folder = scene.folder / f"{one.file_name} {one.number}"
        folder.mkdir()
        task = {**content["task"], "name": one.text, "title": one.text, "source": one.text}
        kept = {**content, "task": task, "records": list(_records(one))}
        (folder / "results.json").write_text(json.dumps(kept))
        seen.did("report", folder)
        _page(seen, folder.name, folder / "report.html")


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {names.get(k, k): _renamed(inner, names) for k, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    return names.get(value, value) if isinstance(value, str) else value


def _records(one: Hostile) -> Iterator[dict[str, Any]]:
    text = one.text
    row = {"id": "score@1", "options": {text: text}, "value": 0.5, "n": 9, "n_of": text,
           "unit": text, "ci": None, "ci_why": text, "null": None, "undefined": None}  # fmt: skip
    arm = {"experiment": text, "direction": text, "evaluator": text, "view": text, "data": text}
    yield {**row, "axes": arm}
    yield {**row, "axes": {**arm, text: text}, "value": None, "undefined": text}
    yield {**row, "axes": {"site": text, "sae": text, "pair": text}, "id": "cosine.raw@1"}
    yield {**row, "axes": {"place": text}, "id": text}


# ── What is written, refused, listed ─────────────────────────────────────────────────────────────


def _drafts(scene: Scene, seen: Seen) -> None:
    """A task that is drafted from models and data with hostile names."""
    models = [scene.model("base"), scene.model("tuned")]
    data = scene.home / "data" / f"{scene.first.file_name}.jsonl"
    given = ("--data", data, "--column", "text", "--sae", scene.home / "sae")
    written = scene.home / f"{scene.first.file_name} new.toml"
    seen.did("init", written, "--base", models[0], "--tuned", models[1], *given)
    if written.exists():
        seen.did("check", written)
    seen.did("diff", *models, *given, "--limit", "8", "--out", scene.folder / "diff")
    _page(seen, "diff", scene.folder / "diff" / "report.html")


def _mistakes(scene: Scene, seen: Seen) -> None:
    """Tasks and commands that are refused, and say why."""
    wrong = scene.home / "wrong.toml"
    for one in scene.strings:
        text = one.written
        content = {
            "name": text,
            "models": {text: {"path": text, text: text}, "base": {"path": text, "backend": text}},
            "views": {"v": {"model": text, "prompt": {"style": text, "template": text}}},
            "data": {"d": {"file": text, "column": text}},
            "metrics": {text: {"method": text}},
            "gates": {"g": {"assert": text}},
            "claims": {"c": {"text": text, "holds": text}},
            text: text,
        }
        wrong.write_text(tomli_w.dumps(content), encoding="utf-8")
        seen.did("check", wrong)
    first = scene.first.written
    plain = first.replace("\0", "")
    for command in ("check", "plan", "report", "gate", "runs", "plugins"):
        seen.did(command, plain)
    seen.did("check", scene.task, "--set", first)
    seen.did("check", scene.task, "--set", f"title={first}")
    seen.did("compare", seen.run, plain)
    seen.did("export", seen.run, "--to", plain)


def _plugins(scene: Scene, seen: Seen) -> None:
    """Distributions whose names, versions, reasons, summaries and options are hostile."""
    folder = scene.folder / "dists"
    modules = []
    for number, one in enumerate(scene.strings[:2]):
        name = f"loud{scene.first.number}_{number}"
        line = " ".join(one.written.split())
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0 {line}\nSummary: {line}\n"
        (info / "METADATA").write_text(head, encoding="utf-8")
        points = f"[harness]\n{name} = {name}\n{name}_broken = {name}_broken\n"
        (info / "entry_points.txt").write_text(points)
        broken, working = folder / f"{name}_broken.py", folder / f"{name}.py"
        broken.write_text(f"raise RuntimeError({one.text!r})\n", encoding="utf-8")
        working.write_text(PLUGIN.format(name=name, text=one.text), encoding="utf-8")
        modules += [name, f"{name}_broken"]
    with patch.object(sys, "path", [str(folder), *sys.path]):
        seen.did("plugins")
        for name in modules[::2]:
            seen.did("plugins", name)
            seen.did("plugins", f"{name}/loud")
            seen.did("plugins", "check", f"{name}/loud")
    for name in modules:
        sys.modules.pop(name, None)


PLUGIN = """\
from harness.contract import AnalysisOptions, Component, hookimpl
from pydantic import Field
class Options(AnalysisOptions):
    word: str = Field({text!r}, description={text!r})
class Loud:
    def __init__(self, options):
        raise RuntimeError({text!r})
@hookimpl
def harness_components():
    return [Component("analysis", "loud", {text!r}, "{name}:Loud", "{name}:Options")]
"""
"""A plugin that is installed: what it says of itself is hostile."""
