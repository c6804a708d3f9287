"""Asks lm-eval's tasks of a model that is edited already."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any

import datasets
import torch
from lm_eval import evaluator, simple_evaluate
from lm_eval.loggers.utils import get_commit_from_path

from harness.contract import Model, Native, Outcome, Tools
from harness.errors import MachineError, ModelError
from harness_evaluators.lm_eval.model import AskedOnce, Store, own_generation
from harness_evaluators.lm_eval.options import LmEvalOptions
from harness_evaluators.lm_eval.outcome import outcome, write_native
from harness_evaluators.lm_eval.rehearsal import rehearse
from harness_evaluators.lm_eval.sandbox import sandboxed
from harness_evaluators.lm_eval.tasks import Loaded, load

_LOGGERS = ("lm_eval", "datasets", "transformers")


class LmEval:
    """Runs tasks and groups of lm-eval through its own `simple_evaluate` on the model at hand.

    Numbers are lm-eval's own for the same model, tasks and questions; see `outcome` for records
    and tables. Its response cache is never used: it knows nothing of edits. In `folder` lie its
    native files, and the answers of every finished task, which are not asked for again.
    Raises DataError for a task that is unknown, does not load or does not score, before anything
    is asked; ModelError for a backend without transformers' objects, and for a chat template that
    is not there.
    """

    def __init__(self, given: LmEvalOptions) -> None:
        self.options = given
        self._loaded: Loaded | None = None
        self._rehearsed: frozenset[str] = frozenset()
        self._machine: dict[str, Any] = {}
        """What lm-eval says of the machine, which it asks pip, git and others for."""

    def parts(self, folder: Path, tools: Tools) -> list[str]:
        """The tasks that are asked, such as the domains of a group: batches never mix them."""
        with quiet(), sandboxed():
            self._loaded = self._loaded or load(self.options, tools.seed, folder / "tasks")
        return [leaf.name for leaf in self._loaded.leaves]

    def ask(self, part: str, model: Model, folder: Path, tools: Tools) -> None:
        """Asks one task, and keeps its answers as `run` does."""
        loaded = self._loaded or load(self.options, tools.seed, folder / "tasks")
        leaf = next(one for one in loaded.leaves if one.name == part)
        self._asked(model, folder, tools, replace(loaded, roots=(leaf.task,), leaves=(leaf,)))

    def run(self, model: Model, folder: Path, tools: Tools) -> Outcome:
        """Records and tables of one arm."""
        found, results = self._asked(model, folder, tools, self._loaded)
        write_native(folder, results)
        return found

    def _asked(
        self, model: Model, folder: Path, tools: Tools, loaded: Loaded | None
    ) -> tuple[Outcome, Any]:
        """What some tasks come to, and lm-eval's own results; without `loaded`, all tasks."""
        native = _native_of(model, self.options)
        given, length = self.options, self.options.max_new_tokens
        with (
            quiet(),
            sandboxed(),
            asked_once(self._machine),
            own_generation(native.model, length) as generation,
        ):
            identity = (model.fingerprint, model.dtype, json.dumps(generation, default=str))
            store = Store(folder / "answers", identity)
            if loaded is None:
                # Every arm asks the same tasks; reading their data takes longer than the rest.
                loaded = self._loaded = load(given, tools.seed, folder / "tasks")
            lm = AskedOnce(native, store, given.batch_size, tools)
            for leaf in loaded.leaves:
                if leaf.name not in self._rehearsed:
                    rehearse(leaf, lm, given)
            self._rehearsed |= {leaf.name for leaf in loaded.leaves}
            try:
                results = simple_evaluate(
                    model=lm,
                    tasks=list(loaded.roots),
                    num_fewshot=given.num_fewshot,
                    batch_size=given.batch_size,
                    use_cache=None,
                    samples={leaf.name: list(leaf.questions) for leaf in loaded.leaves},
                    apply_chat_template=given.apply_chat_template,
                    fewshot_as_multiturn=given.multiturn,
                    gen_kwargs=None if length is None else {"max_gen_toks": length},
                    task_manager=loaded.manager,
                )
            except torch.OutOfMemoryError as error:
                raise MachineError(
                    f"lm_eval: out of memory with batch_size = {given.batch_size}. The tasks that "
                    "were finished are kept; set a smaller one and run the same command again."
                ) from error
            # Inside, because telling questions apart renders them once more.
            found = outcome(given, loaded.leaves, results, lm.truncated, generation)
        return found, results


def _native_of(model: Model, given: LmEvalOptions) -> Native:
    """Transformers' own objects. ModelError for a model that has none, or no chat template."""
    native = model.native
    if native is None:
        raise ModelError(
            "lm_eval: this model's backend has no transformers model to give. Use the backend "
            "transformers for models that lm-eval asks."
        )
    if given.apply_chat_template and native.tokenizer.chat_template is None:
        raise ModelError(
            "lm_eval: this model's tokenizer has no chat template. Set apply_chat_template = "
            "false, or ask a model that has one."
        )
    return native


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps lm-eval and what it calls from writing bars, warnings and log lines below errors.

    Git writes past Python, into the process's own stderr, wherever a run is outside of a
    repository.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    bars = datasets.are_progress_bars_disabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    asks_git = evaluator.get_git_commit_hash
    evaluator.get_git_commit_hash = _git_hash
    try:
        # Some of lm-eval's bars have no switch; all of them are written to what stderr is now.
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        evaluator.get_git_commit_hash = asks_git
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()


@contextmanager
def asked_once(machine: dict[str, Any]) -> Iterator[None]:
    """Lets lm-eval ask the machine about itself once, which takes it a second each time."""
    asks = evaluator.add_env_info

    def add(results: dict[str, Any]) -> None:
        if not machine:
            asks(machine)
        results.update(machine)

    evaluator.add_env_info = add
    try:
        yield
    finally:
        evaluator.add_env_info = asks


def _git_hash() -> str | None:
    """What `lm_eval.loggers.utils.get_git_commit_hash` gives, without what git says of it."""
    command = ["git", "describe", "--always"]
    try:
        return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True).strip()
    except (subprocess.CalledProcessError, FileNotFoundError):
        found: str | None = get_commit_from_path(Path.cwd())
        return found
