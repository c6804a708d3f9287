"""The league's task; and a small one: a planted change, a stranger's, and none."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

import harness
from harness.cli.main import main
from harness.contract import Record
from harness.results.read import Results
from harness_analyses.found.truth import read_truth

ROOT = Path(__file__).parents[2]
LEAGUE = ROOT / "tasks" / "league"
SMALL = """
name = "small"
seed = 0
[models.base]
path = "{organism}/base"
[models.planted]
path = "{organism}/base"
adapter = "{league}/organisms/moved_feature-0"
[models.stranger]                       # another fine-tune, scored with a truth that is not its own
path = "{organism}/tunes/rays"
[views]
base.model = "base"
again.model = "base"
planted.model = "planted"
stranger.model = "stranger"
[saes.mid]
path = "{organism}/saes/resid_post.4"
model = "base"
[data.web]
file = "{organism}/data/web.jsonl"
limit = 40
[pairs]
planted = {{ left = "base", right = "planted", data = "web", saes = ["mid"] }}
stranger = {{ left = "base", right = "stranger", data = "web", saes = ["mid"] }}
again = {{ left = "base", right = "again", data = "web", saes = ["mid"] }}
[statistics.dictionary]
method = "kept_vectors"
sae = "mid"
[statistics.rows]
method = "few_rows"
sae = "mid"
k = [1]
tokens = 100
sweep = {{ pair = ["planted", "stranger", "again"] }}
[directions.components]
method = "principal_components"
site = "resid_post.4"
components = 1
sweep = {{ pair = ["planted", "stranger", "again"] }}
[statistics.components]
method = "kept_vectors"
direction = "components"
sweep = {{ pair = ["planted", "stranger", "again"] }}
[analyses.league]
method = "found"
truths = "truths"
model = "base"
dictionary = "dictionary"
pairs = ["planted", "stranger", "again"]
[[analyses.league.methods]]
name = "few_rows"
sort = "latents"
statistic = "rows"
table = "features"
score = "share"
[[analyses.league.methods]]
name = "components"
sort = "directions"
statistic = "components"
array = "vectors"
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("league")
    truth = LEAGUE / "organisms" / "moved_feature-0"
    for seed, pair in enumerate(("planted", "stranger", "again")):
        place = folder / "truths" / pair
        place.mkdir(parents=True)
        said = json.loads((truth / "truth.json").read_text(encoding="utf-8"))
        (place / "truth.json").write_text(json.dumps({**said, "seed": seed}), encoding="utf-8")
        shutil.copy(truth / "truth.safetensors", place)
    task = folder / "small.toml"
    text = SMALL.format(organism=(ROOT / "tasks" / "organism").as_posix(), league=LEAGUE.as_posix())
    task.write_text(text, encoding="utf-8")
    assert main(["eval", str(task), "--out", str(folder / "run")]) == 0
    return harness.load_results(folder / "run")


def rank(results: Results, method: str, pair: str) -> Record:
    (found,) = (
        one
        for one in results.records
        if one.id == "found.rank@1" and (one.axes["method"], one.axes["pair"]) == (method, pair)
    )
    return found


@pytest.mark.slow
def test_what_was_planted_is_found_at_rank_1(results: Results) -> None:
    assert rank(results, "few_rows", "planted").value == 1
    place = rank(results, "components", "planted")
    assert place.value == 1
    # Decoder rows without the planted one, the vocabulary, random directions, and the planted one.
    assert place.n == 2048 - 1 + 2048 + 1000 + 1


@pytest.mark.slow
def test_where_something_else_was_trained_it_is_as_far_as_chance(results: Results) -> None:
    for method in ("few_rows", "components"):
        place = rank(results, method, "stranger")
        assert place.null is not None
        assert place.null["p"] > 0.05


@pytest.mark.slow
def test_where_nothing_changed_nothing_is_found(results: Results) -> None:
    for method in ("few_rows", "components"):
        assert rank(results, method, "again").undefined


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_task", LEAGUE / "write_task.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_task_is_about_every_model_that_is_there() -> None:
    written = script()
    names = written.models(LEAGUE / "organisms")
    committed = (LEAGUE / "league.toml").read_text(encoding="utf-8")
    why = "a model has come or gone: run python tasks/league/write_task.py"
    assert committed == written.task(names), why


@pytest.mark.slow
def test_the_task_is_fine_and_every_truth_is_one() -> None:
    task = harness.load(LEAGUE / "league.toml")
    options = task.analyses["league"][0].options
    for pair, experiment in zip(options.pairs, options.baseline.tuned, strict=True):
        truth = read_truth(LEAGUE / "organisms", pair)
        assert pair == experiment == f"{truth.kind}-{truth.seed}"
