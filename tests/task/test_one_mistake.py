"""One mistake is one message: every single mistake in each of the built-in tasks, one at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from harness.errors import Problem, TaskError
from harness.planning.planner import plan
from harness.planning.rehearsal import unwritable
from harness.registry import Registry, discover
from harness.task.causes import MOST, Misfit, merged
from harness.task.claiming import Claiming, claiming
from harness.task.file import Source, dotted, read_source
from harness.task.resolve import resolve
from harness_evaluators.lm_eval.code import code_of

ROOT = Path(__file__).parents[2]
ORGANISM = ROOT / "tasks" / "organism"
TASKS = ("drift", "refusal", "mechanism", "transfer", "diagnosis")

Path_ = tuple[str, ...]
GONE = object()
"""The key is removed."""


@cache
def installed() -> Registry:
    """All installed plugins."""
    return discover()


@pytest.fixture(scope="module", autouse=True)
def _asked_once() -> Iterator[None]:
    """Which format claims files, and what questions would run, is read once of each: no mistake
    changes a file."""
    claimed: dict[str, Claiming] = {}
    found: dict[tuple[Path, tuple[str, ...]], list[str]] = {}

    def claims(registry: Registry, path: str) -> Claiming:
        if path not in claimed:
            claimed[path] = claiming(registry, path)
        return claimed[path]

    def code(folder: Path, tasks: Sequence[str]) -> list[str]:
        key = folder, tuple(tasks)
        if key not in found:
            found[key] = code_of(folder, tasks)
        return found[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.task.components.claiming", claims)
        patch.setattr("harness_evaluators.lm_eval.options.code_of", code)
        yield


@dataclass(frozen=True)
class Broken:
    """Files that are wrong by themselves."""

    wide_sae: Path
    narrow: Path
    shallow: Path


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Broken:
    """An SAE of another width, a narrower model, and one of fewer blocks."""
    folder = tmp_path_factory.mktemp("broken")
    sae = folder / "sae"
    sae.mkdir()
    config = json.loads((ORGANISM / "saes/resid_post.4/cfg.json").read_text()) | {
        "d_in": 64,
        "d_sae": 64,
    }
    for place in (config, config.get("metadata", {})):
        place.pop("hook_name", None)
    (sae / "cfg.json").write_text(json.dumps(config))
    shapes = {"W_enc": (64, 64), "W_dec": (64, 64), "b_enc": (64,), "b_dec": (64,)}
    save_file(
        {name: np.zeros(shape, "float32") for name, shape in shapes.items()},
        sae / "sae_weights.safetensors",
    )
    models = {"narrow": {"hidden_size": 64}, "shallow": {"num_hidden_layers": 1}}
    for name, changes in models.items():
        shutil.copytree(ORGANISM / "chat", folder / name)
        file = folder / name / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    return Broken(sae, folder / "narrow", folder / "shallow")


def changed(values: Mapping[str, Any], path: Path_, value: object) -> dict[str, Any]:
    """The values with the key at `path` set to a value, or removed."""
    found = deepcopy(dict(values))
    table = found
    for part in path[:-1]:
        table = table.setdefault(part, {})
    if value is GONE:
        del table[path[-1]]
    else:
        table[path[-1]] = value
    return found


def problems(source: Source, path: Path_, value: object) -> tuple[Problem, ...]:
    """All that `harness check` says of a task in which one key is another."""
    wrong = Source(source.file, changed(source.values, path, value), source.origins)
    try:
        raise TaskError(unwritable(plan(resolve(wrong, installed()))))
    except TaskError as error:
        return error.problems


Mistake = tuple[Path_, object]


def in_files(values: Mapping[str, Any], broken: Broken) -> Iterator[Mistake]:
    """Files that are not there, or are of another size."""
    read = {view["model"] for view in values["views"].values()}
    for name in values["models"]:
        yield ("models", name, "path"), "organism/nowhere"
        if name in read:  # a judge has a size of its own
            yield ("models", name, "path"), str(broken.narrow)
            yield ("models", name, "path"), str(broken.shallow)
    for name in values["saes"]:
        yield ("saes", name, "path"), "organism/nowhere"
        table = {**values["saes"][name], "path": str(broken.wide_sae), "site": "resid_post.4"}
        yield ("saes", name), table
    for name in values["data"]:
        yield ("data", name, "file"), "organism/data/nowhere.jsonl"
    for name in values.get("labels", {}):
        yield ("labels", name, "path"), "nowhere.jsonl"


def in_places(values: Mapping[str, Any]) -> Iterator[Mistake]:
    """Sites of another block, of none, or in no block's name."""
    for name in values["saes"]:
        for site in ("resid_post.3", "resid_post.9", "resid.4"):
            yield ("saes", name, "site"), site
    for name in values["pairs"]:
        yield ("pairs", name, "sites"), ["resid_post.9"]
    for table in ("directions", "statistics"):
        for name, entry in values.get(table, {}).items():
            for key in {"site", "raw"} & set(entry):
                yield (table, name, key), "resid_post.9"


def in_data(values: Mapping[str, Any]) -> Iterator[Mistake]:
    """Columns that are not there, and selections that leave nothing."""
    for name in values["data"]:
        yield ("data", name, "column"), "txet"
        yield ("data", name, "where"), {"nothing": "x"}
        yield ("data", name, "skip"), 100_000
        yield ("data", name, "limit"), 0


def in_names(values: Mapping[str, Any]) -> Iterator[Mistake]:
    """Entries that are gone while others name them, and names that nothing has."""
    for table in ("models", "views", "saes", "data", "pairs", "directions", "statistics"):
        for name in values.get(table, {}):
            text = json.dumps({key: values[key] for key in values if key != table})
            text += json.dumps([v for k, v in values.get(table, {}).items() if k != name])
            if f'"{name}"' in text:
                yield (table, name), GONE
    referring = {
        "views": {"model": "none"},
        "saes": {"model": "none"},
        "pairs": {"left": "none", "right": "none", "data": "none", "saes": ["none"]},
        "metrics": {"pair": "none", "method": "none"},
        "directions": {"method": "none", "sae": "none", "view": "none", "target": "none"},
        "statistics": {"method": "none", "sae": "none", "pair": "none", "pcs": "none"},
        "experiments": {"view": "none", "evaluators": ["none"], "directions": ["none"]},
        "labels": {"sae": "none"},
        "analyses": {"statistics": ["none"], "pairs": ["none"], "shift": "none", "method": "none"},
    }
    for table, keys in referring.items():
        for name, entry in values.get(table, {}).items():
            for key in keys.keys() & {*entry, "method"}:
                yield (table, name, key), keys[key]


def in_values(values: Mapping[str, Any]) -> Iterator[Mistake]:
    """Options of another type, beyond what is allowed, or of no such name."""
    for table in ("models", "saes", "data", "pairs", "metrics", "directions", "statistics"):
        for name in values.get(table, {}):
            yield (table, name, "nonsense"), 1
    for name in values.get("metrics", ()):
        yield ("metrics", name, "where"), {"cosine_below": 7}
    for table in ("directions", "statistics"):
        for name, entry in values.get(table, {}).items():
            for key in {"k", "components", "draws", "n", "delta"} & set(entry):
                yield (table, name, key), -1
    for name, entry in values.get("analyses", {}).items():
        for key in set(entry) - {"method"}:
            yield ("analyses", name, key), ["nonsense"] if isinstance(entry[key], str) else "x"
    for name, entry in values.get("experiments", {}).items():
        if "intervention" in entry:
            yield ("experiments", name, "intervention"), {"method": "none"}
        yield ("experiments", name, "generation"), {"max_new_tokens": 0}
    for name in values.get("evaluators", {}):
        yield ("evaluators", name, "method"), "none"
    for name in values.get("gates", {}):
        yield ("gates", name, "assert"), "nonsense.x >= 1"
    yield ("preflight", "data"), "none"
    yield ("preflight", "fvu_max"), -1
    yield ("metrcs",), {}
    yield ("name",), "a/b"


def in_prompts(values: Mapping[str, Any]) -> Iterator[Mistake]:
    """Templates with a column that no row has, where a view writes rows of several data sets."""
    for name, view in values["views"].items():
        if isinstance(view.get("prompt"), dict) and "template" in view["prompt"]:
            prompt = {**view["prompt"], "template": "{nothing}"}
            yield ("views", name, "prompt"), prompt
        yield ("views", name, "prompt"), {"style": "cat"}


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_every_single_mistake_is_one_message(name: str, broken: Broken) -> None:
    source = read_source(ROOT / "tasks" / f"{name}.toml")
    values = source.values
    mistakes = [
        *in_files(values, broken),
        *in_places(values),
        *in_data(values),
        *in_names(values),
        *in_values(values),
        *in_prompts(values),
    ]
    assert len(mistakes) > 60
    wrong = {}
    for path, value in mistakes:
        found = problems(source, path, value)
        if len(found) != 1:
            shown = "gone" if value is GONE else value
            wrong[f"{dotted(path)} = {shown}"] = list(map(str, found))
    assert wrong == {}


def test_an_sae_of_another_width_is_told_at_the_sae(broken: Broken) -> None:
    """Not at the pairs, statistics and directions that use it."""
    source = read_source(ROOT / "tasks" / "drift.toml")
    table = {**source.values["saes"]["mid"], "path": str(broken.wide_sae), "site": "resid_post.4"}
    (found,) = problems(source, ("saes", "mid"), table)
    assert found.where.endswith(": saes.mid")
    assert "reads 64 numbers per token, but base has 128" in found.what


def test_two_mistakes_are_two_messages(broken: Broken) -> None:
    source = read_source(ROOT / "tasks" / "drift.toml")
    wrong = changed(source.values, ("preflight", "data"), "none")
    two = Source(source.file, wrong, source.origins)
    found = problems(two, ("metrics", "kl", "pair"), "wbe")
    assert [one.where.partition(": ")[2] for one in found] == ["metrics.kl.pair", "preflight.data"]


def test_the_other_places_are_named(broken: Broken) -> None:
    source = read_source(ROOT / "tasks" / "drift.toml")
    (found,) = problems(source, ("pairs", "web"), GONE)
    assert "unknown pair 'web'" in found.what
    assert "Also at: metrics.cosine.pair," in found.what
    (found,) = problems(source, ("models", "base", "path"), str(broken.narrow))
    assert found.where.endswith("saes.early")
    assert "Also at: saes.mid, saes.late, pairs.web, " in found.what


def test_of_one_cause_the_first_is_kept_and_the_rest_is_counted() -> None:
    same = [Misfit(("a", str(i)), f"what {i}.", "cause") for i in range(MOST + 3)]
    alone = [Misfit(("b",), "what."), Misfit(("b",), "what else.")]
    first, *rest = merged([*same, *alone, same[0]])
    assert rest == alone
    assert first.at == ("a", "0")
    assert first.what.startswith("what 0. Also at: a.1, ")
    assert first.what.endswith(f"a.{MOST} and 2 more.")
