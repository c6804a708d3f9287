"""Every Eval Ever: records that its schemas accept and that give back score, errors and n."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from fakes.handmade_run import PROMPTS, SECRET, bare, exported
from harness.contract import ExportedRun, Record
from harness.errors import DataError
from harness_exports.eee.export import EveryEvalEver
from harness_exports.eee.options import EveryEvalEverOptions

SCHEMAS = Path(__file__).with_name("every_eval_ever")
EDITED = EveryEvalEverOptions(edited=True)
Found = dict[str, str | bytes]


def text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode()


def aggregates(files: Found) -> dict[str, dict[str, Any]]:
    """The aggregates, by the name of their first evaluation."""
    whole = [json.loads(text(files[path])) for path in files if path.endswith(".json")]
    return {one["evaluation_results"][0]["evaluation_name"]: one for one in whole}


def rows(files: Found, aggregate: dict[str, Any]) -> list[dict[str, Any]]:
    path = aggregate["detailed_evaluation_results"]["file_path"]
    return [json.loads(line) for line in text(files[path]).split("\n") if line]


@pytest.fixture(scope="module")
def files(run: ExportedRun) -> Found:
    return exported(EveryEvalEver(EDITED), run)[0]


def test_its_own_schemas_accept_every_file(files: Found) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    names = {".json": "eval.schema.json", ".jsonl": "instance_level_eval.schema.json"}
    for path, content in files.items():
        ending = PurePosixPath(path).suffix
        schema = json.loads((SCHEMAS / names[ending]).read_text())
        check = jsonschema.Draft7Validator(schema)
        lines = [content] if ending == ".json" else text(content).strip().split("\n")
        for line in lines:
            assert [error.message for error in check.iter_errors(json.loads(line))] == []


def test_scores_errors_and_n_come_back(run: ExportedRun, files: Found) -> None:
    seen = 0
    for aggregate in aggregates(files).values():
        for result in aggregate["evaluation_results"]:
            id, judge, axes = result["evaluation_result_id"].split("|")
            (record,) = [
                one
                for one in run.results.records
                if one.id == id
                and one.axes.get("evaluator") == judge
                and {k: one.axes[k] for k in ("direction", "k") if k in one.axes}
                == json.loads(axes)
            ]
            details = result["score_details"]
            assert details["score"] == record.value
            uncertainty = details["uncertainty"]
            assert uncertainty["num_samples"] == record.n
            interval = uncertainty["confidence_interval"]
            assert (interval["lower"], interval["upper"]) == record.ci
            assert interval["confidence_level"] == 0.95
            mine = [
                row["evaluation"]["score"]
                for row in rows(files, aggregate)
                if row["evaluation_result_id"] == result["evaluation_result_id"]
            ]
            assert len(mine) == record.n
            mean = math.fsum(mine) / len(mine)
            assert mean == pytest.approx(record.value)
            rest = [value - mean for value in mine]
            squares = math.fsum(r * r for r in rest[2:]) + (rest[0] + rest[1]) ** 2
            error = math.sqrt((record.n - 1) / (record.n - 2) * squares) / record.n
            assert uncertainty["standard_error"]["value"] == pytest.approx(error, abs=1e-12)
            seen += 1
    assert seen == 6  # a variant of a score that is there itself is left out, as in the report


def test_samples_hang_on_their_aggregate(files: Found) -> None:
    for path in files:
        if not path.endswith(".json"):
            continue
        whole = json.loads(text(files[path]))
        told = whole["detailed_evaluation_results"]
        assert told["file_path"] == path.removesuffix(".json") + "_samples.jsonl"
        content = files[told["file_path"]]
        assert isinstance(content, bytes)
        assert told["checksum"] == hashlib.sha256(content).hexdigest()
        mine = rows(files, whole)
        assert told["total_rows"] == len(mine)
        ids = {result["evaluation_result_id"] for result in whole["evaluation_results"]}
        assert {row["evaluation_result_id"] for row in mine} == ids
        assert {row["evaluation_id"] for row in mine} == {whole["evaluation_id"]}
        assert {row["model_id"] for row in mine} == {whole["model_info"]["id"]} == {"local/tuned"}
        assert path.startswith("data/sae-harness/local/tuned/")


def test_edited_scores_are_left_out_unless_asked_for_and_then_say_so(run: ExportedRun) -> None:
    files, out = exported(EveryEvalEver(EveryEvalEverOptions()), run)
    assert list(aggregates(files)) == ["toy.bypass"]
    assert set(out) == {"bypass: 3 arms under an intervention"}
    assert all("edited model" in why for why in out.values())
    files, out = exported(EveryEvalEver(EDITED), run)
    assert out == {"bypass: rebuilt k=4: refusal_score@1": "every weight is 0"}
    found = aggregates(files)
    ablated = "toy.bypass under ablation(refusal, mode=strict)"
    assert set(found) == {
        "toy.bypass",
        ablated,
        "toy.bypass under ablation(rebuilt, k=2, mode=strict)",
    }
    assert len({one["evaluation_id"] for one in found.values()}) == 3
    for name, one in found.items():
        edited = name != "toy.bypass"
        facts = one["source_metadata"]["additional_details"]
        assert facts["intervened"] == json.dumps(edited)
        assert ("intervention" in one["model_info"]["additional_details"]) is edited
        for result in one["evaluation_results"]:
            assert ("under" in result["evaluation_name"]) is edited
            assert ("intervention" in result["score_details"]["details"]) is edited
        for row in rows(files, one):
            assert ("intervention" in row["metadata"]) is edited
    receipt = json.loads(found[ablated]["model_info"]["additional_details"]["intervention_facts"])
    assert receipt[0]["receipt"]["relative"] == 0.47
    assert len(receipt[0]["direction_sha256"]) == 64


def test_a_sample_has_what_was_asked_thought_and_answered(files: Found) -> None:
    plain = aggregates(files)["toy.bypass"]
    by_sample = {row["sample_id"]: row for row in rows(files, plain)}
    assert len(by_sample) == PROMPTS - 1  # the last one has no answer, and nobody judged it
    one = by_sample["row02"]
    assert one["input"]["raw"].startswith("Question 2?")
    assert one["input"]["formatted"] == "<user>Question 2?<model>"
    assert one["output"] == {"raw": ["Answer 2 of none"], "reasoning_trace": ["I think 2."]}
    assert by_sample["row03"]["output"]["reasoning_trace"] is None
    assert by_sample["row01"]["metadata"]["copy_of"] == "row00"
    whole = json.dumps({"raw": one["input"]["raw"], "reference": []},
                       sort_keys=True, separators=(",", ":"))  # fmt: skip
    assert one["sample_hash"] == hashlib.sha256(whole.encode()).hexdigest()
    assert {row["evaluation"]["is_correct"] for row in rows(files, plain)} == {True, False}


def test_what_it_was_made_from_is_said(files: Found) -> None:
    result = aggregates(files)["toy.bypass"]["evaluation_results"][0]
    source = result["source_data"]
    assert (source["source_type"], source["hf_repo"]) == ("hf_dataset", "org/harmful")
    assert (source["hf_split"], source["additional_details"]["revision"]) == ("test", "def")
    drawn = result["generation_config"]["generation_args"]
    assert (drawn["temperature"], drawn["max_tokens"], drawn["reasoning"]) == (0.7, 32, True)
    metric = result["metric_config"]
    assert (metric["min_score"], metric["max_score"]) == (0.0, 1.0)
    assert metric["additional_details"]["lower_is_better"].startswith("not known")


def test_a_benchmark_gives_a_score_for_each_part_and_no_samples(
    run: ExportedRun, tmp_path: Path
) -> None:
    axes = {"experiment": "before", "view": "tuned", "model": "tuned", "direction": "none",
            "evaluator": "questions", "task": "mmlu"}  # fmt: skip
    records = (
        Record("accuracy@1", 0.5, 40, "questions", "share", ci=(0.35, 0.65), axes=axes),
        Record("accuracy@1", 0.6, 20, "questions", "share", axes={**axes, "domain": "law"},
               ci_why="too few"),
        Record("answer_length@1", 31.0, 20, "questions", "tokens", axes=axes),
    )  # fmt: skip
    task = {**run.results.task, "experiments": {"before": {"view": "tuned"}}}
    changed = bare(run, tmp_path, records=records, tables={}, task=task)
    files, out = exported(EveryEvalEver(EveryEvalEverOptions()), changed)
    ((path, content),) = files.items()
    assert out == {}
    assert path.endswith(".json")
    whole = json.loads(text(content))
    assert "detailed_evaluation_results" not in whole
    overall, part, length = whole["evaluation_results"]
    assert [one["evaluation_name"] for one in (overall, part)] == [
        "toy.before.mmlu",
        "toy.before.mmlu.law",
    ]
    assert overall["metric_config"]["metric_id"] == "accuracy"
    assert "confidence_interval" not in part["score_details"]["uncertainty"]
    assert part["score_details"]["details"]["no_interval"] == "too few"
    assert length["metric_config"]["max_score"] == "Infinity"


def test_the_same_run_gives_the_same_bytes_and_no_path(run: ExportedRun, files: Found) -> None:
    slower = {**run.results.provenance, "usage": {}, "command": "elsewhere"}
    again = replace(run, results=replace(run.results, provenance=slower))
    assert exported(EveryEvalEver(EDITED), again)[0] == files
    assert all(SECRET not in text(content) for content in files.values())


def test_options_reach_the_record(run: ExportedRun) -> None:
    given = EveryEvalEverOptions(
        completions=False,
        collection="ours",
        organization="A lab",
        relationship="third_party",
        less_is_better=("refusal_score",),
        made="2026-11-29",
    )
    ((path, content),) = exported(EveryEvalEver(given), run)[0].items()
    whole = json.loads(text(content))
    assert path.startswith("data/ours/local/tuned/")
    assert whole["source_metadata"]["source_organization_name"] == "A lab"
    assert whole["evaluation_results"][0]["metric_config"]["lower_is_better"] is True
    assert whole["retrieved_timestamp"] == "1795910400"


def test_a_run_without_scores_is_said_in_one_line(run: ExportedRun, tmp_path: Path) -> None:
    nothing = bare(run, tmp_path, tables={}, records=run.results.records[:2])
    with pytest.raises(DataError, match=r"has no scores of a model, .* Add \[experiments\]"):
        exported(EveryEvalEver(EveryEvalEverOptions()), nothing)
    edited = [one for one in run.results.records if one.axes.get("direction") == "refusal"]
    rows = [row for row in run.results.tables["completions"] if row["direction"] == "refusal"]
    only = replace(run, results=replace(run.results, records=tuple(edited),
                                        tables={"completions": rows}))  # fmt: skip
    with pytest.raises(DataError, match=r"those of edited ones\. .* Add --set edited=true"):
        exported(EveryEvalEver(EveryEvalEverOptions()), only)
