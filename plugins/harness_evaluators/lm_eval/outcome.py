"""Makes records and tables of lm-eval's results, and writes its own files beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from lm_eval.utils import handle_non_serializable

from harness.contract import JSON, Outcome, Record
from harness.errors import listed
from harness.results.intervals import clustered_wilson, wilson
from harness.text import well_formed
from harness_evaluators.lm_eval.options import LmEvalOptions
from harness_evaluators.lm_eval.tasks import Leaf, invalid


def outcome(
    given: LmEvalOptions,
    leaves: Sequence[Leaf],
    results: Mapping[str, Any],
    truncated: Mapping[str, set[str]],
    generation: Mapping[str, Any],
) -> Outcome:
    """Records of every task and group, and the tables.

    | record | what |
    |---|---|
    | `accuracy@1` | share of right answers; lm-eval's number for a task, the questions of all its tasks together for a group (no axis `domain`) |
    | `invalid_answers@1` | share of answers from which the task's pattern extracts nothing |
    | `prompts_truncated@1` | share of prompts that lost their start, to fit the context |

    All in [0, 1], over questions, with Wilson's interval; equal questions are one cluster. Tables:
    `samples` (a row for each question; where some are equal, `same_as` is the first of them), `scores` (every metric of lm-eval with its standard error), `tasks` (versions and
    settings), `warnings`.
    """  # noqa: E501
    rows = {leaf.name: list(_rows(leaf, results, truncated)) for leaf in leaves}
    warnings = list(_warnings(leaves, rows, generation))
    records: list[Record] = []
    for name in given.tasks:
        members = [leaf for leaf in leaves if leaf.asked_as == name]
        for leaf in members:
            axes: dict[str, JSON] = {"task": name, "domain": leaf.domain}
            records += _records(given, [leaf], rows, results["versions"].get(leaf.name), axes)
        if members and name != members[0].name:
            version = results["versions"].get(name)
            records += _records(given, members, rows, version, {"task": name})
    tables: dict[str, Sequence[Mapping[str, Any]]] = {
        "samples": [row for leaf in leaves for row in rows[leaf.name]],
        "scores": list(_scores(leaves, results)),
        "tasks": list(_tasks(leaves, results, generation)),
        "warnings": warnings,
    }
    kept = {name: rows for name, rows in tables.items() if rows}
    return Outcome(tuple(records), kept, notes=tuple(_notes(warnings)))


def write_native(folder: Path, results: Mapping[str, Any]) -> None:
    """Writes lm-eval's own files: `results.json`, and `samples_<task>.jsonl` for each task."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = {name: value for name, value in results.items() if name != "samples"}
    _write(folder / "results.json", json.dumps(whole, indent=2, **_NATIVE))
    for name, samples in results["samples"].items():
        lines = [json.dumps(sample, **_NATIVE) + "\n" for sample in samples]
        _write(folder / f"samples_{name.replace('/', '_')}.jsonl", "".join(lines))


_NATIVE: dict[str, Any] = {"default": handle_non_serializable, "ensure_ascii": False}


def _write(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8", errors="replace")


def _rows(
    leaf: Leaf, results: Mapping[str, Any], truncated: Mapping[str, set[str]]
) -> Iterator[dict[str, Any]]:
    """A row for each question of a task."""
    cut = truncated.get(leaf.name, set())
    mine = [one for one in results["samples"][leaf.name] if one["filter"] == leaf.filter]
    firsts: dict[str, Any] = {}
    same_as = [firsts.setdefault(_asks(leaf, one), one["doc_id"]) for one in mine]
    copies = len(firsts) < len(mine)
    for sample, first in zip(mine, same_as, strict=True):
        prompts = [str(arguments[0]) for arguments in sample["arguments"]]
        yield {
            "task": leaf.asked_as,
            "domain": leaf.domain,
            "question": sample["doc_id"],
            "prompt_sha256": sample["prompt_hash"],
            "target": _text(sample["target"]),
            "response": _text(sample["resps"]),
            "answer": _text(sample["filtered_resps"]),
            "right": _right(sample.get(leaf.metric)),
            "invalid": invalid(leaf, sample) if leaf.fallbacks else None,
            "truncated": any(prompt in cut for prompt in prompts),
            **({"same_as": first} if copies else {}),
        }


def _asks(leaf: Leaf, sample: Mapping[str, Any]) -> str:
    """What a question asks, without its solved examples and whatever else its row holds."""
    document = sample["doc"]
    text = leaf.task.doc_to_text(document)
    if not isinstance(text, str) or not text.strip():  # it stands in the options, or is all answer
        return json.dumps(document, sort_keys=True, **_NATIVE)
    choices = leaf.task.doc_to_choice(document) if leaf.task.config.doc_to_choice else None
    return json.dumps([text, choices, sample["target"]], **_NATIVE)


def _right(value: Any) -> bool | None:
    """The score of one question as yes or no; None where it is neither."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return bool(number) if number in (0.0, 1.0) else None


def _text(value: Any) -> str:
    """One answer as it is, several as a list; lone surrogates, which no table takes, as U+FFFD."""
    while isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    text = value if isinstance(value, str) else json.dumps(value, **_NATIVE)
    return well_formed(text)


def _records(
    given: LmEvalOptions,
    leaves: Sequence[Leaf],
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    version: Any,
    axes: Mapping[str, JSON],
) -> Iterator[Record]:
    """The three shares of a task, or of the tasks of a group together."""
    first = leaves[0]
    options = {
        **given.model_dump(mode="json"),
        "metric": first.metric,
        "filter": first.filter,
        "num_fewshot": first.task.get_config("num_fewshot"),
        "task_version": str(version),
        "questions_sha256": _questions_hash(leaves),
    }
    mine = [row for leaf in leaves for row in rows[leaf.name]]
    not_binary = no_pattern = None
    if any(row["right"] is None for row in mine):
        not_binary = f"{first.metric} is no yes or no for each question; see the table scores"
    if takes_all := [leaf.name for leaf in leaves if not leaf.fallbacks]:
        no_pattern = f"{takes_all[0]} extracts no answer by a pattern"
    for id, column, why in (
        ("accuracy@1", "right", not_binary),
        ("invalid_answers@1", "invalid", no_pattern),
        ("prompts_truncated@1", "truncated", None),
    ):
        n, yes = len(mine), sum(row[column] is True for row in mine)
        clusters, (ci, alike) = _interval(mine, column)
        ci = None if why else ci
        yield Record(
            id=id,
            value=None if why else yes / n,
            n=n,
            n_of="questions",
            unit="share",
            options=options,
            clusters=clusters,
            ci=ci,
            ci_why=why or alike,
            undefined=why,
            axes=axes,
        )


def _interval(
    rows: Sequence[Mapping[str, Any]], column: str
) -> tuple[int, tuple[tuple[float, float] | None, str | None]]:
    """How many different questions there are, and the interval of a share of them or why not."""
    of = [(row["task"], row["domain"], row.get("same_as", row["question"])) for row in rows]
    numbers = {one: number for number, one in enumerate(dict.fromkeys(of))}
    yes = [row[column] is True for row in rows]
    if len(numbers) == len(rows):
        return len(rows), (wilson(sum(yes), len(rows)), None)
    places = [numbers[one] for one in of]
    ci, why = clustered_wilson(np.bincount(places, yes), np.bincount(places).astype(np.float64))
    return len(numbers), (ci, why and why.replace("prompt", "question"))


def _questions_hash(leaves: Sequence[Leaf]) -> str:
    """Hash of the questions that were asked: numbers over others are not comparable."""
    digest = hashlib.sha256()
    for leaf in leaves:
        documents = leaf.task.eval_docs
        for index in leaf.questions:
            text = json.dumps(documents[index], sort_keys=True, default=str)
            digest.update(text.encode("utf-8", "surrogatepass"))
    return digest.hexdigest()[:16]


def _scores(leaves: Sequence[Leaf], results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every number of lm-eval, of tasks and of groups, with its standard error."""
    domains = {leaf.name: leaf.domain for leaf in leaves}
    for name, found in results["results"].items():
        for key, value in found.items():
            metric, comma, filter_ = key.partition(",")
            if not comma or metric.endswith("_stderr"):
                continue
            error = found.get(f"{metric}_stderr,{filter_}")
            yield {
                "task": name,
                "domain": domains.get(name),
                "metric": metric,
                "filter": filter_,
                "value": _number(value),
                "standard_error": _number(error),
            }


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float, np.number)) else None


def _tasks(
    leaves: Sequence[Leaf], results: Mapping[str, Any], generation: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    for leaf in leaves:
        yield {
            "task": leaf.name,
            "domain": leaf.domain,
            "version": str(results["versions"].get(leaf.name)),
            "lm_eval": results.get("lm_eval_version"),
            "num_fewshot": leaf.task.get_config("num_fewshot"),
            "questions": len(leaf.questions),
            "of": results["n-samples"][leaf.name]["original"],
            "metric": leaf.metric,
            "filter": leaf.filter,
            "checkpoint_generation": json.dumps(generation, sort_keys=True, default=str),
        }


def _warnings(
    leaves: Sequence[Leaf],
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    generation: Mapping[str, Any],
) -> Iterator[dict[str, Any]]:
    for leaf in leaves:
        mine = rows[leaf.name]
        texts = []
        if mine and all(row["invalid"] for row in mine):
            texts.append(
                f"not one of {len(mine)} answers has the form that {leaf.filter} extracts, so the "
                "accuracy says nothing about what the model knows; look at the samples"
            )
        cut = sum(row["truncated"] for row in mine)
        if cut:
            texts.append(f"{cut} of {len(mine)} prompts lost their start, to fit the context")
        theirs = generation.get("max_new_tokens")
        wanted = (leaf.task.get_config("generation_kwargs") or {}).get("max_gen_toks", theirs)
        if leaf.task.OUTPUT_TYPE == "generate_until" and theirs not in (None, wanted):
            texts.append(
                f"the checkpoint's generation settings have max_new_tokens = {theirs}, which in "
                f"lm-eval overrules the task's {wanted}; set max_new_tokens to decide yourself"
            )
        yield from ({"task": leaf.name, "domain": leaf.domain, "warning": text} for text in texts)


def _notes(warnings: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A sentence for each kind of warning, with the tasks that it is about."""
    for text in dict.fromkeys(warning["warning"] for warning in warnings):
        tasks = [warning["task"] for warning in warnings if warning["warning"] == text]
        yield f"lm-eval task {listed(tasks)}: {text}"
