"""The aggregate record of an arm: who was evaluated, how, and with which scores."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from harness.contract import Record, Results
from harness.results import record_name
from harness_exports.arms.arms import Arm
from harness_exports.arms.generation import sampling_of
from harness_exports.arms.identity import made_at, made_id, run_hash
from harness_exports.arms.scores import ArmScore
from harness_exports.arms.subjects import Subject, is_path, model_of, portable, sides, subject
from harness_exports.arms.tables import table
from harness_exports.eee.options import EveryEvalEverOptions

SCHEMA_VERSION = "0.3.0"
_GLOBAL = frozenset({"accuracy"})
"""Scores that the registry of Every Eval Ever has under this very name."""
_AROUND = frozenset({"experiment", "view", "model", "data", "evaluator"})
"""Axes of a score that are said elsewhere in the record."""


@dataclass(frozen=True)
class Aggregate:
    """The aggregate of one arm, with what its samples are made of."""

    results: Results
    arm: Arm
    records: Sequence[Record]
    """Its scores, all of them defined."""
    scores: Sequence[ArmScore]
    """What judges said of each completion."""
    options: EveryEvalEverOptions

    @cached_property
    def model(self) -> Subject:
        """The model that was evaluated."""
        return subject(self.results, model_of(self.results, self.arm.view))

    @cached_property
    def run(self) -> str:
        """A hash of the run."""
        return run_hash(self.results)

    @cached_property
    def uuid(self) -> uuid.UUID:
        """What names the record and its samples."""
        return made_id("eee", self.run, self.arm.experiment, sorted(self.arm.axes.items()))

    @property
    def made(self) -> datetime:
        """When the run was made, or 1970."""
        return made_at(self.results, self.options.made)

    @property
    def name(self) -> str:
        """`refusal.bypass`, with what acted on the model behind it."""
        name = f"{self.results.task.get('name', 'run')}.{self.arm.experiment}"
        return f"{name} under {self.arm.words}" if self.arm.edits else name

    @property
    def evaluation_id(self) -> str:
        """One for each arm of each run."""
        seconds = int(self.made.timestamp())
        name = self.name.replace("/", "_")
        return f"{name}@{self.run[:12]}/{self.model.id}/{seconds}"

    @property
    def content(self) -> dict[str, Any]:
        """The record as JSON."""
        return {
            "schema_version": SCHEMA_VERSION,
            "evaluation_id": self.evaluation_id,
            "retrieved_timestamp": str(int(self.made.timestamp())),
            "source_metadata": {
                "source_name": "sae-harness",
                "source_type": "evaluation_run",
                "source_organization_name": self.options.organization,
                "evaluator_relationship": self.options.relationship,
                "additional_details": texts(self._origin()),
            },
            "eval_library": {
                "name": "sae-harness",
                "version": str(self.results.provenance.get("harness") or "unknown"),
                "additional_details": texts(table(self.results.provenance, "packages")),
            },
            "model_info": self._model_info(),
            "evaluation_results": [self._result(record) for record in self.records],
        }

    def _origin(self) -> dict[str, Any]:
        """What the run was, and what acted on the model: an edited score says so here, too."""
        return {
            "run_sha256": self.run,
            "run_status": self.results.status,
            "problems": list(self.results.problems) or None,
            "warnings": list(self.results.warnings) or None,
            "intervened": bool(self.arm.edits),
            "git": self.results.provenance.get("git"),
        }

    def _model_info(self) -> dict[str, Any]:
        model = self.model
        served = "server_model" in table(self.results.task, "models", model.name)
        developer = model.id.partition("/")[0]
        versions = table(self.results.provenance, "packages")
        engine = {"name": model.backend, "version": str(versions.get(model.backend, "unknown"))}
        return {
            "name": model.place,
            "id": model.id,
            **({} if developer in ("local", "unknown") else {"developer": developer}),
            "inference_engine": engine,
            "additional_details": texts(
                {
                    "deployment_type": "unknown" if served else "self_deployed",
                    "model_availability": self.options.availability,
                    "weights_sha256": model.fingerprint,
                    "dtype": model.dtype,
                    "name_in_task": model.name,
                    "side_of": [f"{side} of {pair}" for pair, side in self._sides],
                    "options": model.options or None,
                    **self._edits(),
                }
            ),
        }

    @property
    def _sides(self) -> list[tuple[str, str]]:
        return sides(self.results, self.model.name)

    def _edits(self) -> dict[str, Any]:
        if not self.arm.edits:
            return {}
        return {
            "intervention": self.arm.words,
            "intervention_facts": [edit.facts for edit in self.arm.edits],
        }

    def result_id(self, record: Record) -> str:
        """What joins a score and the completions that it is of."""
        axes = {key: value for key, value in record.axes.items() if key not in _AROUND}
        parts = [record.id, record.axes.get("evaluator", ""), json.dumps(axes, sort_keys=True)]
        return "|".join(map(str, parts))

    def evaluation_name(self, record: Record) -> str:
        """The evaluation, with the part of the data that the score is of."""
        parts = [
            str(value)
            for key, value in record.axes.items()
            if key not in _AROUND and key not in self.arm.axes
        ]
        return ".".join([self.name, *parts])

    def score_of(self, record: Record) -> ArmScore | None:
        """The verdicts whose mean a record is; None of a benchmark's."""
        return next((one for one in self.scores if one.record == record), None)

    def _result(self, record: Record) -> dict[str, Any]:
        return {
            "evaluation_result_id": self.result_id(record),
            "evaluation_name": self.evaluation_name(record),
            "source_data": self._source(record),
            "metric_config": self._metric(record),
            "score_details": self._score(record),
            "generation_config": self._generation(),
        }

    def _source(self, record: Record) -> dict[str, Any]:
        spec = table(self.results.task, "data", self.arm.data or "")
        if self.arm.data is None:
            name = str(record.axes.get("task") or record.axes.get("evaluator"))
            return {"dataset_name": name, "source_type": "other"}
        details = {
            "sha256": table(self.results.provenance, "data").get(self.arm.data),
            **{key: spec.get(key) for key in ("config", "revision", "column", "limit", "skip")},
        }
        source: dict[str, Any] = {"dataset_name": self.arm.data}
        if spec.get("hub"):
            source |= {"source_type": "hf_dataset", "hf_repo": str(spec["hub"])}
            source |= {"hf_split": str(spec.get("split", "train"))}
        elif spec.get("url") and not is_path(spec["url"]):
            source |= {"source_type": "url", "url": [str(spec["url"])]}
        else:
            source |= {"source_type": "other"}
            details["file"] = portable(spec.get("file"))
        return {**source, "additional_details": texts(details)}

    def _metric(self, record: Record) -> dict[str, Any]:
        name = record_name(record)
        known = name in self.options.less_is_better
        remark = {} if known else {"lower_is_better": "not known; the schema asks for a value"}
        share = record.unit == "share"
        part = [key for key in record.axes if key not in _AROUND and key not in self.arm.axes]
        return {
            "metric_id": name if name in _GLOBAL else f"sae-harness.{name}",
            "metric_name": name,
            "metric_kind": name.partition(".")[0],
            "metric_unit": "proportion" if share else record.unit,
            "metric_parameters": {"record": record.id},
            "lower_is_better": known,
            "score_type": "continuous",
            "min_score": 0.0 if share else "-Infinity",
            "max_score": 1.0 if share else "Infinity",
            "additional_details": texts(
                {
                    "evaluator": record.axes.get("evaluator"),
                    "options": dict(record.options),
                    "null": None if record.null is None else dict(record.null),
                    "part": {key: record.axes[key] for key in part} or "all",
                    **remark,
                }
            ),
        }

    def _score(self, record: Record) -> dict[str, Any]:
        uncertainty: dict[str, Any] = {"num_samples": record.n}
        judged = self.score_of(record)
        if judged is not None and judged.standard_error is not None:
            method = "from the verdicts, with different prompts as clusters"
            uncertainty["standard_error"] = {"value": judged.standard_error, "method": method}
        if record.ci is not None:
            low, high = record.ci
            uncertainty["confidence_interval"] = {
                "lower": low,
                "upper": high,
                "confidence_level": 0.95,
                "method": "sae-harness: Wilson for yes and no, bootstrap by prompt for others",
            }
        details = {
            "n_of": record.n_of,
            "clusters": record.clusters,
            "no_interval": record.ci_why,
            **self._edits(),
        }
        return {"score": record.value, "details": texts(details), "uncertainty": uncertainty}

    def _generation(self) -> dict[str, Any]:
        prompt = table(self.results.task, "views", self.arm.view, "prompt")
        details = {"view": self.arm.view, "prompt": portable(prompt) or None}
        if not self.arm.rows:
            return {"additional_details": texts(details)}
        drawn = sampling_of(self.results, self.arm.experiment)
        arguments: dict[str, Any] = {
            "temperature": drawn.temperature,
            "top_p": drawn.top_p,
            "max_tokens": drawn.max_new_tokens,
            "reasoning": any(row.get("thought") for row in self.arm.rows),
        }
        if "template" in prompt:
            arguments["prompt_template"] = str(prompt["template"])
        details["seed"] = str(drawn.seed)
        return {"generation_args": arguments, "additional_details": texts(details)}


def texts(facts: Mapping[str, Any]) -> dict[str, str]:
    """Facts as the schema takes them: every value a text, and none of what is not known."""
    return {
        str(key): value if isinstance(value, str) else json.dumps(value, default=str)
        for key, value in facts.items()
        if value is not None
    }
