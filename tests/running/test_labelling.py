"""Labels: asked once for the features that tables name, and only for these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fakes
from harness.contract import Findings, SaeFacts
from harness.errors import PluginError
from harness.results.read import Results, load_results
from harness.running.labels import features_named, label_rows

RunTask = Callable[..., Results]

TASK = """
[saes.end]
format = "fake"
model = "base"
site = "resid_post.3"
home = 3
[statistics.t]
method = "tally"
view = "base"
data = "web"
sae = "mid"
[labels.glossary]
sae = "mid"
top = 4
"""


def rows(*features: object, sae: str = "mid") -> list[dict[str, Any]]:
    return [{"sae": sae, "feature": feature, "size": 1.0} for feature in features]


@pytest.mark.parametrize(
    ("tables", "expected"),
    [
        ({}, []),
        ({"a": []}, []),
        ({"a": rows(5, 3, 9, 1)}, [5, 3, 9]),
        ({"a": rows(5, 3), "b": rows(9, 5, 7, 8)}, [5, 3, 9, 7]),
        ({"a": rows(5, 5, 5, 3, 5, 9, 7)}, [5, 3, 9]),
        ({"a": rows(1, 2, sae="end"), "b": rows(3)}, [3]),
        ({"a": [*rows(1, sae="end"), *rows(2), *rows(3, sae="end"), *rows(4)]}, [2, 4]),
        ({"a": [{"feature": 1}, {"sae": "mid"}, {"sae": "mid", "feature": None}]}, []),
        ({"a": [{"site": "x"}, *rows(1)]}, [1]),
        ({"a": rows("7", 2.5, None, True, False)}, []),
        ({"a": rows(np.int64(4), np.int32(2), 7)}, [4, 2, 7]),
        ({"a": rows(0)}, [0]),
    ],
)
def test_the_features_of_tables_in_their_order(tables: Any, expected: list[int]) -> None:
    found = features_named(tables, "mid", 3)
    assert found == expected
    assert all(type(feature) is int for feature in found)


def labelled(task: Callable[..., Any], *overrides: str, **tables: Any) -> list[dict[str, Any]]:
    entry = task(TASK, *overrides).labels["glossary"]
    return label_rows(entry, "mid", SaeFacts(d_sae=12), 3, Findings(tables=tables))[0]


def test_rows_are_in_the_order_of_the_features_whatever_the_source_does(
    task: Callable[..., Any],
) -> None:
    found = labelled(task, a=rows(5, 3, 9, 1))
    assert [row["feature"] for row in found] == [5, 3, 9]
    assert found[0] == {
        "sae": "mid",
        "feature": 5,
        "description": "number 5",
        "cluster": None,
        "url": None,
        "contexts": [{"tokens": ["a"], "values": [1.0]}],
    }


def test_a_source_may_know_less(task: Callable[..., Any]) -> None:
    found = labelled(task, "labels.glossary.skip=2", a=rows(5, 3, 9))
    assert [row["feature"] for row in found] == [9]


def test_nobody_is_asked_where_nothing_is_named(task: Callable[..., Any]) -> None:
    assert labelled(task, a=rows(1, sae="end")) == []
    assert not fakes.LAB.looked_up


@pytest.mark.parametrize("wrong", ["twice", "unasked", "elsewhere"])
def test_labels_that_were_not_asked_for_are_the_plugins_fault(
    task: Callable[..., Any], wrong: str
) -> None:
    with pytest.raises(PluginError, match=r"labels\.glossary: fake/glossary.*plugin's author"):
        labelled(task, f"labels.glossary.wrong={wrong}", a=rows(5, 3))


# ── In a run ─────────────────────────────────────────────────────────────────────────────────────


def test_the_features_of_a_statistic_are_labelled(run_task: RunTask, tmp_path: Path) -> None:
    results = run_task(TASK)
    named = [row["feature"] for row in results.tables["t.features"]][:4]
    assert fakes.LAB.looked_up == [("mid", tuple(named))]
    table = results.tables["labels.glossary"]
    assert [row["feature"] for row in table] == named
    read = load_results(tmp_path / "run").tables["labels.glossary"]
    assert [(row["feature"], row["description"]) for row in read] == [
        (feature, f"number {feature}") for feature in named
    ]


def test_numpys_integers_are_features_too(run_task: RunTask) -> None:
    run_task(TASK, "statistics.t.numpy=true")
    ((sae, features),) = fakes.LAB.looked_up
    assert (sae, len(features)) == ("mid", 4)


def test_sources_see_what_is_known_and_analyses_see_the_labels(run_task: RunTask) -> None:
    run_task(TASK + "[analyses.peek]\n")
    source, analysis = fakes.LAB.findings
    assert set(source.tables) == {"t.features"}
    assert set(analysis.tables) == {"t.features", "labels.glossary"}
    assert [record.id for record in source.records] == ["tally.total@1"]
    assert source.arrays
    assert source.arrays[0].statistic == "t"
    assert source.saes["mid"].d_sae == 12


def test_two_sources_are_each_asked_for_their_own_sae(run_task: RunTask) -> None:
    more = "[statistics.u]\nmethod = 'tally'\nview = 'base'\ndata = 'web'\nsae = 'end'\n"
    more = TASK.replace("[labels", more + "[labels")
    run_task(more + "[labels.other]\nmethod = 'glossary'\nsae = 'end'\ntop = 2\n")
    assert [(sae, len(features)) for sae, features in fakes.LAB.looked_up] == [
        ("mid", 4),
        ("end", 2),
    ]


def test_a_source_after_another_is_asked_for_no_more_than_its_top(run_task: RunTask) -> None:
    """What another source has labelled is no table that names features."""
    more = "[statistics.u]\nmethod = 'tally'\nview = 'chat'\ndata = 'web'\nsae = 'mid'\n"
    twice = TASK.replace("[labels", more + "[labels").replace("top = 4", "top = 12")
    run_task(twice + "[labels.few]\nmethod = 'glossary'\nsae = 'mid'\ntop = 1\n")
    first, second = (features for _, features in fakes.LAB.looked_up)
    assert len(first) == 12
    assert len(second) <= 2


def test_an_sae_that_nothing_names_gives_an_empty_table(run_task: RunTask, tmp_path: Path) -> None:
    results = run_task(TASK, "labels.glossary.sae=end")
    assert not fakes.LAB.looked_up
    assert list(results.tables["labels.glossary"]) == []
    assert list(load_results(tmp_path / "run").tables["labels.glossary"]) == []


def test_labels_of_an_sae_that_is_not_there(problems: Callable[..., list[str]]) -> None:
    (said,) = problems(TASK, "labels.glossary.sae=mdi")
    assert "labels.glossary.sae" in said
    assert "unknown SAE 'mdi'. Allowed: end, mid. Did you mean mid?" in said


def test_a_source_that_is_not_there(problems: Callable[..., list[str]]) -> None:
    said = " ".join(problems(TASK + "[labels.glosary]\nsae = 'mid'\n"))
    assert "glosary" in said
    assert "glossary" in said


def test_a_source_that_cannot_go_on_is_a_warning_and_a_rerun_asks_again(
    run_task: RunTask,
) -> None:
    results = run_task(TASK, "labels.glossary.wrong=offline")
    assert list(results.tables["labels.glossary"]) == []
    (warning,) = [text for text in results.warnings if text.startswith("labels.glossary")]
    assert "a rerun asks again" in warning
    fakes.LAB.clear()
    # Labels change no activation: the same folder goes on.
    results = run_task(TASK)
    assert fakes.LAB.forwards == 0
    assert len(results.tables["labels.glossary"]) == 4


def test_what_a_source_says_of_itself_is_a_warning(run_task: RunTask) -> None:
    said = [text for text in run_task(TASK).warnings if "labels" in text]
    assert said == []
    results = run_task(TASK, "labels.glossary.skip=2")
    said = [text for text in results.warnings if "labels" in text]
    assert said == ["labels.glossary: knows nothing of 2"]
    assert len(results.tables["labels.glossary"]) == 2
