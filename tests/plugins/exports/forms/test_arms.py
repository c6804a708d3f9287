"""What exports know of a run's arms: which there are, their edits, their scores and errors."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from harness.contract import ExportedRun, Record
from harness.errors import DataError
from harness.store.names import unsafe
from harness_exports.arms.arms import Arm, arms_of
from harness_exports.arms.file_names import FileNames, safe_part
from harness_exports.arms.identity import made_at, made_id, run_hash
from harness_exports.arms.kept_directions import kept_directions
from harness_exports.arms.scores import ArmScore, scores_of
from harness_exports.arms.subjects import portable, sides, subject


def test_each_arm_has_its_records_rows_and_edits(run: ExportedRun) -> None:
    arms = arms_of(run)
    assert [arm.label for arm in arms] == ["as it is", "refusal", "rebuilt k=2", "rebuilt k=4"]
    assert [len(arm.rows) for arm in arms] == [25, 25, 25, 0]
    assert [arm.words for arm in arms] == [
        "",
        "ablation(refusal, mode=strict)",
        "ablation(rebuilt, k=2, mode=strict)",
        "ablation(rebuilt, k=4, mode=strict)",
    ]
    for arm in arms:
        assert all(record.axes["direction"] == arm.axes["direction"] for record in arm.records)
        assert all(record.axes.get("k") == arm.axes.get("k") for record in arm.records)
    assert arms[1].edits[0].receipt == {"relative": 0.47, "share of the direction left": 4e-8}


def test_rows_and_records_of_an_arm_meet_in_any_order_of_axes(run: ExportedRun) -> None:
    def more(one: Record) -> Record:
        rest = {key: value for key, value in one.axes.items() if key != "direction"}
        direction = one.axes.get("direction")
        return replace(one, axes={"z": 1, **rest, "direction": direction, "a": 2})

    scores = tuple(more(one) for one in run.results.records if "experiment" in one.axes)
    rows = [{"a": 2, "log_probability": n, **row, "z": 1} for n, row in
            enumerate(run.results.tables["completions"])]  # fmt: skip
    changed = replace(run.results, records=scores, tables={"completions": rows})
    arms = arms_of(replace(run, results=changed))
    assert [len(arm.rows) for arm in arms] == [25, 25, 25, 0]
    assert [arm.label for arm in arms][1:3] == ["refusal a=2 z=1", "rebuilt a=2 k=2 z=1"]


def test_the_hash_of_a_direction_is_that_of_its_numbers_and_place(run: ExportedRun) -> None:
    (found,) = [one for one in kept_directions(run.folder) if one.name == "refusal"]
    drawn = np.random.default_rng(5).normal(size=(4, 8))[:1] * 5
    whole = b"resid_post.4\n(1, 8)\n" + drawn.astype("<f8").tobytes()
    assert arms_of(run)[1].edits[0].sha256 == hashlib.sha256(whole).hexdigest()
    assert found.site == "resid_post.4"


def test_an_edit_of_the_view_counts_also_without_a_direction(run: ExportedRun) -> None:
    edit = {"method": "addition", "coefficient": 2.0, "direction": "rebuilt", "at": {"k": 2}}
    views = {**run.results.task["views"], "tuned": {"model": "tuned", "edit": edit}}
    edited = replace(run.results, task={**run.results.task, "views": views})
    arms = arms_of(replace(run, results=edited))
    assert arms[0].words == "addition(rebuilt, k=2, coefficient=2.0)"
    assert arms[0].edits[0].sha256 is not None
    assert arms[1].words.endswith("+ ablation(refusal, mode=strict)")


def test_scores_are_those_of_the_records(run: ExportedRun) -> None:
    arms = arms_of(run)
    for arm, scores in zip(arms, scores_of(arms), strict=True):
        for one in scores:
            assert one.record is not None
            assert one.record in arm.records
            assert one.mean == pytest.approx(one.record.value, abs=1e-12)
            assert one.n == one.record.n
    names = {one.key: one.record.id for one in scores_of(arms)[0] if one.record}
    assert names == {
        "phrases.refusal": "refusal_score@1",
        "phrases.verbatim": "refusal_score.verbatim@1",
        "quality.score": "quality@1",
    }


def test_names_that_agree_in_one_arm_are_told_apart_by_another() -> None:
    """In the first arm `b` has the mean of both records, in the second only that of its own."""

    def arm(name: str, a: list[bool], b: list[bool]) -> Arm:
        rows = [
            {"example": str(i), "completion": "", "verdicts": {"judge": {"b": y, "a": x}}}
            for i, (x, y) in enumerate(zip(a, b, strict=True))
        ]
        axes = {"direction": name, "evaluator": "judge"}
        records = tuple(
            Record(id, sum(values) / 4, 4, "prompts", "share", axes=axes)
            for id, values in (("a_share@1", a), ("b_share@1", b))
        )
        return Arm("e", {"direction": name}, "v", "d", records, tuple(rows), ())

    arms = [
        arm("one", [True, False, True, False], [False, True, False, True]),
        arm("two", [True, True, True, False], [True, False, False, False]),
    ]
    for mine in scores_of(arms):
        assert {one.name: one.record and one.record.id for one in mine} == {
            "a": "a_share@1",
            "b": "b_share@1",
        }


_VALUES = st.lists(
    st.tuples(st.one_of(st.none(), st.floats(-5, 5)), st.integers(0, 4)), min_size=1, max_size=30
)


@pytest.mark.slow
@given(_VALUES)
def test_the_standard_error_is_that_of_clusters(drawn: list[tuple[float | None, int]]) -> None:
    """Against the sandwich of a mean: residuals summed within clusters, over n²."""
    score = ArmScore("e", "s", tuple(v for v, _ in drawn), tuple(str(c) for _, c in drawn), None)
    known = [(v, c) for v, c in drawn if v is not None]
    clusters = sorted({c for _, c in known})
    if len(clusters) < 2:
        assert score.standard_error is None
        return
    values = np.array([v for v, _ in known])
    rest = values - values.mean()
    member = np.array([[c == g for _, c in known] for g in clusters], float)
    middle = float(rest @ member.T @ member @ rest)
    expected = math.sqrt(len(clusters) / (len(clusters) - 1) * middle) / len(values)
    assert score.standard_error == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_with_different_prompts_it_is_that_of_numpy() -> None:
    values = [0.0, 1.0, 1.0, 0.5, 0.25]
    score = ArmScore("e", "s", tuple(values), tuple("abcde"), None)
    assert score.standard_error == pytest.approx(np.std(values, ddof=1) / math.sqrt(5))


def test_models_are_named_without_paths(run: ExportedRun) -> None:
    base, tuned = subject(run.results, "base"), subject(run.results, "tuned")
    assert (base.id, base.local, base.options) == (
        "google/gemma-2-2b",
        False,
        {"revision": "abc123"},
    )
    assert (tuned.id, tuned.local, tuned.options) == ("local/tuned", True, {"adapter": "lora"})
    assert tuned.fingerprint == "c" * 64
    assert sides(run.results, "tuned") == [("base_vs_tuned", "right")]
    assert portable({"a": ["/x/y", "C:\\u\\v", "z/w", 1]}) == {"a": ["y", "v", "z/w", 1]}


@pytest.mark.parametrize(
    ("entry", "id"),
    [
        ({"gguf": "/x/chat-q4.gguf", "tokenizer": "/x/base"}, "local/chat-q4.gguf"),
        ({"backend": "openai", "server_model": "chat"}, "unknown/chat"),
        ({"backend": "openai", "server_model": "org/chat"}, "org/chat"),
        ({"path": "org/chat"}, "org/chat"),
        ({"path": "C:\\models\\chat"}, "local/chat"),
        ({}, "unknown/m"),
    ],
    ids=str,
)
def test_wherever_a_model_comes_from_it_has_an_id(
    run: ExportedRun, entry: dict[str, str], id: str
) -> None:
    task = {**run.results.task, "models": {"m": entry}}
    assert subject(replace(run.results, task=task), "m").id == id


def test_a_run_is_named_by_what_it_found_and_not_by_how_it_ran(run: ExportedRun) -> None:
    elsewhere = {**run.results.provenance, "usage": {}, "command": "other", "git": None}
    task = {**run.results.task, "models": {**run.results.task["models"], "tuned": {
        "path": "/mnt/tuned", "adapter": "/mnt/lora"}}}  # fmt: skip
    again = replace(run.results, provenance=elsewhere, task=task)
    assert run_hash(again) == run_hash(run.results)
    first, *others = run.results.records
    moved = replace(run.results, records=(replace(first, value=0.871), *others))
    assert run_hash(moved) != run_hash(run.results)
    one = made_id("a", 1)
    assert (one.version, one) == (4, made_id("a", 1))
    assert one != made_id("a", 2)


def test_its_time_is_that_of_its_first_claim(run: ExportedRun) -> None:
    assert made_at(run.results, None).isoformat() == "2026-11-28T21:24:06+00:00"
    assert made_at(run.results, "2026-01-02").isoformat() == "2026-01-02T00:00:00+00:00"
    nothing = replace(run.results, claims=(), families=())
    assert made_at(nothing, None).isoformat() == "1970-01-01T00:00:00+00:00"
    odd = replace(run.results, claims=(replace(run.results.claims[0], written="yesterday"),))
    assert made_at(odd, None).year == 1970


@pytest.mark.slow
@given(st.lists(st.text(max_size=200), unique=True, max_size=12))
def test_file_names_are_safe_and_differ(words: list[str]) -> None:
    names = FileNames(".eval")
    found = [names.name("x", word) for word in words]
    assert len({name.lower() for name in found}) == len(words)
    for name in [*found, *map(safe_part, words)]:
        assert name.isascii()
        assert unsafe(name) == ""


@pytest.mark.parametrize("word", ["con", "NUL", "data", "aux.txt", "..", ""])
def test_names_that_systems_keep_are_not_used(word: str) -> None:
    assert unsafe(safe_part(word)) == ""
    assert safe_part(word).lower() not in ("data", "con", "nul")


@pytest.mark.parametrize(
    "content", [b"", b"\x08\x00\x00\x00\x00\x00\x00\x00notjson!", b"\xff" * 64], ids=str
)
def test_a_file_that_is_no_direction_is_said_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "directions").mkdir()
    (tmp_path / "directions" / "d.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"d\.safetensors: is no direction of a run: .* Remove it"):
        kept_directions(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"example": 3}, {"completion": None}, {"verdicts": []}, {"verdicts": {"a": 1}}],
    ids=str,
)
def test_a_row_that_is_no_completion_is_said_in_one_line(
    run: ExportedRun, change: dict[str, object]
) -> None:
    rows = [{**run.results.tables["completions"][0], **change}]
    broken = replace(run, results=replace(run.results, tables={"completions": rows}))
    with pytest.raises(DataError, match="'bypass' is no completion with verdicts"):
        arms_of(broken)
