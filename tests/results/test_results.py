"""Results: strict JSON that comes back as it was, one record per number, written whole or not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from harness.contract import Direction, Found, Record, Site, Undefined
from harness.errors import DataError
from harness.results import Results, load_results
from harness.results.write import unique, write_directions, write_results
from harness.store.files import write_text

RECORD = Record(
    "fvu.pooled@1",
    0.25,
    100,
    "tokens",
    "ratio",
    {"norm": "rms", "k": 3, "levels": [0.1, 0.2], "nested": {"a": None}},
    clusters=12,
    ci=(0.2, 0.3),
    null={"kind": "identical", "value": 0.0},
    axes={"site": "resid_post.2", "k": 3, "flag": True, "none": None},
)
GONE = Record(
    "gone@1", None, 0, "tokens", "ratio", ci_why="nothing", undefined="nothing was measured"
)


def results(*records: Record, **more: Any) -> Results:
    given = {"status": "complete", "task": {"name": "x"}, "provenance": {"seed": 0}, **more}
    return Results(records=records, **given)


def strictly(file: Path) -> Any:
    """The file's content; fails on anything that is JSON only to Python."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(file.read_text(encoding="utf-8"), parse_constant=refuse)


def test_results_come_back_as_they_were(tmp_path: Path) -> None:
    written = results(RECORD, GONE, problems=("a \u2028 problem",), warnings=("w",))
    write_results(tmp_path, written)
    assert load_results(tmp_path) == written
    assert load_results(str(tmp_path)) == written


def test_the_file_has_its_schema_and_its_records_in_order(tmp_path: Path) -> None:
    write_results(tmp_path, results(RECORD, GONE))
    content = strictly(tmp_path / "results.json")
    assert content["schema"] == 1
    assert [row["id"] for row in content["records"]] == ["fvu.pooled@1", "gone@1"]
    assert set(content["records"][0]) >= {
        "id", "options", "value", "n", "n_of", "clusters", "unit", "ci", "null", "undefined", "axes"
    }  # fmt: skip


def test_numbers_of_numpy_become_plain_numbers(tmp_path: Path) -> None:
    record = replace(
        RECORD,
        value=np.float64(0.5),
        n=np.int64(3),
        ci=(np.float32(0.25), np.float64(1)),
        options={"a": np.int32(1), "b": np.bool_(True), "c": np.float32(0.5)},
        axes={"k": np.int64(2)},
    )
    write_results(tmp_path, results(record))
    (row,) = strictly(tmp_path / "results.json")["records"]
    assert (row["value"], row["n"], row["ci"]) == (0.5, 3, [0.25, 1.0])
    assert row["options"] == {"a": 1, "b": True, "c": 0.5}
    assert row["axes"] == {"k": 2}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_a_value_that_is_not_finite_is_refused_or_undefined_with_a_reason(
    tmp_path: Path, value: float
) -> None:
    try:
        write_results(tmp_path, results(replace(RECORD, value=value)))
    except (AssertionError, ValueError):
        assert not (tmp_path / "results.json").exists()
        return
    (record,) = load_results(tmp_path).records
    assert record.value is None
    assert record.undefined


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_elsewhere_is_never_written(tmp_path: Path, value: float) -> None:
    odd = replace(RECORD, options={"level": value, "list": [value]}, null={"value": value})
    write_results(tmp_path, results(odd, task={"x": value}, provenance={"y": [value]}))
    assert strictly(tmp_path / "results.json")["records"][0]["options"] == {
        "level": None,
        "list": [None],
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
RECORDS = st.builds(
    Record,
    id=st.text(max_size=10),
    value=FLOATS,
    n=st.integers(0, 2**40),
    n_of=st.text(max_size=5),
    unit=st.text(max_size=5),
    options=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
    clusters=st.none() | st.integers(0, 9),
    ci=st.none() | st.tuples(FLOATS, FLOATS),
    ci_why=st.none() | st.text(max_size=5),
    axes=st.dictionaries(
        st.text(max_size=5),
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | FLOATS,
        max_size=3,
    ),
)


@pytest.mark.slow
@given(st.lists(RECORDS, max_size=3))
def test_any_records_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    write_results(folder, results(*records))
    assert load_results(folder).records == tuple(records)
    strictly(folder / "results.json")


# ── Identity ─────────────────────────────────────────────────────────────────────────────────────


def test_the_same_record_twice_is_one() -> None:
    assert unique([RECORD, GONE, replace(RECORD)]) == (RECORD, GONE)


@pytest.mark.parametrize(
    "other",
    [
        replace(RECORD, id="fvu.pooled@2"),
        replace(RECORD, options={"norm": "none"}),
        replace(RECORD, axes={**RECORD.axes, "k": 4}),
    ],
)
def test_another_id_option_or_axis_is_another_record(other: Record) -> None:
    assert unique([RECORD, other]) == (RECORD, other)


def test_two_numbers_of_one_identity_are_a_bug_never_a_choice() -> None:
    with pytest.raises(AssertionError, match="one identity"):
        unique([RECORD, replace(RECORD, value=0.5)])


def test_the_order_of_axes_is_no_difference() -> None:
    turned = replace(RECORD, axes=dict(reversed(RECORD.axes.items())))
    with pytest.raises(AssertionError):
        unique([RECORD, replace(turned, value=0.5)])


# ── Reading ──────────────────────────────────────────────────────────────────────────────────────


def test_the_frame_has_a_row_per_record_and_a_column_per_axis(tmp_path: Path) -> None:
    frame = results(RECORD, GONE).frame
    assert list(frame["id"]) == ["fvu.pooled@1", "gone@1"]
    assert frame["value"][0] == 0.25
    assert frame["site"][0] == "resid_post.2"
    assert frame["undefined"][1] == "nothing was measured"
    assert len(results().frame) == 0


@pytest.mark.parametrize("axis", ["n", "value", "ci", "unit"])
def test_an_axis_never_hides_a_field_in_the_frame(axis: str) -> None:
    record = replace(RECORD, axes={axis: "an axis"})
    frame = results(record).frame
    shown = [frame[column][0] for column in frame.columns if column != axis]
    assert "an axis" in shown
    expected = getattr(record, axis)
    assert frame[axis][0] == (list(expected) if axis == "ci" else expected)


@pytest.mark.parametrize("id", ["fvu.pooled@1", "fvu.pooled"])
def test_a_value_is_found_by_its_id_and_axes(id: str) -> None:
    other = replace(RECORD, value=0.5, axes={**RECORD.axes, "k": 4})
    both = results(RECORD, other)
    assert both.value(id, k=3) == 0.25
    assert both.value(id, k=4, site="resid_post.2") == 0.5


@pytest.mark.parametrize(
    ("id", "axes"), [("fvu.pooled", {}), ("fvu", {"k": 3}), ("fvu.pooled", {"k": 9})]
)
def test_a_value_that_is_not_one_record_is_an_error(id: str, axes: dict[str, Any]) -> None:
    other = replace(RECORD, axes={**RECORD.axes, "k": 4})
    with pytest.raises(KeyError):
        results(RECORD, other).value(id, **axes)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "5", "null", '{"schema": 1}', '{"schema": 2, "records": []}',
     '{"schema": 1, "status": "complete", "task": {}, "provenance": {}, "records": [{"id": "x"}]}',
     '{"schema": 1, "status": "complete", "task": {}, "provenance": {}, "records": [5]}',
     '{"schema": 1, "status": "complete", "task": {}, "provenance": {}, "records": 5}'],
)  # fmt: skip
def test_a_file_that_is_no_results_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(DataError, match=r"results\.json"):
        load_results(tmp_path)


@pytest.mark.parametrize("kind", ["empty folder", "no folder", "file", "folder called so"])
def test_a_place_without_results_is_said_to_have_none(tmp_path: Path, kind: str) -> None:
    place = tmp_path / "x"
    match kind:
        case "empty folder":
            place.mkdir()
        case "file":
            place.touch()
        case "folder called so":
            (place / "results.json").mkdir(parents=True)
    with pytest.raises(DataError):
        load_results(place)


# ── Writing ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_file_is_written_whole_or_stays_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    file = tmp_path / "sub" / "f.txt"
    write_text(file, "old")

    def fail(*given: object) -> None:
        raise OSError(28, "full")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync" if failing == "fsync" else "pathlib.Path.replace", fail)
        with pytest.raises(OSError, match="full"):
            write_text(file, "new" * 1000)
    assert file.read_text() == "old"
    write_text(file, "new")
    assert file.read_text() == "new"
    assert [path.name for path in file.parent.iterdir()] == ["f.txt"]


def test_tables_are_parquet_with_their_rows(tmp_path: Path) -> None:
    import pyarrow.parquet

    rows = [{"channel": 0, "sum": 1.5, "name": "a"}, {"channel": 1, "sum": math.nan, "name": None}]
    write_results(tmp_path, results(tables={"d.sums": rows, "empty": []}))
    read = pyarrow.parquet.read_table(tmp_path / "tables" / "d.sums.parquet").to_pylist()
    assert read[0] == rows[0]
    assert read[1]["name"] is None


def saved(folder: Path) -> dict[str, tuple[np.ndarray, dict[str, str]]]:
    from safetensors import safe_open

    found = {}
    for file in sorted(folder.rglob("*.safetensors")):
        with safe_open(file, "numpy") as content:
            found[file.name] = (content.get_tensor("vectors"), content.metadata())
    return found


@pytest.mark.parametrize(
    "vectors",
    [
        np.arange(6.0).reshape(2, 3),
        np.arange(6.0).reshape(3, 2).T,
        np.arange(12.0).reshape(2, 6)[:, ::2],
        np.arange(6.0).reshape(2, 3)[::-1],
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    ],
    ids=["plain", "transposed", "strided", "reversed", "fortran"],
)
def test_a_direction_comes_back_as_it_was(tmp_path: Path, vectors: np.ndarray) -> None:
    direction = Direction(
        Site("resid_post", 2), vectors, sae="mid", features=(3, 5), weights=(1, 2)
    )
    write_directions(tmp_path, {"d": [Found(direction, {"k": 2})], "gone": [Found(Undefined("x"))]})
    ((name, (read, metadata)),) = saved(tmp_path).items()
    assert name == "d[k=2].safetensors"
    assert np.array_equal(read, vectors)
    assert (metadata["site"], metadata["sae"]) == ("resid_post.2", "mid")
    assert json.loads(metadata["features"]) == [3, 5]
    assert json.loads(metadata["axes"]) == {"k": 2}


def test_the_origin_of_a_direction_lies_beside_its_vectors(tmp_path: Path) -> None:
    origin = np.arange(3.0)
    direction = Direction(Site("resid_post", 2), np.ones((1, 3)), origin=origin)
    write_directions(tmp_path, {"d": [Found(direction)]})
    from safetensors.numpy import load_file

    (file,) = (tmp_path / "directions").iterdir()
    tensors = load_file(file)
    assert np.array_equal(tensors["origin"], origin)
    assert tensors.keys() == {"vectors", "origin"}


def test_so_do_its_readers(tmp_path: Path) -> None:
    readers = np.arange(6.0).reshape(2, 3).T[:2]  # not in C order
    direction = Direction(Site("resid_post", 2), np.ones((2, 2)), readers=readers)
    write_directions(tmp_path, {"d": [Found(direction)]})
    from safetensors.numpy import load_file

    (file,) = (tmp_path / "directions").iterdir()
    tensors = load_file(file)
    assert np.array_equal(tensors["readers"], readers)
    assert tensors.keys() == {"vectors", "readers"}


@pytest.mark.parametrize(
    "value",
    ["../../../up", "a/b", "/root", "x" * 300, "a\0b", ".."],
    ids=["up", "below", "root", "long", "nul", "dots"],
)
def test_an_axis_never_leads_out_of_the_folder(tmp_path: Path, value: str) -> None:
    direction = Direction(Site("resid_post", 2), np.ones((1, 2)))
    other = Direction(Site("resid_post", 2), np.zeros((1, 2)))
    found = [Found(direction, {"label": value}), Found(other, {"label": value + "."})]
    write_directions(tmp_path / "run", {"d": found})
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [file.parent for file in files] == [tmp_path / "run" / "directions"] * 2
    assert sorted(vectors.sum() for vectors, _ in saved(tmp_path).values()) == [0, 2]


# ── A whole run ──────────────────────────────────────────────────────────────────────────────────

TASK = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
[metrics.gap]
pair = "p"
[metrics.loss]
pair = "p"
[directions.d]
method = "probe"
view = "chat"
data = "web"
sweep = { scale = [1, 2] }
"""


def test_a_run_writes_what_it_returns_and_what_it_takes_to_run_it_again(
    run_task: Callable[..., Results], tmp_path: Path
) -> None:
    made = run_task(TASK)
    folder = tmp_path / "run"
    kept = load_results(folder)
    assert [replace(r, options={}) for r in kept.records] == [
        replace(r, options={}) for r in made.records
    ]
    assert kept.status == "complete"
    assert sorted(saved(folder)) == ["d[scale=1].safetensors", "d[scale=2].safetensors"]
    assert (folder / "tables" / "d.sums.parquet").is_file()
    assert (folder / "task.toml").is_file()
    strictly(folder / "results.json")


def test_provenance_says_what_numbers_came_from(run_task: Callable[..., Results]) -> None:
    found = run_task(TASK).provenance
    assert found["models"]["chat"]["fingerprint"] == "fake/3"
    assert found["saes"]["mid"]["fingerprint"] == "fake-sae"
    assert found["plugins"].keys() == {"fake"}
    assert "metric: fake/gap" in found["components"]
    assert len(found["data"]["web"]) == 64
    assert found["seed"] == 0
    assert found["packages"]["torch"]


def test_what_an_sae_says_of_itself_is_a_warning(run_task: Callable[..., Results]) -> None:
    made = run_task(TASK, "saes.mid.note=a little odd")
    assert made.warnings == ("saes.mid: a little odd",)
    assert run_task(TASK, fresh=True).warnings == ()


def test_the_same_run_has_the_same_numbers(run_task: Callable[..., Results]) -> None:
    assert run_task(TASK).records == run_task(TASK, fresh=True).records


@pytest.mark.parametrize("id", ["", "@1"])
def test_a_record_without_a_name_is_shown_as_it_is(
    said: Callable[..., tuple[int, str, str]], tmp_path: Path, id: str
) -> None:
    """Issue 13, item 5: `harness report` on an edited results.json was an IndexError."""
    axes: Any = {"experiment": "e", "direction": "none"}
    named = Record("polite.refused@1", 0.5, 4, "prompts", "share", ci_why="few", axes=axes)
    for records in ((replace(named, id=id),), (replace(named, id=id), named)):
        write_results(tmp_path, Results("complete", {"name": "t"}, {}, records))
        code, out, err = said("report", "-v", tmp_path)
        assert (code, "Traceback" in err, "Experiment e" in out) == (0, False, True)
