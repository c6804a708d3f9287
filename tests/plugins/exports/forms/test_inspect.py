"""Inspect logs: their structure, and that they give back scores, errors and n of the results."""

from __future__ import annotations

import io
import json
import math
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.handmade_run import ARMS, HOSTILE, SECRET, bare, exported
from harness.contract import ExportedRun, LeftOut
from harness.errors import DataError
from harness_exports.inspect_log.export import InspectLogs
from harness_exports.inspect_log.options import InspectLogsOptions

PLAIN, ABLATED, REBUILT = "bypass-as-it-is.eval", "bypass-refusal.eval", "bypass-rebuilt-k-2.eval"


def members(content: str | bytes) -> dict[str, Any]:
    """The files in a log, by name."""
    assert isinstance(content, bytes)
    with zipfile.ZipFile(io.BytesIO(content)) as file:
        assert file.testzip() is None
        return {name: json.loads(file.read(name)) for name in file.namelist()}


@pytest.fixture(scope="module")
def logs(run: ExportedRun) -> dict[str, dict[str, Any]]:
    found = InspectLogs(InspectLogsOptions()).files(run)
    return {one.path: members(one.content) for one in found if hasattr(one, "path")}


def samples(log: dict[str, Any]) -> list[dict[str, Any]]:
    return [content for name, content in log.items() if name.startswith("samples/")]


def test_there_is_a_log_for_each_state_of_the_model(run: ExportedRun) -> None:
    files, out = exported(InspectLogs(InspectLogsOptions()), run)
    assert list(files) == [PLAIN, ABLATED, REBUILT]
    assert out == {"bypass: rebuilt k=4": "every weight is 0"}
    files, out = exported(InspectLogs(InspectLogsOptions(edited=False)), run)
    assert list(files) == [PLAIN]
    assert list(out) == ["bypass: 3 arms under an intervention"]


def test_a_log_has_the_members_that_inspect_writes(logs: dict[str, dict[str, Any]]) -> None:
    for log in logs.values():
        names = [name for name in log if not name.startswith("samples/")]
        assert names == ["_journal/start.json", "summaries.json", "header.json"]
        header = log["header.json"]
        assert header["version"] == 2
        assert log["_journal/start.json"] == {k: header[k] for k in ("version", "eval", "plan")}
        assert len(samples(log)) == len(log["summaries.json"]) == 25
        for name, one in log.items():
            if name.startswith("samples/"):
                assert name == f"samples/{one['id']}_epoch_{one['epoch']}.json"


def test_scores_errors_and_n_are_those_of_the_results(
    run: ExportedRun, logs: dict[str, dict[str, Any]]
) -> None:
    for file, arm in zip((PLAIN, ABLATED, REBUILT), ARMS, strict=True):
        totals = {one["name"]: one for one in logs[file]["header.json"]["results"]["scores"]}
        assert len(totals) == 3
        for total in totals.values():
            (record,) = [
                r
                for r in run.results.records
                if r.id == total["metadata"]["record"]
                and {k: r.axes.get(k) for k in ("direction", "k")} == {**dict.fromkeys("k"), **arm}
            ]
            metrics = {name: metric["value"] for name, metric in total["metrics"].items()}
            assert metrics["mean"] == record.value
            assert (metrics["ci_low"], metrics["ci_high"]) == record.ci
            assert total["scored_samples"] == total["metadata"]["n"] == record.n
            assert total["unscored_samples"] == 25 - record.n
            values = [
                one["scores"][total["name"]]["value"]
                for one in samples(logs[file])
                if total["name"] in one["scores"]
            ]
            assert len(values) == record.n
            assert sum(values) / len(values) == pytest.approx(record.value)
            # Two of the prompts are one: the errors of both add up before they are squared.
            rest = np.array(values) - np.mean(values)
            squares = np.sum(rest[2:] ** 2) + (rest[0] + rest[1]) ** 2
            groups = record.n - 1
            error = math.sqrt(groups / (groups - 1) * squares) / record.n
            assert metrics["stderr"] == pytest.approx(error, abs=1e-12)


def test_a_refusal_is_a_number_and_neither_correct_nor_incorrect(
    logs: dict[str, dict[str, Any]],
) -> None:
    for log in logs.values():
        for one in (*samples(log), *log["summaries.json"]):
            for score in one["scores"].values():
                assert isinstance(score["value"], float)
                assert 0 <= score["value"] <= 1


def test_an_edited_state_never_looks_like_the_model(logs: dict[str, dict[str, Any]]) -> None:
    specs = {name: log["header.json"]["eval"] for name, log in logs.items()}
    assert specs[PLAIN]["task"] == "toy.bypass"
    assert specs[ABLATED]["task"] == "toy.bypass under ablation(refusal, mode=strict)"
    assert specs[REBUILT]["task"] == "toy.bypass under ablation(rebuilt, k=2, mode=strict)"
    assert len({spec["task_id"] for spec in specs.values()}) == 3
    assert len({spec["eval_id"] for spec in specs.values()}) == 3
    assert len({spec["run_id"] for spec in specs.values()}) == 1
    for name, spec in specs.items():
        facts = spec["task_args"]
        assert facts["harness.intervened"] is (name != PLAIN)
        assert ("intervened" in spec["tags"]) is (name != PLAIN)
        assert facts.items() <= spec["metadata"].items()
        assert (facts["harness.pair"], facts["harness.side"]) == (["base_vs_tuned"], ["right"])
        assert spec["model"] == "local/tuned"
    ablated = specs[ABLATED]["task_args"]
    assert ablated["harness.intervention"] == "ablation(refusal, mode=strict)"
    assert len(ablated["harness.direction_sha256"][0]) == 64
    assert ablated["harness.receipt"] == [{"relative": 0.47, "share of the direction left": 4e-8}]
    assert logs[ABLATED]["header.json"]["plan"]["steps"][0]["solver"].endswith("intervention")


def test_the_name_of_a_task_has_no_slash(run: ExportedRun) -> None:
    """Inspect would take what stands before it for a package, and leave out what was edited."""
    experiment = {**run.results.task["experiments"]["bypass"],
                  "intervention": {"method": "zeroing", "sae": "org/sae"}}  # fmt: skip
    task = {**run.results.task, "experiments": {"bypass": experiment}}
    changed = replace(run, results=replace(run.results, task=task))
    files, _ = exported(InspectLogs(InspectLogsOptions()), changed)
    told = members(files[ABLATED])["header.json"]["eval"]["task"]
    assert told == "toy.bypass under zeroing(refusal, sae=org_sae)"


def test_thoughts_stand_apart_and_what_was_not_judged_has_no_score(
    logs: dict[str, dict[str, Any]],
) -> None:
    by_id = {one["metadata"]["example"]: one for one in samples(logs[PLAIN])}
    said = by_id["row02"]["messages"][1]["content"]
    assert said == [
        {"type": "reasoning", "reasoning": "I think 2.", "redacted": False},
        {"type": "text", "text": "Answer 2 of none"},
    ]
    assert by_id["row02"]["output"]["completion"] == "Answer 2 of none"
    assert by_id["row03"]["messages"][1]["content"] == "Answer 3 of none"
    assert by_id["row03"]["scores"]["phrases.refusal"]["explanation"] == "refusal: 3"
    assert "quality.score" not in by_id["row05"]["scores"]
    assert by_id["row24"]["scores"] == {}
    choice = by_id["row24"]["output"]["choices"][0]
    assert choice["stop_reason"] == "max_tokens"
    assert logs[PLAIN]["header.json"]["results"]["completed_samples"] == 24


def test_the_same_run_gives_the_same_bytes(run: ExportedRun) -> None:
    first, _ = exported(InspectLogs(InspectLogsOptions()), run)
    slower = {**run.results.provenance, "usage": {"seconds": {"total": 99}}}
    again = replace(run, results=replace(run.results, provenance=slower))
    assert exported(InspectLogs(InspectLogsOptions()), again)[0] == first
    dated, _ = exported(InspectLogs(InspectLogsOptions(made="2026-11-29T09:00:00Z")), run)
    created = members(dated[PLAIN])["header.json"]["eval"]["created"]
    assert created == "2026-11-29T09:00:00+00:00"


def test_what_is_no_date_is_said_in_words() -> None:
    with pytest.raises(ValueError, match=r"'yesterday' is no date\. Allowed: one like 2026-11-29"):
        InspectLogsOptions(made="yesterday")


def test_paths_of_the_machine_stay_there(logs: dict[str, dict[str, Any]]) -> None:
    assert SECRET not in json.dumps(logs)
    assert "/home" not in json.dumps(logs)


def test_hostile_text_and_ids_change_no_structure(run: ExportedRun) -> None:
    odd = ["../../evil", "row02", "row02", "a\ud800b", "\x00", "CON"]
    rows = [
        {**row, "example": odd[place], "completion": f"\ud800{HOSTILE}\x00"}
        for place, row in enumerate(run.results.tables["completions"][: len(odd)])
    ]
    changed = replace(run, results=replace(run.results, tables={"completions": rows}))
    files, _ = exported(InspectLogs(InspectLogsOptions()), changed)
    log = members(files[PLAIN])
    names = [name for name in log if name.startswith("samples/")]
    assert len(set(names)) == len(odd)
    assert all(".." not in name and name.count("/") == 1 for name in names)
    text = samples(log)[0]["output"]["completion"]
    assert text == f"\ufffd{HOSTILE}\x00"


def test_an_invalid_run_is_an_error_of_inspect(run: ExportedRun) -> None:
    invalid = replace(run.results, status="invalid", problems=("the SAE sits elsewhere",))
    files, _ = exported(InspectLogs(InspectLogsOptions()), replace(run, results=invalid))
    header = members(files[PLAIN])["header.json"]
    assert header["status"] == "error"
    assert "the SAE sits elsewhere" in header["error"]["message"]
    assert "invalid" in header["eval"]["tags"]


def test_completions_that_are_lost_are_said_to_be(run: ExportedRun, tmp_path: Path) -> None:
    """The results know that a model wrote; nobody is told to add an experiment to the task."""
    lost = replace(run, results=replace(run.results, tables={}))
    with pytest.raises(DataError, match=r"samples: is not there or empty, though .* Put them back"):
        list(InspectLogs(InspectLogsOptions()).files(lost))
    rows = [row for row in run.results.tables["completions"] if row["direction"] != "refusal"]
    part = replace(run, results=replace(run.results, tables={"completions": rows}))
    made = list(InspectLogs(InspectLogsOptions()).files(part))
    (why,) = [one.why for one in made if isinstance(one, LeftOut) and "refusal" in one.what]
    assert why == "its completions are not in the run's samples any more"


def test_a_run_without_completions_is_said_in_one_line(run: ExportedRun, tmp_path: Path) -> None:
    records = tuple(one for one in run.results.records if "experiment" not in one.axes)
    nothing = bare(run, tmp_path, tables={}, records=records)
    with pytest.raises(DataError, match=r"has no completions, .* Allowed: .* Add \[experiments\]"):
        list(InspectLogs(InspectLogsOptions()).files(nothing))
