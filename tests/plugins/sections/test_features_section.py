"""The section of changed features: what it shows, and that hostile text stays text."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from harness.contract import Figure, Grid, Panel, Prose, Record, SectionOptions
from harness.registry import discover
from harness.report.page import render
from harness.results import Results
from harness.testing.section import HOSTILE, check_section, hostile
from harness_sections.features import Features

CONTEXT = {"tokens": ["I", " am", " sorry"], "values": [0.0, 0.1, 3.0], "mark": 2, "value": 3.0}


SECTIONS = EntryPoint("harness_sections", "harness_sections.plugin", "harness")


def make(rows: int = 30, sources: int = 1, **tables: Any) -> Results:
    shifted = [
        {"pair": "p", "sae": "mid", "site": "resid_post.4", "feature": f, "delta": 1.0 - f / 99,
         "z": None, "kind": "shifted, appeared"} for f in range(rows)
    ]  # fmt: skip
    labels = [
        {"sae": "mid", "feature": f, "description": f"meaning {f}",
         "cluster": "refusal" if f else None, "url": f"https://example.org/{f}",
         "contexts": [CONTEXT] * 5}
        for f in range(0, rows, 2)
    ]  # fmt: skip
    named = {f"labels.l{i}": labels for i in range(sources)}
    records = tuple(
        Record(id, value, 9, "features", "share", ci_why="none",
               axes={"analysis": "a", "sae": sae, "site": f"resid_post.{i}", "cluster": cluster})
        for id in ("flip_rate.cluster@1", "feature_shift.cluster@1")
        for i, sae in enumerate(("early", "mid"))
        for cluster, value in (("story", 0.1), ("refusal", 0.5 + i / 10), ("other", None))
    )  # fmt: skip
    records = tuple(
        r
        if r.value is not None
        else Record(r.id, None, 0, "features", "share", undefined="none", axes=r.axes)
        for r in records
    )
    return Results(
        "complete", {}, {}, records, tables={"shift.features": shifted, **named, **tables}
    )


def panel(results: Results) -> Panel:
    found = Features(SectionOptions()).panel(results)
    assert found is not None
    return found


def test_features_come_with_meaning_link_and_contexts() -> None:
    (table,) = [b for b in panel(make()).blocks if isinstance(b, Grid)]
    assert table.title == "shift.features: mid, resid_post.4, p"
    assert list(table.columns) == ["feature", "delta", "kind", "meaning", "link"]
    assert len(table.rows) == 20
    assert table.rows[0][3:] == ["meaning 0", "https://example.org/0"]
    assert table.rows[1][3:] == ["", ""]
    assert table.rows[2][3] == "meaning 2 [refusal]"
    assert sorted(table.opens) == list(range(0, 20, 2)), "the features that have labels"
    assert table.opens[2].title == "Contexts of 2"
    assert table.opens[2].rows == [["I am« sorry»", 3.0]] * 3
    assert not table.links, "no page of a feature that is known by ids alone"


@pytest.mark.parametrize(
    ("address", "links"),
    [("https://www.neuronpedia.org/gemma-2-2b/12-res-16k/4", True),
     ("https://www.neuronpedia.org/gemma-2-2b/12-res-16k/5", False),
     ("https://www.neuronpedia.org/gemma-2-2b/4", False),
     ("https://www.neuronpedia.org/a/b/c/4", False),
     ("https://www.neuronpedia.org/a/../4", False),
     ("https://www.neuronpedia.org/a/b%2f/4", False),
     ("https://www.neuronpedia.org/a/b/4?x=/4", False),
     ("https://www.neuronpedia.org@evil.example/a/b/4", False),
     ("http://www.neuronpedia.org/a/b/4", False),
     ("https://evil.example/a/b/4", False),
     ("javascript:alert(1)//a/b/4", False)],
)  # fmt: skip
def test_only_the_page_of_a_feature_becomes_a_link(address: str, links: bool) -> None:
    label = {"sae": "mid", "feature": 4, "description": "d", "cluster": None, "url": address}
    results = make(sources=0, **{"labels.site": [label]})
    (table,) = [b for b in panel(results).blocks if isinstance(b, Grid)]
    assert table.rows[4][-1] == address, "it is shown in any case"
    assert set(table.links.values()) == ({address} if links else set())
    page = render(results, discover(candidates=[SECTIONS]))
    assert page.count(f'<a href="{address}" rel="noopener noreferrer external">') == 2 * links


def test_several_sources_are_told_apart_and_a_link_comes_once() -> None:
    table = next(b for b in panel(make(sources=2)).blocks if isinstance(b, Grid))
    assert table.rows[0][3:] == ["l0: meaning 0\nl1: meaning 0", "https://example.org/0"]


def test_clusters_by_layer() -> None:
    flips, shift = [b for b in panel(make()).blocks if isinstance(b, Figure)]
    assert (flips.title, shift.title) == ("Flip rate by cluster", "Share of the shift by cluster")
    assert [trace["name"] for trace in flips.data] == ["early, resid_post.0", "mid, resid_post.1"]
    assert flips.data[1]["x"] == ["refusal", "story", "other"]
    assert flips.data[1]["y"] == [0.6, 0.1, None]
    assert len(flips.rows) == 6
    assert flips.rows[-1]["why there is none"] == "none"


def test_without_labels_or_clusters() -> None:
    results = make()
    only = Results(
        "complete", {}, {}, (), tables={"shift.features": results.tables["shift.features"]}
    )
    prose, table = panel(only).blocks
    assert isinstance(prose, Prose)
    assert isinstance(table, Grid)
    assert {row[3] for row in table.rows} == {""}
    other = {"classes": [{"class": "a"}], "empty": [], "labels.l0": results.tables["labels.l0"]}
    assert Features(SectionOptions()).panel(Results("complete", {}, {}, (), tables=other)) is None


@pytest.mark.parametrize(
    ("id", "links"),
    [("gemma-2-2b/12-res-16k", 20), ("gemma-2-2b", 0), ("a/../b", 0), ("a/b?c=", 0), (None, 0),
     ('a/b" onclick="x', 0), (3, 0)],
)  # fmt: skip
def test_a_feature_leads_to_its_page_where_its_sae_says_its_id(id: object, links: int) -> None:
    results = replace(make(sources=0), provenance={"saes": {"mid": {"neuronpedia": id}}})
    (table,) = [b for b in panel(results).blocks if isinstance(b, Grid)]
    assert len(table.links) == links
    if links:
        assert table.links[4, 0] == f"https://www.neuronpedia.org/{id}/4"
    strange = replace(make(sources=0), provenance={"saes": ["mid"]})
    assert [b.links for b in panel(strange).blocks if isinstance(b, Grid)] == [{}]


@pytest.mark.slow
@pytest.mark.parametrize("sources", [0, 1, 2])
def test_laws(sources: int) -> None:
    check_section(Features(SectionOptions()), make(sources=sources))


@pytest.mark.slow
def test_hostile_labels_cannot_become_markup() -> None:
    context = {"tokens": [HOSTILE, HOSTILE], "values": [1.0, 2.0], "mark": 0, "value": 2.0}
    label = {"sae": "mid", "feature": 0, "description": HOSTILE, "cluster": HOSTILE,
             "url": f"javascript:alert(1) {HOSTILE}", "contexts": [context]}  # fmt: skip
    results = hostile(make(**{"labels.evil": [label]}))
    page = render(results, discover(candidates=[SECTIONS]))
    assert "alert(1)" in page  # it is shown …
    for begun in ("<script>alert", "<img", "<b>", "<svg on", 'href="javascript', "\x1b", "\u202e"):
        assert begun not in page, begun  # … as text
