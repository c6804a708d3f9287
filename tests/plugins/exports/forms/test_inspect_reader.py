"""What inspect_ai's own reader makes of our logs; skipped where it is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.contract import ExportedRun, ExportFile
from harness_exports.inspect_log.export import InspectLogs
from harness_exports.inspect_log.options import InspectLogsOptions

log = pytest.importorskip("inspect_ai.log", exc_type=ImportError)
scorer = pytest.importorskip("inspect_ai.scorer", exc_type=ImportError)
pytestmark = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def folder(run: ExportedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("logs")
    for one in InspectLogs(InspectLogsOptions()).files(run):
        if isinstance(one, ExportFile):
            assert isinstance(one.content, bytes)
            (made / one.path).write_bytes(one.content)
    return made


def test_it_reads_scores_errors_and_n(run: ExportedRun, folder: Path) -> None:
    for file in folder.glob("*.eval"):
        read = log.read_eval_log(str(file))
        assert (read.status, read.version, len(read.samples)) == ("success", 2, 25)
        assert len(log.read_eval_log_sample_summaries(str(file))) == 25
        for total in read.results.scores:
            arm = read.eval.task_args["harness.arm"]
            (record,) = [
                one
                for one in run.results.records
                if one.id == total.metadata["record"] and arm.items() <= one.axes.items()
            ]
            values = {name: metric.value for name, metric in total.metrics.items()}
            assert values["mean"] == record.value
            assert (values["ci_low"], values["ci_high"]) == record.ci
            assert total.scored_samples == record.n
            scored = [
                scorer.SampleScore(score=one.scores[total.name], sample_id=one.id)
                for one in read.samples
                if total.name in one.scores
            ]
            assert scorer.mean()(scored) == pytest.approx(record.value)


def test_what_it_writes_again_is_the_same_log(folder: Path, tmp_path: Path) -> None:
    for file in folder.glob("*.eval"):
        read = log.read_eval_log(str(file))
        log.write_eval_log(read, str(tmp_path / "again.eval"))
        again = log.read_eval_log(str(tmp_path / "again.eval"))
        assert again.model_dump() == read.model_dump()


def test_it_sees_thoughts(folder: Path) -> None:
    read = log.read_eval_log(str(folder / "bypass-as-it-is.eval"))
    (one,) = [sample for sample in read.samples if sample.metadata["example"] == "row02"]
    thought, answer = one.output.choices[0].message.content
    assert (thought.type, thought.reasoning) == ("reasoning", "I think 2.")
    assert answer.text == one.output.completion == "Answer 2 of none"
