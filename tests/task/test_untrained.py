"""Tokens that SAEs were not trained on and a task shows them: said by check, plan and run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.contract import SaeFacts, TokensLeftOut
from harness.planning.cost.estimate import cost
from harness.planning.planner import plan
from harness.registry import discover
from harness.running.runner import _sae_notes
from harness.task.load import load_for_command
from harness.task.task import Task
from harness.task.untrained import untrained

TASKS = Path(__file__).parents[2] / "tasks"
QWEN = TASKS / "papers" / "feature_drift" / "drift_qwen2.5-7b.toml"
RULE = TokensLeftOut("the card", skip_first=8, max_norm_ratio=10)


def task(*overrides: str, file: Path = TASKS / "drift.toml") -> Task:
    return load_for_command(discover(), str(file), overrides)


def of(loaded: Task, rule: TokensLeftOut | None = RULE, sae: str = "mid") -> list[str]:
    """What is said where one SAE has a rule and the others have none."""
    facts = {name: SaeFacts(not_trained_on=rule if name == sae else None)
             for name in loaded.spec.saes}  # fmt: skip
    return list(untrained(loaded, facts))


def filters(table: str, skip: int, ratio: float) -> list[str]:
    return [f"{table}.skip_first={skip}", f"{table}.max_norm_ratio={ratio}"]


def test_where_a_task_reads_what_the_training_left_out() -> None:
    loaded = task(*filters("pairs.web", 8, 10))
    (said,) = of(loaded)
    assert said.startswith("saes.mid: it was trained without the first 8 tokens of a text and ")
    assert "tokens longer than 10 times the median of their batch, says the card." in said
    assert "[preflight]" in said
    assert "[pairs.web]" not in said
    assert "Write skip_first = 8 and max_norm_ratio = 10 there" in said
    assert "the median is then that of each document" in said
    assert of(loaded, None) == []


@pytest.mark.parametrize(
    ("skip", "ratio", "follows"),
    [(8, 10, True), (12, 5, True), (7, 10, False), (8, 11, False)],
)
def test_stricter_filters_follow_the_rule(skip: int, ratio: float, follows: bool) -> None:
    loaded = task(*filters("pairs.web", skip, ratio), *filters("preflight", skip, ratio))
    others = [f"[pairs.{name}]" for name in loaded.spec.pairs if name != "web"]
    said = " ".join(of(loaded))
    assert ("[preflight]" not in said) is ("[pairs.web]" not in said) is follows
    assert all(name in said for name in others)


def test_the_first_token_is_never_measured() -> None:
    assert of(task(), TokensLeftOut("the card", skip_first=1)) == []
    (said,) = of(task(), TokensLeftOut("the card", skip_first=2))
    assert "longer" not in said
    assert "median" not in said


def test_a_view_has_no_filter() -> None:
    view = 'metrics.alone={method="l0", view="chat", data="web", saes=["late"]}'
    both = [key for name in task().spec.pairs for key in filters(f"pairs.{name}", 8, 10)]
    loaded = task(view, *both, *filters("preflight", 8, 10))
    (said,) = of(loaded, sae="late")
    assert "[metrics.alone] read a view, where nothing leaves tokens out" in said
    assert "Write" not in said


@pytest.mark.slow
def test_a_card_is_data_that_check_and_plan_follow(
    said: Callable[..., tuple[int, str, str]],
) -> None:
    """The task of the paper follows the card of its SAEs; loosened, it is told so."""
    code, out, _ = said("check", QWEN)
    assert (code, "note" in out) == (0, False)
    loose = "pairs.web.max_norm_ratio=20"
    code, out, _ = said("check", QWEN, "--set", loose)
    assert code == 0
    assert out.count("https://huggingface.co/andyrdt/saes-qwen2.5-7b-instruct") == 3
    assert "[pairs.web] show it such tokens" in out
    notes = cost(plan(task(loose, file=QWEN))).notes
    (together,) = [note for note in notes if "trained without" in note]
    assert together.startswith("saes.chat_11, saes.chat_15, saes.chat_19: it was trained")


def test_a_configuration_says_it_too_and_the_run_notes_it(
    said: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    folder = shutil.copytree(TASKS / "organism" / "saes" / "resid_post.4", tmp_path / "sae")
    file = folder / "cfg.json"
    config = json.loads(file.read_text())
    config["metadata"]["seqpos_slice"] = [5, None]
    file.write_text(json.dumps(config))
    text = (
        f'name = "t"\n[models.base]\npath = "{TASKS}/organism/base"\n[views.base]\nmodel = "base"\n'
        f'[saes.mine]\npath = "{folder}"\nmodel = "base"\n[preflight]\ndata = "web"\n'
        f'[data.web]\nfile = "{TASKS}/organism/data/web.jsonl"\ncolumn = "text"\n'
    )
    (tmp_path / "t.toml").write_text(text)
    code, out, _ = said("check", tmp_path / "t.toml")
    assert code == 0
    assert f"says seqpos_slice in {file}" in out.replace("\n", "")
    assert "Write skip_first = 5 there" in out
    loaded = task(file=tmp_path / "t.toml")
    sae = loaded.saes["mine"].build().load("cpu")
    assert sae.facts == loaded.sae_facts("mine")
    session = SimpleNamespace(task=loaded, saes={"mine": sae})
    assert any("Write skip_first = 5 there" in note for note in _sae_notes(session))
