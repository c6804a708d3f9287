"""Numbers of several runs against pandas: means and deviations over seeds, medians over models."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness.contract import Record, Results, Runs, SharedNumber
from harness.several import gather
from harness.several.numbers import differently_made, shared_numbers, spread
from harness.several.telling import variants

Make = Callable[..., Results]
Made = Callable[..., Record]


def by_id(runs: Runs) -> dict[str, SharedNumber]:
    return {number.name: number for number in runs.numbers}


def together(*runs: Results) -> Runs:
    by, found = variants([(f"run-{n}", one) for n, one in enumerate(runs)])
    return Runs(by, found, shared_numbers(found))


@pytest.mark.parametrize("drawn", range(5))
def test_means_deviations_and_medians_are_those_of_pandas(
    grid: Callable[..., list[Path]], drawn: int
) -> None:
    """Some values are undefined, some are missing; the reference drops neither from its counts."""
    rng = random.Random(drawn)
    values: dict[tuple[str, int], dict[str, float | None]] = {}
    for model in "abcd"[: rng.randint(1, 4)]:
        for seed in range(rng.randint(1, 5)):
            mine = {id: rng.uniform(-9, 9) * 10 ** rng.randint(-6, 6) for id in ("x.y", "z", "w")}
            values[model, seed] = {
                id: None if rng.random() < 0.2 else value
                for id, value in mine.items()
                if rng.random() < 0.8 or id == "w"
            }
    found = gather(grid(values)).runs
    rows = [(m, s, id, v) for (m, s), mine in values.items() for id, v in mine.items()]
    table = pd.DataFrame(rows, columns=["model", "seed", "id", "value"])
    table["value"] = table["value"].astype(float)
    models = sorted({model for model, _ in values})
    for id, number in by_id(found).items():
        mine = table[table["id"] == id]
        means = []
        for model, one in zip(models, number.spreads, strict=True):
            here = mine[mine["model"] == model]["value"]
            seeds = sum(m == model for m, _ in values)
            assert (one.n, one.undefined) == (here.count(), here.isna().sum())
            assert one.n + one.undefined + one.missing == seeds
            if one.n:
                assert one.mean == pytest.approx(here.mean(), rel=1e-12)
                means.append(here.mean())
            else:
                assert one.mean is None
            if one.n > 1:
                assert one.sd == pytest.approx(here.std(ddof=1), rel=1e-9)
            else:
                assert one.sd is None
        assert number.n == len(means)
        if means:
            assert number.median == pytest.approx(np.median(means), rel=1e-12)
        else:
            assert number.median is None


def test_no_order_of_runs_matters(run: Make, record: Made) -> None:
    rng = random.Random(3)
    runs = [
        (f"{model}-{seed}", run(
            [record(id, rng.gauss(0, 1), pair="p", site="resid_post.1") for id in "xyz"],
            model, seed,
        ))
        for model in ("m10", "m9", "m100") for seed in (10, 2)
    ]  # fmt: skip
    expected = None
    for order in itertools.islice(itertools.permutations(runs), 0, 720, 37):
        by, found = variants(order)
        whole = (by, found, shared_numbers(found))
        assert expected is None or whole == expected
        expected = whole
    assert expected is not None
    assert [variant.label for variant in expected[1]] == ["m9", "m10", "m100"]
    assert [one.seed for one in expected[1][0].runs] == ["2", "10"]


def test_one_run_alone_gives_its_own_numbers(run: Make, record: Made) -> None:
    records = [record("x", 0.1, k=k) for k in (1, 2)] + [record("y", None)]
    found = together(run(records))
    assert len(found.variants) == 1
    assert found.variants[0].label == "tiny"
    assert [n.spreads[0].records for n in found.numbers] == [(one,) for one in records]
    assert [n.spreads[0].mean for n in found.numbers] == [0.1, 0.1, None]
    assert [n.median for n in found.numbers] == [0.1, 0.1, None]
    assert [n.spreads[0].undefined for n in found.numbers] == [0, 0, 1]


def test_other_versions_and_options_are_never_put_together(run: Make, record: Made) -> None:
    one, two = record("x", 1.0), replace(record("x", 3.0), id="x@2")
    three = replace(record("x", 5.0), options={"norm": "l2"})
    found = together(run([one], "a"), run([two], "b"), run([three], "c"))
    assert [number.median for number in found.numbers] == [1.0, 3.0, 5.0]
    assert [number.n for number in found.numbers] == [1, 1, 1]
    assert all(sum(one.missing for one in number.spreads) == 2 for number in found.numbers)
    assert differently_made(found.variants) == ["x"]
    assert not differently_made(together(run([one], "a"), run([one], "b")).variants)


def test_a_number_that_only_some_runs_hold_is_not_made_otherwise(run: Make, record: Made) -> None:
    found = together(run([record("x", 1.0)], "a"), run([], "b"))
    assert not differently_made(found.variants)
    (number,) = found.numbers
    assert [one.missing for one in number.spreads] == [0, 1]


def at(record: Made, value: float, sae: str, site: int) -> Record:
    return record("x", value, pair="p", sae=sae, site=f"resid_post.{site}")


def test_models_of_other_depths_meet_at_the_name_of_the_sae(run: Make, record: Made) -> None:
    found = together(
        run([at(record, 1, "early", 2), at(record, 2, "late", 5)], "a"),
        run([at(record, 3, "early", 9), at(record, 4, "late", 20)], "b"),
    )
    assert [(n.axes, n.median) for n in found.numbers] == [
        ({"pair": "p", "sae": "early"}, 2.0), ({"pair": "p", "sae": "late"}, 3.0),
    ]  # fmt: skip


def test_the_same_site_stays_an_axis(run: Make, record: Made) -> None:
    found = together(run([at(record, 1, "early", 2)], "a"), run([at(record, 3, "early", 2)], "b"))
    assert found.numbers[0].axes == {"pair": "p", "sae": "early", "site": "resid_post.2"}


def test_an_sae_at_several_sites_of_one_run_is_told_by_its_site(run: Make, record: Made) -> None:
    """The preflight measures an SAE beside its site, too: which of those belong together?"""
    found = together(
        run([at(record, 1, "mid", 3), at(record, 2, "mid", 4)], "a"),
        run([at(record, 3, "mid", 4), at(record, 4, "mid", 5)], "b"),
    )
    assert sorted((n.axes["site"], n.median, n.n) for n in found.numbers) == [
        ("resid_post.3", 1.0, 1), ("resid_post.4", 2.5, 2), ("resid_post.5", 4.0, 1),
    ]  # fmt: skip


def test_the_mean_is_exact_where_floats_cancel(record: Made) -> None:
    values = [1e16, 1.0, -1e16]
    for order in itertools.permutations(values):
        found = spread([record("x", value) for value in order])
        assert found.mean == pytest.approx(1 / 3, rel=1e-15)


def test_numbers_beyond_a_float_are_no_crash(record: Made) -> None:
    most = 1.7e308
    found = spread([replace(record("x", 0.0), value=v, ci=None) for v in (most, -most, most)])
    assert found.sd is None or found.sd > 0
    assert found.mean is not None


def test_the_frame_has_every_record_with_its_run(run: Make, record: Made) -> None:
    found = together(
        run([record("x", 1.0, run=7), record("y", None)], "a"),
        run([record("x", 2.0, run=8)], "b", seed=4),
    )
    frame = found.frame
    assert list(frame.columns[:3]) == ["run", "variant", "seed"]
    assert list(frame["run"]) == ["run-0", "run-0", "run-1"]
    assert list(frame["variant"]) == ["a", "a", "b"]
    assert list(frame["seed"]) == ["0", "0", "4"]
    assert frame["axis_run"].tolist()[0::2] == [7, 8]
    assert together(run()).frame.empty


def test_settings_of_any_kind_make_variants(run: Make, record: Made) -> None:
    found = together(*(run([record("x", float(k))], task={"k": k}) for k in (100, 20, 3)))
    assert found.by == ("k",)
    assert [variant.label for variant in found.variants] == ["3", "20", "100"]
    assert found.numbers[0].median == 20


def test_values_reach_the_result_untouched(run: Make, record: Made) -> None:
    more: dict[str, Any] = {"clusters": 4}
    one = replace(record("x", 0.1 + 0.2), **more)
    assert together(run([one])).numbers[0].spreads[0].records == (one,)
