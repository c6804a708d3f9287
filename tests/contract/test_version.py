"""Which versions of the contract a plugin may be written for, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.authoring.listing import components, list_plugins
from harness.cli.main import main
from harness.contract import CONTRACT
from harness.contract.version import misfit
from harness.errors import PluginError, TaskError
from harness.registry import discover
from harness.task.file import read_source
from harness.task.resolve import resolve

FakeDist = Callable[..., Path]
CODE = """
from harness.contract import Component, hookimpl
{more}

@hookimpl
def harness_components():
    return [Component("backend", "glow", "a backend", "acme_glow:Load", "acme_glow:Options")]
"""
FUTURE = "it was written for contract {}, and this sae-harness has 1.0. Update sae-harness, or "


def test_the_contract_has_a_version_of_two_numbers() -> None:
    assert CONTRACT == "1.0"
    assert misfit(CONTRACT) == ""


@pytest.mark.parametrize("version", ["1.1", "1.10", "2.0", "3.7"])
def test_what_was_written_for_a_later_contract_cannot_run(version: str) -> None:
    assert misfit(version).startswith(FUTURE.format(version))


def test_what_was_written_for_an_earlier_major_version_cannot_run() -> None:
    assert misfit("0.9").endswith("Update the plugin, or install an earlier version of sae-harness")


@pytest.mark.parametrize(
    "said", [1.0, None, "", "1", "1.0.0", "one", "v1.0", "1.0 ", "9" * 5000, ["1.0"], "1.\x1b[2J"]
)
def test_what_is_no_version_is_told(said: object) -> None:
    assert "harness_contract is " in misfit(said)
    assert len(misfit(said)) < 150
    assert misfit(said).isprintable()


@pytest.mark.parametrize("more", ["", 'harness_contract = "1.0"'])
def test_a_plugin_that_says_nothing_or_our_version_is_ready(fake_dist: FakeDist, more: str) -> None:
    fake_dist("acme-glow", CODE.format(more=more))
    assert str(discover().find("backend", "glow")) == "acme_glow/glow"


LATER = {
    "says so": 'harness_contract = "1.3"',
    "imports what is not there yet": (
        'from harness.contract import Novelty\nharness_contract = "1.3"'
    ),
    "has a kind that is not there yet": (
        'harness_contract = "1.3"\nComponent = lambda *given: __import__("harness.contract")'
        '.contract.Component("novelty", *given[1:])'
    ),
    "annotates it": 'import no_such_module\nharness_contract: str = "1.3"  # later',
}


@pytest.mark.parametrize("more", LATER.values(), ids=LATER)
@pytest.mark.parametrize("name", ["acme_glow/glow", "glow"])
def test_a_later_plugin_is_one_sentence_where_a_task_uses_it(
    fake_dist: FakeDist, write: Callable[..., Path], fake_plugin: Path, more: str, name: str
) -> None:
    fake_dist("acme-glow", CODE.format(more=more))
    registry = discover()
    assert resolve(read_source(write()), registry), "another task goes on"
    with pytest.raises(TaskError) as caught:
        resolve(read_source(write(), [f"models.base.backend={name}"]), registry)
    (problem,) = [str(one) for one in caught.value.problems if "glow" in str(one)]
    assert problem.startswith("models.base.backend: ") or "models.base.backend" in problem
    assert FUTURE.format("1.3") in problem
    assert "\n" not in problem
    assert FUTURE.format("1.3") in list_plugins(registry)
    with pytest.raises(PluginError, match=r"acme_glow is failed: it was written for contract 1\.3"):
        components(registry, "acme_glow")


def test_the_commands_end_with_2_and_the_rest_is_listed(
    fake_dist: FakeDist,
    write: Callable[..., Path],
    fake_plugin: Path,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    fake_dist("acme-glow", CODE.format(more='harness_contract = "2.0"'))
    assert main(["plugins"]) == 0
    listed = capsys.readouterr().out
    assert "acme_glow  (acme-glow 1.0)  failed: it was written for contract 2.0" in listed
    assert "harness_metrics  (sae-harness" in listed
    task = str(write())
    more = ["--set", "models.base.backend=glow"]
    for command in (["check", task], ["eval", task, "--out", str(tmp_path / "run")]):
        assert main([*command, *more]) == 2
        said = capsys.readouterr().err
        assert said.count("written for contract 2.0") == 1
        assert "Traceback" not in said
    assert main(["check", task]) == 0


def test_a_turned_off_plugin_is_not_asked_what_it_is_written_for(fake_dist: FakeDist) -> None:
    fake_dist("acme-glow", CODE.format(more='harness_contract = "2.0"'))
    (found,) = [one for one in discover(["acme_glow"]).plugins if one.name == "acme_glow"]
    assert found.status == "disabled"
