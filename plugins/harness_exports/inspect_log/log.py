"""An Inspect log of one arm as plain JSON: what was evaluated, how, and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.contract import Results
from harness_exports.arms.arms import Arm
from harness_exports.arms.generation import sampling_of
from harness_exports.arms.identity import made_at, made_id, run_hash
from harness_exports.arms.plain import plain
from harness_exports.arms.scores import ArmScore
from harness_exports.arms.subjects import is_path, model_of, portable, sides, subject
from harness_exports.arms.tables import table
from harness_exports.inspect_log.totals import scorers, total
from harness_exports.inspect_log.transcripts import sample, sample_ids, summary

_VERSION = 2
"""The version of the form, `LOG_SCHEMA_VERSION` of inspect_ai."""


@dataclass(frozen=True)
class Log:
    """The log of one arm; `made` is when the run was made, where the caller says so."""

    results: Results
    arm: Arm
    scores: Sequence[ArmScore]
    made: str | None

    @cached_property
    def header(self) -> dict[str, Any]:
        """The log without its samples, as `header.json` has it."""
        created = made_at(self.results, self.made).isoformat()
        ended = sum(not row.get("unfinished") for row in self.arm.rows)
        content = {
            "version": _VERSION,
            "status": "success" if self.results.status == "complete" else "error",
            "eval": self._eval(created),
            "plan": {"name": "plan", "steps": self._steps(), "config": self._generation()},
            "results": {
                "total_samples": len(self.arm.rows),
                "completed_samples": ended,
                "scores": [total(one) for one in self.scores],
                "metadata": self._facts(),
            },
            "stats": {"started_at": created, "completed_at": created},
            **self._error(),
        }
        return dict(plain(content))

    @cached_property
    def samples(self) -> list[dict[str, Any]]:
        """Every completion as a sample."""
        name = self._model.id
        return [
            plain(sample(row, id, self._uuid(id), name, self.scores, place))
            for place, (row, id) in enumerate(zip(self.arm.rows, self._ids, strict=True))
        ]

    @property
    def summaries(self) -> list[dict[str, Any]]:
        """The same in brief."""
        return [summary(one) for one in self.samples]

    @cached_property
    def _ids(self) -> list[str]:
        return sample_ids(self.arm.rows)

    @cached_property
    def _run(self) -> str:
        return run_hash(self.results)

    @cached_property
    def _model(self) -> Any:
        return subject(self.results, model_of(self.results, self.arm.view))

    def _uuid(self, *parts: object) -> str:
        return made_id(self._run, self.arm.experiment, sorted(self.arm.axes.items()), *parts).hex

    @property
    def task(self) -> str:
        """The name of the task, which says what acted on the model: no two states look alike.

        Without slashes: Inspect takes what stands before one for a package, and leaves it out.
        """
        name = f"{self.results.task.get('name', 'run')}.{self.arm.experiment}"
        whole = f"{name} under {self.arm.words}" if self.arm.edits else name
        return whole.replace("/", "_")

    def _eval(self, created: str) -> dict[str, Any]:
        model, provenance = self._model, self.results.provenance
        facts = self._facts()
        packages = {str(k): str(v) for k, v in table(provenance, "packages").items()}
        return {
            "eval_id": self._uuid("eval"),
            "run_id": made_id(self._run).hex,
            "created": created,
            "task": self.task,
            "task_id": self._uuid("task"),
            "task_version": self._run[:12],
            "task_display_name": self.task,
            "task_attribs": {},
            "task_args": facts,
            "task_args_passed": facts,
            "tags": self._tags(),
            "dataset": self._dataset(),
            "model": model.id,
            "model_generate_config": self._generation(),
            "model_args": {
                "name_in_task": model.name,
                "backend": model.backend,
                "dtype": model.dtype,
                "weights_sha256": model.fingerprint,
                **model.options,
            },
            "config": {"epochs": 1},
            "packages": {"sae-harness": str(provenance.get("harness")), **packages},
            "metadata": {**facts, **self._origin()},
            "scorers": scorers(self.scores),
        }

    def _facts(self) -> dict[str, Any]:
        """What state of the model it is: in the arguments of the task and in all metadata."""
        places = sides(self.results, self._model.name)
        return {
            "harness.intervened": bool(self.arm.edits),
            "harness.experiment": self.arm.experiment,
            "harness.view": self.arm.view,
            "harness.pair": [pair for pair, _ in places],
            "harness.side": [side for _, side in places],
            "harness.arm": dict(self.arm.axes),
            "harness.intervention": self.arm.words or None,
            "harness.direction_sha256": [edit.sha256 for edit in self.arm.edits],
            "harness.receipt": [dict(edit.receipt) for edit in self.arm.edits],
            "harness.edits": [edit.facts for edit in self.arm.edits],
        }

    def _origin(self) -> dict[str, Any]:
        provenance = self.results.provenance
        return {
            "harness.title": self.results.task.get("title"),
            "harness.source": self.results.task.get("source"),
            "harness.run_sha256": self._run,
            "harness.git": provenance.get("git"),
            "harness.prompt": portable(table(self.results.task, "views", self.arm.view, "prompt")),
            "harness.scores": "a yes is 1 and a no is 0; which of them is good, the log does not "
            "say. Intervals are 95%, of the results of the run.",
            "harness.problems": list(self.results.problems),
            "harness.warnings": list(self.results.warnings),
        }

    def _tags(self) -> list[str]:
        tags = ["sae-harness", "intervened" if self.arm.edits else "as-it-is"]
        return tags if self.results.status == "complete" else [*tags, "invalid"]

    def _dataset(self) -> dict[str, Any]:
        spec = table(self.results.task, "data", self.arm.data or "")
        place = next((str(spec[key]) for key in ("hub", "url", "file") if spec.get(key)), None)
        return {
            "name": self.arm.data,
            "location": portable(place) if is_path(place) else place,
            "samples": len(self.arm.rows),
            "sample_ids": self._ids,
            "shuffled": spec.get("shuffle") is not None,
        }

    def _generation(self) -> dict[str, Any]:
        drawn = sampling_of(self.results, self.arm.experiment)
        return {
            "max_tokens": drawn.max_new_tokens,
            "temperature": drawn.temperature,
            "top_p": drawn.top_p,
            "seed": drawn.seed,
        }

    def _steps(self) -> list[dict[str, Any]]:
        edits = [
            {
                "solver": "sae_harness/intervention",
                "params": edit.facts,
                "params_passed": edit.facts,
            }
            for edit in self.arm.edits
        ]
        return [*edits, {"solver": "generate", "params": {}, "params_passed": {}}]

    def _error(self) -> dict[str, Any]:
        """An invalid run is an error: its numbers are there, and nobody ranks them."""
        if self.results.status == "complete":
            return {}
        text = "The run is invalid: " + ("; ".join(self.results.problems) or "it does not say why")
        return {"error": {"message": text, "traceback": text, "traceback_ansi": text}}
