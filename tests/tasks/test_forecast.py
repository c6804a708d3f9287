"""tasks/forecast.toml: what it names fits together, and its power is said before it runs.

The whole of it takes minutes; docs/forecast.md has what came out, and by which command.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.errors import TaskError
from harness.planning.foresight import foreseen
from harness.task.task import Task
from harness_analyses.transfer.fine_tunes.options import TransferForecastOptions
from harness_analyses.transfer.options import StsOptions

TASKS = Path(__file__).parents[2] / "tasks"
MOST_BYTES = 150_000


@pytest.fixture(scope="module")
def task() -> Task:
    return harness.load(TASKS / "forecast.toml")


def options(task: Task) -> TransferForecastOptions:
    found = task.analyses["forecast"][0].options
    assert isinstance(found, TransferForecastOptions)
    return found


@pytest.mark.slow
def test_every_fine_tune_has_its_own_forecast_answers_and_tokens(task: Task) -> None:
    tunes = options(task).tunes
    assert len(tunes) == 11
    own = [domain for one in tunes for domain in one.own]
    assert len(own) == len(set(own)) == options(task).plan.domains
    for one in tunes:
        sts = task.analyses[one.sts][0].options
        assert isinstance(sts, StsOptions)
        # The forecast is made from the base alone: a pair of its views, on the training data.
        pair = task.spec.pairs[sts.shift]
        assert {task.spec.views[view].model for view in (pair.left, pair.right)} == {"base"}
        assert pair.data == one.name
        assert task.spec.views[task.spec.experiments[one.after.experiment].view].model == one.name
        assert one.tokens == f"{one.name}_tokens"


def test_its_adapters_are_small() -> None:
    files = list((TASKS / "organism" / "tunes" / "domains").glob("*/adapter_model.safetensors"))
    assert len(files) == 5
    assert max(file.stat().st_size for file in files) <= MOST_BYTES


def test_check_says_the_power(task: Task) -> None:
    (said,) = [text for text in foreseen(task) if "its power" in text]
    assert "of 11 fine-tunes and 9 domains, a true correlation of 0.5" in said


@pytest.mark.slow
def test_a_name_that_nothing_has_is_found_inside_the_fine_tunes(tmp_path: Path) -> None:
    """Before anything runs, like every other name: analyses, experiments, statistics."""
    written = (TASKS / "forecast.toml").read_text(encoding="utf-8")
    for name, word in (("sts = ", "analysis"), ("experiment = ", "experiment"),
                       ("tokens = ", "statistic")):  # fmt: skip
        line = next(one for one in written.splitlines() if '{ name = "cures"' in one)
        value = "cures_tokens" if word == "statistic" else "cures"
        broken = written.replace(line, line.replace(f'{name}"{value}"', f'{name}"curse"'))
        file = tmp_path / "forecast.toml"
        file.write_text(broken.replace('"organism/', f'"{TASKS.as_posix()}/organism/'))
        with pytest.raises(TaskError, match=f"unknown {word} 'curse'"):
            harness.load(file)
