"""Names that a stranger's plugin shares with ours: nothing of ours changes its meaning (row 30)."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from harness.contract import Kind
from harness.errors import HarnessError, PluginError, TaskError
from harness.registry import Owned, Registry, discover, is_ours
from harness.task.draft.names import in_full
from harness.task.draft.saes import _listed
from harness.task.file import builtin_tasks, source_of
from harness.task.load import load_for_command
from harness.task.resolve import resolve
from harness.testing import organism

KINDS: tuple[Kind, ...] = get_args(Kind)
CODE = """
from harness.contract import Component, SaeOptions, hookimpl
class Greedy(SaeOptions):
    @classmethod
    def claims(cls, path):
        return True
    @classmethod
    def published(cls, is_model):
        raise RuntimeError("no network")
@hookimpl
def harness_components():
    return [Component(kind, name, "the same name", "acme_same:Greedy", "acme_same:Greedy")
            for kind, name in {names!r}]
"""
Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def alone() -> Registry:
    """Ours."""
    return discover()


@pytest.fixture
def shared(fake_dist: Callable[..., Path], alone: Registry) -> Registry:
    """Ours, and a stranger's plugin that has every name of ours, of every kind."""
    names = [(one.component.kind, one.component.name) for kind in KINDS for one in alone.of(kind)]
    fake_dist("acme-same", CODE.replace("{names!r}", repr(names)))
    found = discover()
    (mine,) = [plugin for plugin in found.plugins if plugin.name == "acme_same"]
    assert (mine.status, len(mine.components)) == ("ready", len(names)), mine.reason
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_name_of_ours_that_we_write_ourselves_is_ours(
    kind: Kind, shared: Registry, alone: Registry
) -> None:
    assert alone.of(kind)
    for one in alone.of(kind):
        name = one.component.name
        assert shared.find(kind, name, ours=True) == one
        with pytest.raises(PluginError, match=rf"acme_same/{name}, {one}"):
            shared.find(kind, name)
        assert shared.find(kind, str(one)) == one
        assert alone.spelled(one) == name
        assert shared.spelled(one) == str(one)


def outcome(registry: Registry, name: str) -> tuple[list[str], list[Owned]]:
    """What is wrong with a task, and whose components it uses."""
    try:
        return [], load_for_command(registry, name).owners()
    except HarnessError as error:
        return str(error).splitlines(), []


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in builtin_tasks() if "/" not in name])
def test_a_built_in_task_uses_ours(name: str, shared: Registry, alone: Registry) -> None:
    """They no longer passed `check`."""
    assert outcome(alone, name)[0] == []
    assert outcome(shared, name) == outcome(alone, name)
    assert all(map(is_ours, outcome(shared, name)[1]))


@pytest.mark.slow
def test_so_do_those_of_papers(shared: Registry, alone: Registry) -> None:
    for name in builtin_tasks():
        if "/" in name:
            assert outcome(shared, name) == outcome(alone, name), name


def test_a_task_of_ones_own_must_say_whose_it_means(shared: Registry, tmp_path: Path) -> None:
    (own := tmp_path / "own.toml").write_text('extends = "drift"\n[metrics.mine]\nmethod = "l0"\n')
    with pytest.raises(TaskError, match=r"own\.toml:\d: .*acme_same/l0, harness_metrics/l0"):
        load_for_command(shared, str(own))


def test_init_and_diff_write_names_in_full(said: Said, shared: Registry, tmp_path: Path) -> None:
    """They write tasks themselves, and must not write one that fails."""
    saes = ("--sae", organism() / "saes" / "resid_post.2")
    models = ("--base", organism() / "base", "--tuned", organism() / "chat", *saes)
    code, _, err = said("init", *models)
    assert code == 0, err
    written = tomllib.loads(Path("task.toml").read_text())
    assert written["metrics"]["displacement"]["method"] == "harness_metrics/displacement"
    assert {one["format"].partition("/")[0] for one in written["saes"].values()} == {"harness_saes"}
    task = load_for_command(shared, "task.toml")
    assert all(map(is_ours, task.owners()))


@pytest.mark.slow
def test_a_format_that_cannot_say_what_is_published_is_told(
    said: Said, shared: Registry, alone: Registry
) -> None:
    """Else nobody would know why a release is not there."""
    ours, no_notes = _listed(alone, lambda name: True)
    found, notes = _listed(shared, lambda name: True)
    assert ours
    assert no_notes == ()
    assert [sae.release for sae in found] == [sae.release for sae in ours]
    assert len(notes) == len(alone.of("sae_format"))
    why = "cannot say which SAEs are published: RuntimeError: no network."
    assert any(note.startswith(f"acme_same/saelens {why}") for note in notes)
    models = ("--base", organism() / "base", "--tuned", organism() / "chat")
    code, _, err = said("init", *models, "--sae", "no-such-release")
    assert code == 2
    assert why in err


REFUSAL = """
[directions.refusal]
method = "difference_in_means"
[metrics.l0]
pair = "p"                              # a comment
[labels.contexts]
[experiments.e]
intervention = { method = "ablation", mode = "strict" }
evaluators = ["substrings", "other"]    # phrases
[evaluators.other]
method = "harmbench"
"""


def test_a_text_is_changed_in_nothing_else(shared: Registry, alone: Registry) -> None:
    assert in_full(REFUSAL, alone) == REFUSAL
    before, after = tomllib.loads(REFUSAL), tomllib.loads(in_full(REFUSAL, shared))
    before["directions"]["refusal"]["method"] = "harness_directions/difference_in_means"
    before["metrics"]["l0"]["method"] = "harness_metrics/l0"
    before["labels"]["contexts"]["method"] = "harness_labels/contexts"
    before["experiments"]["e"]["intervention"]["method"] = "harness_interventions/ablation"
    before["evaluators"]["other"]["method"] = "harness_evaluators/harmbench"
    before["evaluators"]["substrings"] = {"method": "harness_evaluators/substrings"}
    assert after == before


def test_a_format_that_breaks_stops_no_task_that_does_not_name_it(
    fake_dist: Callable[..., Path], alone: Registry, tmp_path: Path
) -> None:
    """Every format is asked whether files are of it."""
    line = '    Component("sae_format", "{0}", "x", "acme_odd:{0}", "acme_odd:{0}"),\n'
    fake_dist(
        "acme-odd",
        "from harness.contract import Component, SaeOptions, hookimpl\n"
        "class Raises(SaeOptions):\n    @classmethod\n    def claims(cls, path):\n        1 / 0\n"
        "@hookimpl\ndef harness_components():\n    return [\n"
        f"{line.format('Missing')}{line.format('Raises')}]\n",
    )
    text = (
        f'name = "t"\n[models.base]\npath = "{organism()}/base"\n[views.base]\nmodel = "base"\n'
        '[saes.mid]\npath = "PLACE"\nsite = "resid_post.2"\nmodel = "base"\n'
    )
    good = text.replace("PLACE", f"{organism()}/saes/resid_post.2")
    task = resolve(source_of(good, tmp_path / "t.toml"), discover())
    assert is_ours(task.saes["mid"].owner)
    with pytest.raises(TaskError) as caught:
        resolve(source_of(text.replace("PLACE", str(tmp_path)), tmp_path / "t.toml"), discover())
    assert "acme_odd/Raises could not be asked: ZeroDivisionError" in str(caught.value)
    assert "acme_odd has no 'Missing'" in str(caught.value)
