"""Finds what lm-eval's task files would run as code. Reads them; imports nothing of theirs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.store.folders import files_below

_PYTHON = "tag:yaml.org,2002:python/"
"""How tags begin by which PyYAML builds objects, where its faster parser is missing."""
_OWN_METRIC = re.compile(r"@register_metric\(\s*metric=\"([^\"]+)\"")
_CALLED = ("custom_dataset", "class")
"""The keys whose functions are called with settings of the file, such as a model to load."""


@dataclass(frozen=True)
class _Function:
    """What stands behind the tag `!function`."""

    name: str


@dataclass(frozen=True)
class Config:
    """One file with what it includes: its values as lm-eval merges them, and the code in it."""

    values: Mapping[str, Any] = field(default_factory=dict)
    code: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    """The file and those that it includes, at every depth."""


def code_of(folder: Path, tasks: Sequence[str]) -> list[str]:
    """What these tasks would run, as `FILE: WHAT`; empty where their files are data alone.

    Followed are groups, tags, `include`, anchors and merged keys, by what YAML means and not by
    how it is written. Code is `!function` wherever it stands (`class`, `custom_dataset`, a
    prompt), a metric that lm-eval does not have and fetches as a script, a data set that is a
    script or pickled, `use_prompt` with a file, `unsafe_code`, and a function of lm-eval's own
    that is called with settings of the file. What lm-eval ships is installed, not a stranger's.
    Where a name is of no file in the folder, every file counts.
    """
    configs, _ = reached(folder, tasks)
    return list(dict.fromkeys(what for config in configs for what in config.code))


def reached(folder: Path, tasks: Sequence[str]) -> tuple[list[Config], bool]:
    """The files of a folder that these tasks may read, and whether these are all that they are made
    of: not where a name is of no file in the folder, where every file counts."""
    found = [file for file in files_below(folder) if file.suffix == ".yaml"]
    files = {file: _config(file, frozenset()) for file in found}
    wanted, read = set(tasks), dict[Path, Config]()
    while more := {
        file: config
        for file, config in files.items()
        if file not in read and (not config.values or _names(config.values) & wanted)
    }:
        read |= more
        wanted |= {name for config in more.values() for name in _members(config.values)}
    whole = wanted <= {name for config in files.values() for name in _names(config.values)}
    # Of a group of lm-eval's own any file here may replace a task.
    return list((read if whole else files).values()), whole


def _config(file: Path, seen: frozenset[Path]) -> Config:
    """A file and all that it includes. Empty where lm-eval refuses it: no YAML, or a circle."""
    file = file.expanduser().resolve()
    if file in seen:
        return Config()
    try:
        values, tags = _parsed(file)
    except RecursionError:
        return Config(code=(f"{file}: nested too deeply to tell",))
    if not isinstance(values, dict):
        return Config()
    code: list[str] = []
    if not _shipped(file):
        code = [f"{file}: {what}" for what in dict.fromkeys([*tags, *_calls(values)])]
    elif seen:
        code = [
            f"{file}: {key} of lm-eval, called with other settings"
            for key in _CALLED
            if isinstance(values.get(key), _Function)
        ]
    merged: dict[str, Any] = {}
    files = [file]
    included = values.get("include")
    for name in included if isinstance(included, list) else [included]:
        if isinstance(name, str):
            other = _config(file.parent / name, seen | {file})
            merged |= other.values
            code += other.code
            files += other.files or [file.parent / name]
    return Config({**merged, **values}, tuple(code), tuple(files))


def _parsed(file: Path) -> tuple[Any, list[str]]:
    """The value of a file, and the tags in it that stand for code; None for what is no YAML."""
    import yaml

    # The parser that lm-eval takes: another one may refuse what that one reads.
    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    noted: list[str] = []

    class Noting(base):  # type: ignore[misc]
        """Builds plain values only, and notes the rest."""

    def function(loader: Any, node: Any) -> _Function:
        noted.append(f"!function {str(node.value)[:80]}")
        return _Function(str(node.value))

    def python(loader: Any, suffix: str, node: Any) -> None:
        noted.append(f"!!python/{suffix[:80]}")

    Noting.add_constructor("!function", function)
    Noting.add_multi_constructor(_PYTHON, python)
    Noting.add_multi_constructor("!", lambda loader, suffix, node: None)
    try:
        return yaml.load(file.read_bytes(), Loader=Noting), noted
    except (OSError, ValueError, TypeError, LookupError, AttributeError, yaml.YAMLError):
        # What was noted before it broke counts: another parser may not break there.
        return ({} if noted else None), noted


def _calls(values: Mapping[str, Any]) -> Iterator[str]:
    """What a file without `!function` makes lm-eval run."""
    for one in _mappings(values, set()):
        metric = one.get("metric")
        if isinstance(metric, str) and (
            one.get("hf_evaluate") is True or (_own_metrics() and metric not in _own_metrics())
        ):
            yield f"metric {metric[:80]}, which is fetched as a script"
        path = one.get("dataset_path")
        if isinstance(path, str) and (path == "pandas" or path.endswith(".py")):
            yield f"dataset_path {path[:80]}"
        if isinstance(kwargs := one.get("dataset_kwargs"), dict) and kwargs.get(
            "trust_remote_code"
        ):
            yield "dataset_kwargs.trust_remote_code"
        if ".yaml" in str(one.get("use_prompt", "")):
            yield f"use_prompt {str(one['use_prompt'])[:80]}"
        # With `true` it is refused as it is.
        if one.get("unsafe_code", True) is not True:
            yield "unsafe_code"


def _mappings(value: Any, seen: set[int]) -> Iterator[dict[Any, Any]]:
    """All mappings inside a value, each once: an alias may lead back up."""
    if id(value) in seen or not isinstance(value, (dict, list)):
        return
    seen.add(id(value))
    if isinstance(value, dict):
        yield value
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, one in inner:
        if key != "aggregate_metric_list":  # names results, computes none
            yield from _mappings(one, seen)


def _names(values: Mapping[str, Any]) -> set[str]:
    """What a file can be asked as: its task, its group, its tags."""
    tags = values.get("tag")
    found = [values.get("task"), values.get("group"), *(tags if isinstance(tags, list) else [tags])]
    return {name for name in found if isinstance(name, str)}


def _members(values: Mapping[str, Any]) -> Iterator[str]:
    """The names that a group consists of, at every depth."""
    for one in _mappings(dict(values), set()):
        inside = one.get("task")
        for name in inside if isinstance(inside, list) else [inside, one.get("group")]:
            if isinstance(name, str):
                yield name


def _shipped(file: Path) -> bool:
    return any(file.is_relative_to(place) for place in _places())


@cache
def _places() -> tuple[Path, ...]:
    """Where lm-eval is installed; nowhere, if it is not."""
    found = find_spec("lm_eval")
    places = found.submodule_search_locations if found is not None else None
    return tuple(Path(place).resolve() for place in places or ())


@cache
def _own_metrics() -> frozenset[str]:
    """The names of lm-eval's own metrics, read from its source: importing it takes seconds."""
    texts = [file.read_text("utf-8") for p in _places() if (file := p / "api/metrics.py").is_file()]
    return frozenset(name for text in texts for name in _OWN_METRIC.findall(text))
