"""The league as a whole, on findings in which every method has found what was planted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.contract import Arrays, Findings, Tools
from harness.testing import organism
from harness_analyses.found import samples
from harness_analyses.found.chance import best_of
from harness_analyses.found.found import Found
from harness_analyses.found.planted import Items, Scores
from harness_analyses.found.records import Report
from harness_analyses.found.scoring import Entrant, Organism, scored
from harness_analyses.found.tables import rows
from harness_analyses.found.truth import Truth
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions


@pytest.fixture(scope="module")
def model():
    return TransformersBackend(TransformersOptions(path=f"{organism()}/base")).load()


@pytest.mark.slow
def test_the_laws_hold(tmp_path):
    for sample in samples.found(tmp_path):
        sample()


def by_place(outcome, id):
    return {(r.axes["method"], r.axes["pair"]): r for r in outcome.records if r.id == id}


def test_what_was_planted_has_rank_1_and_the_null_none(model, tmp_path):
    outcome = Found(samples.written(tmp_path)).run(samples.example(model))
    ranks = by_place(outcome, "found.rank@1")
    assert {place: record.value for place, record in ranks.items() if record.value == 1} == {
        ("rows", "moved"): 1, ("shift", "moved"): 1, ("rest", "written"): 1, ("lens", "written"): 1,
    }  # fmt: skip
    assert not [place for place in ranks if place[1] == "null"]
    lens = ranks["lens", "written"]
    first = pytest.approx(1 / 2048)
    assert lens.null == {"kind": "chance", "value": 2049 / 2, "p": first, "least_p": first}
    assert by_place(outcome, "found.cosine@1")["rest", "written"].value > 0.99
    # 24 decoder rows and 20 random directions; the head of this model is of another width.
    assert ranks["rest", "written"].n == 45
    best = next(r for r in outcome.records if r.id == "found.best@1" and r.axes["pair"] == "moved")
    two_of_24 = 1 - 22 / 24
    assert (best.value, best.n) == (pytest.approx(best_of(two_of_24, 2)), 2)


def test_a_pair_about_which_nothing_was_found_is_undefined_and_the_base_alone_ties(model, tmp_path):
    """Base against base: no table has a row, and its completions are those of the base."""
    given = samples.example(model)
    same = [
        {**row, "completion": "the sun is far"} if row["experiment"] != "null" else row
        for row in given.tables["completions"]
    ]
    tables = {name: [row for row in table if row["pair"] == "null"]
              for name, table in given.tables.items() if name != "completions"}  # fmt: skip
    outcome = Found(samples.written(tmp_path)).run(
        replace(given, tables={**tables, "completions": same}, arrays=given.arrays[:1])
    )
    ranks = by_place(outcome, "found.rank@1")
    assert ranks["rows", "moved"].undefined == "rows.features has no row about moved"
    assert ranks["rest", "written"].undefined == "rest kept no components of written, or it is 0"
    tied = ranks["completions", "written"]
    assert (tied.value, tied.null["p"]) == (2048, 1.0)


def test_hostile_words_reach_the_table_as_text_alone(model, tmp_path):
    options = samples.written(tmp_path)
    file = tmp_path / "truths" / "written" / "truth.json"
    hostile = "<script>alert(1)</script>\x1b[31m\u202e"
    truth = {**json.loads(file.read_text()), "words": [hostile], "text": hostile}
    file.write_text(json.dumps(truth))
    outcome = Found(options).run(samples.example(model))
    row = next(row for row in outcome.tables["league"] if row["pair"] == "written")
    assert row["words"] == row["text"] == hostile  # escaped where it is shown, and nowhere else
    assert not any(hostile in str(record.axes) for record in outcome.records)


def test_without_a_model_it_says_so(tmp_path):
    (record,) = Found(samples.written(tmp_path)).run(Findings(tools=Tools())).records
    assert record.undefined == "the model base is not there"


def test_unembedding_rows_are_candidates_where_they_have_the_width(model, tmp_path):
    given = samples.example(model)
    wide = Arrays("dictionary", {}, {"vectors": np.eye(128)[:24]})
    options = samples.written(tmp_path, width=128)
    moved = [
        replace(one, values={"components": np.eye(128)[2:3]}) if one.statistic == "rest" else one
        for one in given.arrays[1:]
    ]
    outcome = Found(options).run(replace(given, arrays=(wide, *moved)))
    place = by_place(outcome, "found.rank@1")["rest", "written"]
    # One of the 24 rows is the planted direction itself.
    assert (place.value, place.n) == (1, 24 - 1 + 2048 + 20 + 1)


# ── Many organisms, without a model ──────────────────────────────────────────────────────────────


def league(count, says, kind=lambda n: f"kind_{n % 4}", **more):
    organisms = []
    for n in range(count):
        truth = Truth(kind=kind(n), seed=n, planted="training", tokens=[n])
        organisms.append(Organism(f"pair_{n}", truth, {"tokens": Items((n,))}))
    entrants = [
        Entrant(name, "tokens", says[name], "baseline" if name == "base" else "method")
        for name in says
    ]
    return scored(entrants, organisms), organisms


def right(one):
    scores = np.zeros(200)
    scores[one.truth.seed] = 1
    return Scores(scores)


def deaf(one):
    return Scores(np.random.default_rng(one.truth.seed).normal(size=200))


def test_numbers_over_organisms_have_intervals_and_permuted_nulls():
    scores, _ = league(12, {"right": right, "deaf": deaf, "base": deaf})
    found = {}
    for record in Report(scores, (1, 10), 0).records():
        key = tuple(record.axes.get(name) for name in ("method", "kind", "k"))
        found[record.id.partition("@")[0], *key] = record
    mrr = found["found.mrr", "right", "all", None]
    assert (mrr.value, mrr.ci, mrr.n) == (1, (1, 1), 12)
    assert mrr.null["value"] == pytest.approx(1 / 200)  # every other truth ties for the last place
    chance = np.mean([1 / place.rank for s in scores if s.entrant.name == "deaf"
                      for place in s.others.values()])  # fmt: skip
    assert found["found.mrr", "deaf", "all", None].null["value"] == pytest.approx(chance)
    hits = found["found.hits", "right", "kind_1", 1]
    assert (hits.value, hits.n, hits.ci[1]) == (1, 3, 1)
    assert hits.ci[0] == pytest.approx(0.44, abs=0.01)  # Wilson's for three of three
    assert found["found.mrr", "right", "kind_1", None].ci is None
    worst = found["found.worst_rank", "right", "kind_1", None]
    assert (worst.value, worst.ci) == (1, (1, 1))
    assert worst.null["p"] == pytest.approx(200**-3)
    beyond = found["found.beyond_baseline", "right", "all", None]
    p = [s.place.p for s in scores if s.entrant.name == "base"]
    assert beyond.value == pytest.approx(np.mean(np.log10(p)) + np.log10(200))
    assert beyond.ci[0] < beyond.value < beyond.ci[1]
    same = found["found.beyond_baseline", "deaf", "all", None]
    assert (same.value, same.ci) == (0, (0, 0))  # paired: the same draws, the same organisms


def test_a_method_that_guesses_is_no_better_with_its_own_truth_than_with_others():
    scores, _ = league(80, {"deaf": deaf})
    p = np.array([score.permuted_p for score in scores])
    for quantile in (0.1, 0.25, 0.5, 0.75):
        assert np.mean(p <= quantile) == pytest.approx(quantile, abs=0.12)
    assert [score.permuted_p for score in league(20, {"right": right})[0]] == [1 / 20] * 20


def test_in_a_null_the_best_of_all_truths_is_uniform():
    truths = league(15, {"deaf": deaf})[1]
    nulls = [
        Organism(f"null_{n}", Truth(kind="benign", seed=1000 + n, planted="nothing"), {})
        for n in range(200)
    ]
    scores = scored([Entrant("deaf", "tokens", deaf)], [*nulls, *truths])[:200]
    p = np.array([score.of_others for score in scores])
    for quantile in (0.1, 0.5, 0.9):
        assert np.mean(p <= quantile) == pytest.approx(quantile, abs=0.12)
    row, *_ = rows(scores, None)
    assert (row["rank"], row["why"]) == (None, "nothing was planted: it is the null")


TASK = """
name = "cup"
[models.base]
path = "{organism}/base"
[models.one]
path = "{organism}/chat"
[views]
base.model = "base"
one.model = "one"
[data.web]
file = "{organism}/data/web.jsonl"
limit = 4
[saes.mid]
path = "{organism}/saes/resid_post.4"
model = "base"
[pairs.one]
left = "base"
right = "one"
data = "web"
[statistics.dictionary]
method = "kept_vectors"
sae = "mid"
[statistics.rest]
method = "change_rest"
sae = "mid"
sweep = {{ pair = ["one"] }}
[analyses.cup]
method = "found"
truths = "truths"
pairs = ["one"]
model = "base"
dictionary = "dictionary"
methods = [{{ name = "rest", sort = "directions", statistic = "{statistic}", array = "x" }}]
"""


def check(folder, capsys, truth, statistic="rest"):
    from harness.cli.main import main

    (folder / "truths" / "one").mkdir(parents=True, exist_ok=True)
    if truth is not None:
        (folder / "truths" / "one" / "truth.json").write_text(truth)
    task = folder / "cup.toml"
    task.write_text(TASK.format(organism=organism(), statistic=statistic))
    code = main(["check", str(task)])
    said = capsys.readouterr()
    return code, said.out + said.err


def test_check_refuses_a_missing_truth_a_broken_one_and_a_method_that_nobody_runs(tmp_path, capsys):
    code, said = check(tmp_path, capsys, None)
    assert code == 2
    assert "analyses.cup.pairs" in said
    assert "one has no truth" in said
    code, said = check(tmp_path, capsys, '{"kind": "x"}')
    assert code == 2
    assert str(Path("one") / "truth.json") in " ".join(said.split())
    good = '{"kind": "x", "seed": 0, "planted": "weights", "latents": [1]}'
    code, said = check(tmp_path, capsys, good, statistic="rset")
    assert code == 2
    assert "'rset'" in said
    assert check(tmp_path, capsys, good)[0] == 0
