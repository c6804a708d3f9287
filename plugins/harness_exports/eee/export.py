"""The export `eee`: an aggregate record for each arm with scores, and its completions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

from harness.contract import ExportedRun, ExportFile, LeftOut, Record
from harness.errors import DataError
from harness.results import experiment_scores, grouped
from harness.text import shown_path
from harness_exports.arms.arms import Arm, arms_of, edited_left_out
from harness_exports.arms.file_names import safe_part
from harness_exports.arms.plain import plain
from harness_exports.arms.scores import ArmScore, scores_of
from harness_exports.eee.aggregate import Aggregate
from harness_exports.eee.options import EveryEvalEverOptions
from harness_exports.eee.rows import rows_of


class EveryEvalEver:
    """`data/COLLECTION/DEVELOPER/MODEL/UUID.json` for each arm, with `UUID_samples.jsonl` beside.

    An aggregate has, for each score of each judge or benchmark, its value, its 95% interval, its n,
    and the standard error where the verdicts of all completions are at hand. The UUID follows from
    the run and has the form of version 4, which the schema asks for.
    Source: evaleval/every_eval_ever, `schemas/eval.schema.json` and
    `schemas/instance_level_eval.schema.json`, version 0.3.0.
    """

    def __init__(self, options: EveryEvalEverOptions) -> None:
        self.options = options

    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        """The records of each arm; those of edited ones where the options ask for them."""
        arms = arms_of(run)
        if not any(_scored(arm) for arm in arms):
            raise DataError(
                f"{shown_path(run.folder)}: has no scores of a model, which Every Eval Ever is "
                "for. Allowed: a run with an experiment. Add [experiments] to the task, or use "
                "--to card."
            )
        if not self.options.edited and all(arm.edits for arm in arms if _scored(arm)):
            raise DataError(
                f"{shown_path(run.folder)}: has no scores of a model as it is, but those of edited "
                "ones. Allowed: edited = true, which marks them. Add --set edited=true."
            )
        for mine in grouped(arms, lambda arm: arm.experiment).values():
            if not self.options.edited:
                why = "their scores are those of an edited model; edited = true exports them"
                yield from edited_left_out(mine, why)
            for arm, scores in zip(mine, scores_of(mine), strict=True):
                if self.options.edited or not arm.edits:
                    yield from self._arm(run, arm, scores)

    def _arm(
        self, run: ExportedRun, arm: Arm, scores: Sequence[ArmScore]
    ) -> Iterator[ExportFile | LeftOut]:
        records = _scored(arm)
        for record in _all_scores(arm):
            if record.value is None:
                why = (record.undefined or "it is undefined").rstrip(".")
                yield LeftOut(f"{arm.experiment}: {arm.label}: {record.id}", why)
        if not records:
            return
        aggregate = Aggregate(run.results, arm, records, scores, self.options)
        developer, _, model = aggregate.model.id.partition("/")
        parts = ("data", self.options.collection, safe_part(developer), safe_part(model))
        path = "/".join((*parts, str(aggregate.uuid)))
        content, detailed = aggregate.content, None
        if self.options.completions:
            if arm.lost:
                what = f"{arm.experiment}: {arm.label}: its completions"
                yield LeftOut(what, "they are not in the run's samples any more")
            rows = list(rows_of(aggregate))
            lines = "".join(f"{_json(row)}\n" for row in rows)
            detailed = lines.encode()
        if detailed:
            content["detailed_evaluation_results"] = {
                "format": "jsonl",
                "file_path": f"{path}_samples.jsonl",
                "hash_algorithm": "sha256",
                "checksum": hashlib.sha256(detailed).hexdigest(),
                "total_rows": len(rows),
            }
            yield ExportFile(f"{path}_samples.jsonl", detailed)
        yield ExportFile(f"{path}.json", _json(content, indent=1) + "\n")


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(plain(value), ensure_ascii=True, allow_nan=False, indent=indent)


def _scored(arm: Arm) -> list[Record]:
    return [record for record in _all_scores(arm) if record.value is not None]


def _all_scores(arm: Arm) -> list[Record]:
    """The scores of an arm; how completions are written and what edits did are none."""
    return [record for mine in experiment_scores(arm.records).values() for record in mine]
