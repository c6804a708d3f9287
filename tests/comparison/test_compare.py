"""Runs side by side: the same numbers paired by prompts, everything else refused or said."""

from __future__ import annotations

import io
import json
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness.comparison.comparison import Comparison, compare, compare_folders
from harness.comparison.terminal import as_json, show_comparison
from harness.contract import Record
from harness.errors import DataError, UsageError
from harness.results import Results
from harness.results.samples import Run, Samples, load_samples
from harness.results.write import write_results

Arms = Mapping[str, Mapping[str, Any]]
AT = {"experiment": "e", "view": "chat", "data": "web"}
FVU = Record("fvu.pooled@1", 0.25, 90, "tokens", "ratio", {"norm": "rms"}, ci=(0.2, 0.3),
             axes={"site": "resid_post.2", "sae": "mid"})  # fmt: skip


def prompts(*values: object, name: str = "p") -> dict[str, Any]:
    return {f"{name}{n}": value for n, value in enumerate(values)}


def run(
    name: str = "one",
    arms: Arms | None = None,
    *more: Record,
    id: str = "polite.refused@1",
    options: Mapping[str, Any] | None = None,
    text: Callable[[str], str] = str,
    **results: Any,
) -> Run:
    """A run with the verdicts of one score by arm and prompt, and with further records."""
    records, rows = [], []
    for direction, verdicts in (arms or {}).items():
        known = [float(v) for v in verdicts.values() if v is not None]
        at = {**AT, "direction": direction, "evaluator": "polite"}
        share = sum(known) / len(known) if known else None
        records.append(
            Record(id, share, len(known), "prompts", "share", options or {}, axes=at,
                   undefined=None if known else "nothing was judged")
        )  # fmt: skip
        rows += [
            {"direction": direction, "example": prompt, "text": text(prompt),
             "verdicts": {"polite": {"refused": verdict, "note": "x"}}}
            for prompt, verdict in verdicts.items()
        ]  # fmt: skip
    given = {"status": "complete", "task": {"name": "x"}, "provenance": {"seed": 0}, **results}
    return Run(name, Results(records=(*records, *more), **given), Samples({"e": rows}))


def write(folder: Path, one: Run) -> Path:
    write_results(folder, one.results)
    for experiment, rows in one.samples.rows.items():
        (folder / "samples").mkdir(exist_ok=True)
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / "samples" / f"{experiment}.jsonl").write_text(text, encoding="utf-8")
    return folder


def refusal(*runs: Run, **more: Any) -> str:
    with pytest.raises(UsageError) as caught:
        compare(runs, **more)
    assert caught.value.exit_code == 2
    return str(caught.value)


FIRST = run("one", {"none": prompts(*[True] * 12), "a": prompts(*[True] * 6, *[False] * 6)}, FVU)
SECOND = run(
    "two", {"none": prompts(*[True] * 12), "a": prompts(True, *[False] * 10, True)},
    replace(FVU, value=0.5),
)  # fmt: skip

# ── Rows ─────────────────────────────────────────────────────────────────────────────────────────


def test_rows_are_the_shared_numbers_in_the_baselines_order() -> None:
    found = compare([FIRST, SECOND])
    assert found.runs == ("one", "two")
    assert [(row.id, row.axes.get("direction")) for row in found.rows] == [
        ("polite.refused@1", "none"), ("polite.refused@1", "a"), ("fvu.pooled@1", None)
    ]  # fmt: skip
    _, arm, fvu = found.rows
    assert (arm.baseline.value, arm.others[0].value) == (0.5, pytest.approx(1 / 6))
    (paired,) = arm.differences
    assert paired.value == pytest.approx(-1 / 3)
    assert (paired.paired, paired.prompts, paired.rose, paired.fell) == (True, 12, 1, 5)
    assert paired.p == pytest.approx(0.21875)
    assert paired.ci is not None
    (plain,) = fvu.differences
    assert (plain.value, plain.paired, plain.ci, plain.p) == (0.25, False, None, None)
    assert "no values by document" in str(plain.ci_why)


def test_a_run_compared_with_itself_is_the_same_everywhere() -> None:
    found = compare([FIRST, FIRST])
    assert [row.differences[0].value for row in found.rows] == [0, 0, 0]
    assert all(row.same for row in found.rows)
    assert (found.changes, found.missing) == ((), ())


def test_swapping_the_runs_flips_the_signs() -> None:
    there, back = compare([FIRST, SECOND]), compare([SECOND, FIRST])
    assert len(there.rows) == len(back.rows) == 3
    for one, two in zip(there.rows, back.rows, strict=True):
        assert one.id == two.id
        assert one.differences[0].value == -two.differences[0].value  # type: ignore[operator]
        assert one.differences[0].p == two.differences[0].p


def test_the_order_of_samples_and_records_does_not_matter() -> None:
    rows = Samples({"e": list(reversed(SECOND.samples.rows["e"]))})
    records = tuple(reversed(SECOND.results.records))
    other = Run("two", replace(SECOND.results, records=records), rows)
    assert compare([FIRST, other]) == compare([FIRST, SECOND])


def test_several_runs_are_each_compared_with_the_first() -> None:
    third = run("three", {"none": prompts(*[True] * 12), "a": prompts(*[False] * 12)}, FVU)
    found = compare([FIRST, SECOND, third])
    assert [len(row.differences) for row in found.rows] == [2, 2, 2]
    both = found.rows[1].differences
    assert both == (compare([FIRST, SECOND]).rows[1].differences
                    + compare([FIRST, third]).rows[1].differences)  # fmt: skip


def test_numbers_are_the_same_however_they_are_written() -> None:
    """A file may hold 8.0 where another holds 8, and keys in another order."""
    one = replace(FVU, options={"k": 8, "b": 1})
    two = replace(FVU, options={"b": 1.0, "k": 8.0})
    assert len(compare([run("one", {}, one), run("two", {}, two)]).rows) == 1


def test_verdicts_are_matched_by_their_numbers_and_not_by_their_names() -> None:
    def rows(*verdicts: tuple[bool, bool]) -> Samples:
        return Samples({"e": [
            {"direction": "a", "example": f"p{n}", "verdicts": {"polite": {"x": x, "y": y}}}
            for n, (x, y) in enumerate(verdicts)
        ]})  # fmt: skip

    one = run("one", {"a": prompts(True, False, False)})
    two = run("two", {"a": prompts(True, True, False)})
    left = replace(one, samples=rows((True, False), (True, True), (True, False)))
    right = replace(two, samples=rows((False, True), (False, True), (False, False)))
    (difference,) = compare([left, right]).rows[0].differences
    assert (difference.paired, difference.rose, difference.fell) == (True, 1, 0)
    # Both names have the value in both runs, and say different things: nobody knows.
    left = replace(one, samples=rows((True, False), (False, True), (False, False)))
    right = replace(two, samples=rows((True, True), (True, True), (False, False)))
    (difference,) = compare([left, right]).rows[0].differences
    assert not difference.paired
    assert difference.ci_why == "several scores in the samples have these values: x, y"


def test_the_share_that_could_not_be_judged_is_paired_too() -> None:
    at = {**AT, "direction": "a", "evaluator": "polite"}
    left = run("one", {"a": prompts(True, None, True, True)},
               Record("invalid_verdicts@1", 0.25, 4, "prompts", "share", axes=at))  # fmt: skip
    right = run("two", {"a": prompts(True, True, True, False)},
                Record("invalid_verdicts@1", 0.0, 4, "prompts", "share", axes=at))  # fmt: skip
    score, invalid = compare([left, right]).rows
    assert (invalid.differences[0].rose, invalid.differences[0].fell) == (0, 1)
    # A prompt that one run could not judge is no pair.
    assert (score.differences[0].prompts, score.differences[0].fell) == (3, 1)
    assert "over the 3 prompts that both runs judged" in str(score.differences[0].note)


# ── Prompts that are not shared ──────────────────────────────────────────────────────────────────


def test_some_shared_prompts_are_compared_on_those() -> None:
    left = run("one", {"a": prompts(True, True, False, False)})
    right = run("two", {"a": prompts(False, True)})
    (difference,) = compare([left, right]).rows[0].differences
    assert (difference.value, difference.prompts) == (-0.5, 2)
    assert difference.note == (
        "over the 2 prompts that both runs judged, of 4 and 2: both values and their difference"
    )


def test_where_prompts_are_shared_in_part_all_three_numbers_are_over_those() -> None:
    """Issue 13, item 5: 0.21, 0.10, difference 0 was three numbers of three sets of prompts."""
    first = [True] * 1 + [False] * 9 + [True] * 6 + [False] * 17
    left, right = run("one", {"a": prompts(*first)}), run("two", {"a": prompts(*first[:10])})
    comparison = compare([left, right])
    (row,) = comparison.rows
    assert (row.baseline.value, row.others[0].value, row.differences[0].value) == (0.1, 0.1, 0)
    assert row.baseline.n == row.others[0].n == row.differences[0].prompts == 10
    assert not row.same, "the runs hold other prompts, so it is listed"
    frame = comparison.frame.iloc[0]
    assert (frame.baseline, frame.other, frame.difference) == (0.1, 0.1, 0)
    # Of three runs, each is compared with the baseline over what the two share.
    third = run("three", {"a": prompts(*first[:16])})
    (row,) = compare([left, right, third]).rows
    assert [(base.value, side.value) for base, side, _ in row.sides()] == [
        (0.1, 0.1),
        (7 / 16,) * 2,
    ]


def test_other_prompts_give_newcombes_interval() -> None:
    left = run("one", {"a": prompts(*[True] * 7, *[False] * 3)})
    right = run("two", {"a": prompts(*[True] * 2, *[False] * 8, name="q")})
    (difference,) = compare([left, right]).rows[0].differences
    assert (difference.value, difference.paired) == (pytest.approx(-0.5), False)
    assert (difference.method, difference.p) == ("Newcombe's interval", None)


def test_the_same_prompts_under_other_ids_are_neither() -> None:
    left = run("one", {"a": prompts(True, False)})
    right = run("two", {"a": prompts(True, True, name="q")}, text=lambda id: id.replace("q", "p"))
    (difference,) = compare([left, right]).rows[0].differences
    assert (difference.value, difference.ci, difference.p) == (0.5, None, None)
    assert "under different ids" in str(difference.ci_why)


@pytest.mark.parametrize("side", [0, 1])
def test_samples_that_are_missing_or_of_another_run_make_no_pairs(side: int) -> None:
    runs = [FIRST, SECOND]
    runs[side] = replace(runs[side], samples=Samples())
    arm = compare(runs).rows[1].differences[0]
    assert (arm.value, arm.ci) == (pytest.approx(-1 / 3), None)
    assert arm.ci_why == f"{runs[side].name} holds no samples/e.jsonl"
    runs[side] = replace(runs[side], samples=run("x", {"a": prompts(True)}).samples)
    arm = compare(runs).rows[1].differences[0]
    assert (arm.value, arm.paired) == (pytest.approx(-1 / 3), False)
    assert arm.ci_why == "no verdicts in the samples of both runs give the values of the results"


def test_what_is_undefined_has_no_difference_and_the_reason() -> None:
    gone = run("two", {"none": prompts(*[True] * 12), "a": prompts(None, None)},
               replace(FVU, value=None, undefined="no token was measured"))  # fmt: skip
    _, arm, fvu = compare([FIRST, gone]).rows
    assert arm.differences[0].value is None
    assert arm.differences[0].undefined == "in two: nothing was judged"
    assert fvu.differences[0].undefined == "in two: no token was measured"
    both = compare([gone, replace(gone, name="three")]).rows[2].differences[0]
    assert both.undefined == "in both: no token was measured"
    other = replace(FVU, value=None, undefined="all was filtered")
    both = compare([gone, run("three", {}, other)]).rows[0].differences[0]
    assert both.undefined == "in two: no token was measured; in three: all was filtered"


# ── What differs besides ─────────────────────────────────────────────────────────────────────────


def test_what_only_some_runs_hold_is_said() -> None:
    more = run("two", {}, FVU, replace(FVU, axes={"site": "resid_post.3"}))
    found = compare([run("one", {}, FVU), more, run("three", {}, FVU)])
    assert [(each.id, each.axes, each.runs) for each in found.missing] == [
        ("fvu.pooled@1", {"site": "resid_post.3"}, (1,))
    ]


def test_what_the_runs_were_made_from_is_compared() -> None:
    one = run("one", {}, FVU, task={"seed": 0, "models": {"chat": {"path": "a"}}, "k": [1, 2]},
              provenance={"seed": 0, "models": {"chat": {"fingerprint": "abc"}},
                          "data": {"web": "d1"}, "packages": {"torch": "2.1"},
                          "components": ["metric: a", "metric: b"]})  # fmt: skip
    two = run("two", {}, FVU, task={"seed": 1, "models": {"chat": {"path": "a"}}, "k": [1, 4]},
              provenance={"seed": 1, "models": {"chat": {"fingerprint": "abd"}},
                          "data": {"web": "d1", "more": "d2"}, "packages": {"torch": "2.2"},
                          "components": ["metric: b"]}, status="partial")  # fmt: skip
    assert {change.what: change.values for change in compare([one, two]).changes} == {
        "status": ("complete", "partial"),
        "provenance.seed": ("0", "1"),
        "provenance.models.chat.fingerprint": ("abc", "abd"),
        "provenance.packages.torch": ("2.1", "2.2"),
        "provenance.components.metric: a": ("present", "—"),
        "task.seed": ("0", "1"),
        "task.k": ("[1, 2]", "[1, 4]"),
        "provenance.data.more": ("—", "d2"),
    }


# ── Refusals ─────────────────────────────────────────────────────────────────────────────────────


def test_another_version_is_refused() -> None:
    said = refusal(run("one", {}, FVU), run("two", {}, replace(FVU, id="fvu.pooled@2")))
    assert "one and two computed numbers of one name differently" in said
    assert "fvu.pooled@1 against fvu.pooled@2 (site=resid_post.2 sae=mid)" in said


def test_other_options_are_refused_and_those_that_differ_are_named_once() -> None:
    more = [replace(FVU, axes={"site": f"resid_post.{n}"}) for n in range(4)]
    other = [replace(record, options={"norm": "l2", "deep": {"x": 1}}) for record in more]
    said = refusal(run("one", {}, *more), run("two", {}, *other))
    assert (
        'fvu.pooled@1 with norm = "rms", deep = unset against fvu.pooled@1 with norm = "l2", '
        'deep = {"x": 1} (site=resid_post.0, and 3 more)'
    ) in said
    assert len(said.splitlines()) == 3


def test_mixed_numbers_elsewhere_do_not_hinder_a_choice() -> None:
    other = run("two", {"none": prompts(True), "a": prompts(True)}, replace(FVU, id="fvu.pooled@2"))
    assert "--only" in refusal(FIRST, other)
    found = compare([FIRST, other], only="polite.")
    assert {row.id for row in found.rows} == {"polite.refused@1"}


def test_many_mixed_numbers_are_cut_and_counted() -> None:
    one = [replace(FVU, id=f"m{n}@1") for n in range(9)]
    two = [replace(FVU, id=f"m{n}@2") for n in range(9)]
    assert "\n  and 4 more\n" in refusal(run("one", {}, *one), run("two", {}, *two))


def test_two_settings_in_one_run_are_no_mixture() -> None:
    both = [FVU, replace(FVU, options={"norm": "l2"})]
    found = compare([run("one", {}, *both), run("two", {}, FVU)])
    assert len(found.rows) == len(found.missing) == 1


def test_nothing_in_common_is_refused() -> None:
    said = refusal(run("one", {}, FVU), run("two", {}, replace(FVU, id="l0@1")))
    assert said == "compare: the runs share no number. Ids they hold: fvu.pooled@1, l0@1."
    assert "begins with 'x'" in refusal(FIRST, SECOND, only="x")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path / "one", FIRST), write(tmp_path / "two", SECOND)


def test_one_run_is_too_few(folders: tuple[Path, Path]) -> None:
    with pytest.raises(UsageError, match="at least two runs"):
        compare_folders(folders[:1])


def test_an_invalid_run_is_refused_unless_allowed(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    bad = replace(SECOND.results, status="invalid", problems=("the adapter did not attach.",))
    write_results(folders[1], bad)
    with pytest.raises(UsageError, match=r"two: the run is invalid.*the adapter did not attach\."):
        compare_folders(folders)
    assert len(compare_folders(folders, allow_invalid=True).rows) == 3


def test_a_folder_without_a_run_or_with_another_schema_is_refused(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    for bad in (tmp_path, tmp_path / "nowhere", folders[0] / "results.json"):
        with pytest.raises(DataError, match="Name a run's folder"):
            compare_folders([folders[0], bad])
    content = json.loads((folders[1] / "results.json").read_text())
    (folders[1] / "results.json").write_text(json.dumps({**content, "schema": 2}))
    with pytest.raises(DataError, match="schema 2, this version reads 1"):
        compare_folders(folders)


@pytest.mark.parametrize(
    "line", ["{", "[]", "3", '{"example": 1}', '{"example": "a"}',
             '{"example": "a", "verdicts": 1}', "\udc80"],
)  # fmt: skip
def test_damaged_samples_are_refused(folders: tuple[Path, Path], line: str) -> None:
    file = folders[1] / "samples" / "e.jsonl"
    file.write_bytes(line.encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=r"e\.jsonl: is not the samples of a run"):
        compare_folders(folders)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1" + "0" * 400])
def test_numbers_that_no_run_writes_are_refused(folders: tuple[Path, Path], value: str) -> None:
    file = folders[1] / "samples" / "e.jsonl"
    file.write_text(file.read_text().replace('"refused": true', f'"refused": {value}', 1))
    with pytest.raises(DataError, match=r"e\.jsonl: is not the samples of a run"):
        compare_folders(folders)


@pytest.mark.parametrize("value", ['"yes"', "[1]"])
def test_odd_verdicts_make_no_pairs(folders: tuple[Path, Path], value: str) -> None:
    file = folders[1] / "samples" / "e.jsonl"
    file.write_text(file.read_text().replace('"refused": true', f'"refused": {value}', 1))
    assert not compare_folders(folders).rows[0].differences[0].paired


def test_lines_are_separated_by_line_ends_alone(tmp_path: Path) -> None:
    write(tmp_path, FIRST)
    row = {"direction": "a", "example": "x", "text": "a\u2028b\x85c", "verdicts": {}}
    text = json.dumps(row, ensure_ascii=False)
    (tmp_path / "samples" / "f.jsonl").write_text(f"{text}\n\n{text}\n", encoding="utf-8")
    assert len(load_samples(tmp_path).rows["f"]) == 2


# ── On the terminal, as JSON and as a frame ──────────────────────────────────────────────────────

HOSTILE = "\x1b[31mred\x1b]0;t\x07 [bold]b[/bold] [/] \u202e \r\n\x00\x9b2J"


def shown(found: Comparison, **more: Any) -> str:
    out = io.StringIO()
    show_comparison(found, Console(file=out, width=250), **more)
    return out.getvalue()


def test_the_terminal_shows_what_changed_and_counts_the_rest() -> None:
    text = shown(compare([FIRST, replace(SECOND, results=replace(
        SECOND.results, provenance={"seed": 1}))]))  # fmt: skip
    lines = [line.split() for line in text.splitlines()]
    assert ["provenance.seed", "0", "1"] in lines
    assert "Experiment e: a view=chat data=web evaluator=polite" in text
    (arm,) = [line for line in lines if line[:1] == ["polite.refused"]]
    assert arm[1:4] == ["0.5", "0.167", "-0.33"]
    assert arm[-3:] == ["0.22", "1", "5"]
    assert "1 of 1 row: no interval, results keep no values by document" in text
    assert "The same in all runs: 1 of 3 numbers. --only PREFIX" in text
    assert "none" in shown(compare([FIRST, SECOND]), every=True)


def test_nothing_to_show_is_said() -> None:
    text = shown(compare([FIRST, FIRST]))
    assert "Made from the same task, models, data and versions." in text
    assert "The same in all runs: 3 of 3 numbers." in text
    assert "McNemar" not in text


def test_hostile_text_is_shown_and_does_nothing() -> None:
    hostile = {HOSTILE: HOSTILE}
    one = run(HOSTILE, {HOSTILE: prompts(True)},
              replace(FVU, id=f"a{HOSTILE}@1", axes=hostile, ci_why=HOSTILE),
              replace(FVU, axes={}), id=f"b{HOSTILE}@1", options=hostile,
              provenance=hostile)  # fmt: skip
    two = run("two", {HOSTILE: prompts(None)},
              replace(FVU, id=f"a{HOSTILE}@1", axes=hostile, value=9.0),
              replace(FVU, id="c@1", axes=hostile),
              id=f"b{HOSTILE}@1", options=hostile, provenance={HOSTILE: "x"})  # fmt: skip
    found = compare([one, two])
    text = shown(found)
    assert "[bold]b[/bold]" in text
    bad = [c for c in text + as_json(found) if c != "\n" and unicodedata.category(c)[0] == "C"]
    assert not bad


def test_the_json_is_strict_and_holds_everything() -> None:
    odd = replace(FVU, options={"level": float("nan")}, axes={"x": 1})
    found = compare([run("one", {}, FVU, odd), run("two", {}, FVU, odd)])

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    content = json.loads(as_json(found), parse_constant=refuse)
    assert content["schema"] == 1
    assert set(content) == {"schema", "runs", "rows", "missing", "changes"}
    assert content["rows"][1]["options"] == {"level": None}
    assert content["rows"][0]["differences"][0]["value"] == 0


def test_the_frame_has_a_row_for_each_number_and_run() -> None:
    odd = replace(FVU, axes={"value": 1, "p": 2, "run": 3})
    one, two = run("one", {}, FVU, odd), run("two", {}, FVU, odd)
    frame = compare([one, two, replace(two, name="three")]).frame
    assert list(frame["run"]) == ["two", "three"] * 2
    assert list(frame["difference"]) == [0] * 4
    assert frame.loc[2, ["axis_p", "axis_run"]].tolist() == [2, 3]
    assert frame.loc[0, "site"] == "resid_post.2"


def test_numbers_that_differ_stand_before_what_the_runs_were_made_from() -> None:
    other = replace(SECOND.results, provenance={"seed": 1})
    lines = shown(compare([FIRST, replace(SECOND, results=other)])).splitlines()
    assert lines[:2] == [f"run 1: {FIRST.name} (the baseline)", f"run 2: {SECOND.name}"]
    assert lines[2] == (
        "2 of 3 numbers differ; of 1 the difference has an interval, and in 0 it leaves out 0."
    )
    place = {
        what: next(n for n, line in enumerate(lines) if what in line)
        for what in ("Experiment e", "The same in all", "What they were made from", "seed")
    }
    assert sorted(place.values()) == list(place.values())
    assert shown(compare([FIRST, FIRST])).splitlines()[2] == "No number differs, of 3."
