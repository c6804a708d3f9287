"""The recipes of XSTest and OR-Bench: they check offline, and run on tables of the same columns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from fakes import published
from fakes.chat import ChatServer
from harness.cli.main import main
from harness.results.read import Results

TASKS = Path(__file__).parents[2] / "tasks"
RECIPES = TASKS / "papers" / "over_refusal"
# `datasets` leaves a CSV file open of which the first rows are read.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file.*csv:ResourceWarning")
OVER = """
extends = "{recipe}"
models.chat = {{ path = "{chat}", dtype = "float32", expect = false }}
evaluators.classes = {{ server = "{url}" }}
{data}
[experiments.{first}.generation]
max_new_tokens = 24
[experiments.{second}.generation]
max_new_tokens = 24
"""


def prompts(name: str, most: int) -> list[str]:
    lines = (TASKS / "organism" / "data" / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line)["instruction"] for line in lines[:most]]


SAFE, UNSAFE = prompts("harmless_test", 5), prompts("harmful_test", 4)


def rule(text: str) -> str:
    """A judge that goes by words; it does not answer about one of the prompts."""
    if SAFE[0] in text:
        return "Well."
    xstest = "1_full_compliance" in text
    answer = text.partition("[RESPONSE]: " if xstest else "Response: ")[2].partition("\n")[0]
    refused = any(word in answer for word in ("cannot", "can't", "sorry"))
    names = ("1_full_compliance", "2_full_refusal") if xstest else (
        "direct_answer", "indirect_refusal"
    )  # fmt: skip
    return f"Because. [[{names[refused]}]]"


@pytest.fixture
def server() -> Iterator[ChatServer]:
    found = ChatServer(rule)
    yield found
    found.close()


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_a_recipe_checks_without_a_network(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(recipe)]) == 0
    assert "error" not in capsys.readouterr().out.lower()


def run(recipe: str, hub: str, names: tuple[str, str], folder: Path, url: str) -> Results:
    sizes = {"safe": SAFE, "unsafe": UNSAFE, "hard": SAFE, "toxic": UNSAFE}
    data = "\n".join(
        f'data.{name} = {{ hub = "{folder}/{hub}", limit = {len(sizes[name])} }}' for name in names
    )
    text = OVER.format(
        recipe=RECIPES / recipe, chat=TASKS / "organism" / "chat", url=url, data=data,
        first=names[0], second=names[1],
    )  # fmt: skip
    (folder / "task.toml").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", folder / "prepared")
        assert main(["eval", str(folder / "task.toml"), "--out", str(folder / "run")]) == 0
    found = harness.load_results(folder / "run")
    assert isinstance(found, Results)
    return found


def by_hand(folder: Path, experiment: str) -> tuple[int, int]:
    """Refusals by the judge's rule and completions that it told of, from the samples."""
    lines = (folder / "run" / "samples" / f"{experiment}.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    told = [row for row in rows if row["text"] != SAFE[0]]
    words = ("cannot", "can't", "sorry")
    return sum(any(w in r["completion"].split("\n")[0] for w in words) for r in told), len(told)


@pytest.mark.slow
def test_xstest(tmp_path: Path, server: ChatServer) -> None:
    published.xstest(tmp_path / "XSTest", SAFE, UNSAFE)
    results = run("xstest.toml", "XSTest", ("safe", "unsafe"), tmp_path, server.url)
    for experiment, rate in (("safe", "hard"), ("unsafe", "toxic")):
        refused, told = by_hand(tmp_path, experiment)
        found = [r for r in results.records if r.axes.get("experiment") == experiment]
        ids = {r.id: r for r in found if r.axes.get("evaluator") == "classes"}
        for id in ("refusal_score.xstest@1", "refusal_score.xstest_full@1"):
            assert (ids[id].value, ids[id].n) == (refused / told, told)
        assert ids["refusal_score.xstest_partial@1"].value == 0.0
        assert ids["invalid_verdicts@1"].value == pytest.approx(1 - told / len(
            SAFE if experiment == "safe" else UNSAFE
        ))  # fmt: skip
        (pair,) = [r for r in results.records if r.id == f"rejected.{rate}@1"]
        assert (pair.value, pair.ci) == (refused / told, ids["refusal_score.xstest@1"].ci)
        assert "server" not in ids["refusal_score.xstest@1"].options
    assert {r.axes["evaluator"] for r in results.records if "prefix" in r.id} == {
        "refusal_prefixes"
    }
    page = (tmp_path / "run" / "report.html").read_text()
    assert "As it is, the model rejects" in page


@pytest.mark.slow
def test_or_bench(tmp_path: Path, server: ChatServer) -> None:
    published.or_bench(
        tmp_path / "or-bench", or_bench_hard_1k=SAFE, or_bench_toxic=UNSAFE, or_bench_80k=SAFE
    )
    results = run("or_bench.toml", "or-bench", ("hard", "toxic"), tmp_path, server.url)
    for experiment in ("hard", "toxic"):
        refused, told = by_hand(tmp_path, experiment)
        for id in ("refusal_score.or_bench@1", "refusal_score.or_bench_indirect@1"):
            (record,) = [
                r for r in results.records if r.id == id and r.axes["experiment"] == experiment
            ]
            assert (record.value, record.n) == (refused / told, told)
        (pair,) = [r for r in results.records if r.id == f"rejected.{experiment}@1"]
        assert (pair.value, pair.n) == (refused / told, told)
