"""Layer profiles on the terminal: every number is shown, under its own name and place."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from rich.console import Console
from rich.text import Text

from harness.contract import Record
from harness.report.profiles import profiles


def record(id: str = "gap.mean@1", value: float | None = 1.0, **axes: Any) -> Record:
    here = {"pair": "p", "data": "web", "site": "resid_post.1"}
    undefined = "no token" if value is None else None
    return Record(id, value, 5, "tokens", "units", axes={**here, **axes}, undefined=undefined)


def cell(one: Record) -> Text:
    return Text("-" if one.value is None else f"<{one.value:g}>")


def shown(*records: Record) -> tuple[list[str], list[Record]]:
    groups, rest = profiles(records, cell)
    out = io.StringIO()
    console = Console(file=out, width=400, force_terminal=False)
    for group in groups:
        console.print(group)
    return [line.rstrip() for line in out.getvalue().split("\n") if line.strip()], rest


def test_a_row_for_each_number_and_a_column_for_each_site() -> None:
    lines, rest = shown(
        record(value=1.5),
        record(value=2.5, site="resid_post.2"),
        record("cosine.mean@1", 0.5),
        record("cosine.mean@1", 0.25, site="resid_post.2"),
    )
    assert rest == []
    assert [line.split() for line in lines] == [
        ["Pair", "p", "on", "web"],
        ["resid_post.1", "resid_post.2"],
        ["gap.mean", "<1.5>", "<2.5>"],
        ["cosine.mean", "<0.5>", "<0.25>"],
    ]


@pytest.mark.parametrize(
    "records",
    [
        [],
        [record()],
        [record(), record("cosine.mean@1")],
        [record(pair=None), record(pair=None, site="embed")],
        [record(), record(data="other", site="embed")],
        [record(), record(pair="q", site="embed")],
    ],
)
def test_what_was_measured_at_one_place_is_no_profile(records: list[Record]) -> None:
    lines, rest = shown(*records)
    assert lines == []
    assert rest == records


def test_what_is_in_no_profile_is_left_for_the_list() -> None:
    logits = Record("kl.mean@1", 3.0, 5, "tokens", "nats", axes={"pair": "p", "data": "web"})
    profile = [record(), record(site="embed")]
    alone = record(pair="q")
    lines, rest = shown(logits, *profile, alone)
    assert len(lines) == 3
    assert rest == [logits, alone]


def test_an_sae_alone_at_its_site_shares_the_column() -> None:
    lines, _ = shown(
        record(value=1.5), record("l0.mean@1", 7.0, sae="one"), record(site="embed", value=2.5)
    )
    assert lines[1].split() == ["resid_post.1", "embed"]
    assert [line.split()[1:] for line in lines[2:]] == [["<1.5>", "<2.5>"], ["<7>"]]


def test_two_saes_at_a_site_have_a_column_each() -> None:
    lines, _ = shown(
        record("l0.mean@1", 7.0, sae="one"),
        record("l0.mean@1", 9.0, sae="two"),
        record(site="embed", value=2.5),
    )
    assert lines[1].split() == ["resid_post.1", "one", "resid_post.1", "two", "embed"]
    assert lines[2].split() == ["l0.mean", "<7>", "<9>"]


def test_further_axes_make_further_rows() -> None:
    lines, _ = shown(
        *(
            record(value=n, site=site, domain=kind)
            for n, (site, kind) in enumerate(
                [("a.b", "x"), ("a.c", "x"), ("a.b", "y"), ("a.c", "y")]
            )
        ),
        record(value=9.0, site="a.b", view="base"),
    )
    assert [line.split() for line in lines[2:]] == [
        ["gap.mean", "domain=x", "<0>", "<1>"],
        ["gap.mean", "domain=y", "<2>", "<3>"],
        ["gap.mean", "view=base", "<9>"],
    ]


def test_numbers_that_differ_in_their_options_are_all_shown() -> None:
    """Such as one metric with a filter and without."""
    low = {"cosine_below": 0.9, "power": 1}
    lines, rest = shown(
        *(record(value=n + 1.0, site=f"resid_post.{n}") for n in range(2)),
        *(replace(record(value=n + 5.0, site=f"resid_post.{n}"), options=low) for n in range(2)),
        *(
            replace(record(value=n + 8.0, site=f"resid_post.{n}"), options={**low, "power": 2})
            for n in range(2)
        ),
    )
    text = "\n".join(lines)
    assert rest == []
    for value in (1, 2, 5, 6, 8, 9):
        assert f"<{value}>" in text
    assert len({line.rsplit("<", 2)[0] for line in lines[2:]}) == 3
    assert "cosine_below=0.9" in text


def test_versions_of_one_number_do_not_hide_each_other() -> None:
    lines, _ = shown(
        record("gap.mean@1", 1.0),
        record("gap.mean@2", 2.0),
        record("gap.mean@1", 3.0, site="embed"),
    )
    text = "\n".join(lines)
    assert all(f"<{n}>" in text for n in (1, 2, 3))


def test_the_reasons_of_what_is_undefined_are_below() -> None:
    lines, _ = shown(
        record(value=None),
        record(value=None, site="embed"),
        record("cosine.mean@1", None),
        record("cosine.mean@1", 1.0, site="embed"),
    )
    assert lines[-1] == "undefined for gap.mean, cosine.mean: no token"


def test_pairs_and_data_have_tables_of_their_own() -> None:
    sites = ("embed", "resid_post.1")
    lines, rest = shown(
        *(record(site=site, pair=pair, data=data)
          for pair in "pq" for data in ("web", "chat") for site in sites)
    )  # fmt: skip
    assert rest == []
    titles = [line for line in lines if line.startswith("Pair")]
    assert titles == ["Pair p on web", "Pair p on chat", "Pair q on web", "Pair q on chat"]


AXES = st.fixed_dictionaries(
    {
        "pair": st.sampled_from(["p", "q", None]),
        "data": st.sampled_from(["web", "chat"]),
        "site": st.sampled_from(["embed", "resid_post.1", "resid_post.2"]),
    },
    optional={
        "sae": st.sampled_from(["one", "two"]),
        "domain": st.sampled_from(["x", "y"]),
        "view": st.sampled_from(["base", "chat"]),
    },
)
OPTIONS = st.sampled_from([{}, {"power": 1}, {"power": 2}, {"cosine_below": 0.5, "power": 1}])
IDS = st.sampled_from(["gap.mean@1", "gap.mean@2", "l0.mean@1"])


def identity(one: tuple[str, dict[str, Any], dict[str, Any]]) -> str:
    """What no two records of a run have in common."""
    return json.dumps(one, sort_keys=True)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(IDS, OPTIONS, AXES), max_size=9, unique_by=identity))
def test_no_number_is_lost(many: list[tuple[str, dict[str, Any], dict[str, Any]]]) -> None:
    records = [
        Record(id, 1000.0 + n, 1, "tokens", "units", options=options, axes=axes)
        for n, (id, options, axes) in enumerate(many)
    ]
    lines, rest = shown(*records)
    text = "\n".join(lines)
    for one in records:
        assert (f"<{one.value:g}>" in text) != (one in rest)
