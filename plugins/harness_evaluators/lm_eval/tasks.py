"""Loads lm-eval's tasks, and settles what is asked of each and how it is scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from lm_eval.defaults import DEFAULT_OTHER_SEED
from lm_eval.tasks import TaskManager

from harness.errors import DataError, HarnessError, MachineError, listed, suggestion
from harness_evaluators.lm_eval.index import manager_of, members
from harness_evaluators.lm_eval.local_data import with_files_beside, with_local_data
from harness_evaluators.lm_eval.options import LmEvalOptions

FALLBACK = "[invalid]"
"""What lm-eval's extracting filters give where the pattern matches nothing."""


@dataclass(frozen=True)
class Leaf:
    """One task that is asked: a domain of a group, or a task by itself."""

    name: str
    task: Any
    """lm-eval's object."""
    asked_as: str
    """The name in the options that brought it in."""
    domain: str
    """Its name without its group's, such as `law` for `mmlu_pro_law`."""
    questions: tuple[int, ...]
    """The rows of its data that are asked, ascending."""
    metric: str
    filter: str
    fallbacks: frozenset[str]
    """What the filter gives where an answer has no form that it knows; empty: it takes all."""


@dataclass(frozen=True)
class Loaded:
    """Everything that one run of lm-eval asks."""

    manager: TaskManager
    roots: tuple[Any, ...]
    """Tasks and groups, as they were asked for."""
    leaves: tuple[Leaf, ...]


def load(given: LmEvalOptions, seed: int, scratch: Path) -> Loaded:
    """The tasks of the options with their data; nothing is asked yet.

    DataError: an unknown task, one that does not load, fewer questions than asked for, an unknown
    metric or filter. MachineError: data that cannot be fetched. `scratch` takes the
    configurations that put local data in the place of a task's own.
    """
    manager = manager_of(given.tasks, given.include_path)
    if given.data_dir is not None:
        with_local_data(given, manager, scratch)
    elif given.include_path is not None:
        with_files_beside(given, manager, scratch)
    roots: list[Any] = []
    leaves: list[Leaf] = []
    for name in given.tasks:
        found = _loaded(manager, name)
        groups = found["groups"]
        roots += [groups[name]] if name in groups else found["tasks"].values()
        for leaf, task in found["tasks"].items():
            if any(other.name == leaf for other in leaves):
                raise DataError(
                    f"lm-eval task {leaf}: tasks names it twice, the second time in {name}. "
                    "Allowed: each task once."
                )
            _allowed(leaf, task)
            _prepare(task, given)
            questions = _questions(leaf, len(task.eval_docs), given, seed)
            metric, filter_, fallbacks = _scored_by(leaf, task, given)
            domain = _domain(leaf, [name, *groups])
            leaves.append(Leaf(leaf, task, name, domain, questions, metric, filter_, fallbacks))
    return Loaded(manager, tuple(roots), tuple(leaves))


def invalid(leaf: Leaf, sample: Mapping[str, Any]) -> bool:
    """Whether no answer could be extracted from what was written."""
    return any(answer in leaf.fallbacks for answer in _flat(sample["filtered_resps"]))


@contextmanager
def blamed(name: str, what: str) -> Iterator[None]:
    """Raises `fault` in place of whatever the block raises; the harness's own errors pass."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        raise fault(name, error, what) from error


def fault(name: str, error: Exception, what: str) -> HarnessError:
    """The error that says which task is at fault and why; MachineError where the network is."""
    lines = str(error).strip().splitlines()
    why = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    if any(kind.__name__.startswith(("Connect", "OfflineMode")) for kind in type(error).__mro__):
        return MachineError(
            f"lm-eval task {name}: its data cannot be fetched ({why}). Connect, or name a local "
            "copy with data_dir, and run the same command again."
        )
    return DataError(f"lm-eval task {name}: {what} ({why}). Mend the task, or leave it out.")


def _loaded(manager: TaskManager, name: str) -> Any:
    try:
        return manager.load([name])
    except Exception as error:
        for member in members(manager.task_index, name):  # which of them is it, and why?
            with blamed(member, "does not load"):
                manager.load([member])
        raise fault(name, error, "does not load") from error


def _allowed(name: str, task: Any) -> None:
    if getattr(task, "UNSAFE_CODE", False):
        raise DataError(
            f"lm-eval task {name}: runs code that the model writes, which the harness does not do. "
            f"Use lm-eval itself: `lm-eval run --tasks {name} --confirm_run_unsafe_code`."
        )
    if getattr(task, "MULTIMODAL", False):
        raise DataError(
            f"lm-eval task {name}: shows images or plays sound. Allowed: tasks of text alone."
        )


def _prepare(task: Any, given: LmEvalOptions) -> None:
    """Sets what simple_evaluate sets, by its rules, so that a rehearsal sees the same prompts."""
    own = task.get_config("num_fewshot")
    if given.num_fewshot is not None and own != 0:
        task.set_config(key="num_fewshot", value=given.num_fewshot)
    elif own is None:
        task.set_config(key="num_fewshot", value=0)
    if given.max_new_tokens is not None and task.OUTPUT_TYPE == "generate_until":
        length = {"max_gen_toks": given.max_new_tokens}
        task.set_config(key="generation_kwargs", value=length, update=True)
    task.set_fewshot_seed(seed=DEFAULT_OTHER_SEED)


def _questions(name: str, there: int, given: LmEvalOptions, seed: int) -> tuple[int, ...]:
    """Rows drawn by seed and task, ascending: lm-eval numbers them as they stand in its data."""
    wanted = given.limit or given.at_most
    if given.limit is not None and given.limit > there:
        raise DataError(
            f"lm-eval task {name}: has {there} questions, and limit = {given.limit} asks for more. "
            "Allowed: at most as many as there are; at_most takes what there is."
        )
    if wanted is None or wanted >= there:
        return tuple(range(there))
    own = seed if given.seed is None else given.seed
    return tuple(sorted(Random(f"{own} {name}").sample(range(there), wanted)))


def _scored_by(name: str, task: Any, given: LmEvalOptions) -> tuple[str, str, frozenset[str]]:
    """The metric and the filter whose numbers are the accuracy, and the filter's "no answer"."""
    metrics = list(task.aggregation())
    filters = {f["name"]: f["filter"] for f in task.get_config("filter_list") or ()}
    for what, word, known in (
        ("metric", given.metric, metrics),
        ("filter", given.filter, list(filters) or ["none"]),
    ):
        if word is not None and word not in known:
            raise DataError(
                f"lm-eval task {name}: has no {what} {word!r}.{suggestion(word, known)} Allowed: "
                f"{listed(known)}."
            )
    filter_ = given.filter or next(iter(filters), "none")
    steps = filters.get(filter_, ())
    extracting = [step for step in steps if "regex" in step["function"]]
    fallbacks = frozenset(str(step.get("fallback", FALLBACK)) for step in extracting)
    return given.metric or metrics[0], filter_, fallbacks


def _domain(leaf: str, groups: Sequence[str]) -> str:
    prefixes = [f"{group}_" for group in groups if leaf.startswith(f"{group}_")]
    return leaf.removeprefix(max(prefixes, key=len)) if prefixes else leaf


def _flat(value: Any) -> Iterator[str]:
    if isinstance(value, (list, tuple)):
        for one in value:
            yield from _flat(one)
    else:
        yield str(value)
