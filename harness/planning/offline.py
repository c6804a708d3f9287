"""Prompts before any model is loaded: of local data, written by the tokenizer's files alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.task.fit import LARGEST
from harness.task.prompts import Prompts, TaskData, view_spec

if TYPE_CHECKING:
    from harness.contract import Example, Prompt, Tokens
    from harness.task.task import Task


class NoTokenizer(Exception):
    """A model's tokenizer is not on this machine."""


def offline_prompts(task: Task) -> tuple[TaskData, Prompts]:
    """The rows of a task and its prompts, as the run will write them; raises what `prompts_of`
    does."""
    data = TaskData(task.spec, Path())
    return data, prompts_of(task, data)


def prompts_of(task: Task, data: TaskData) -> Prompts:
    """The prompts of a task, as the run will write them.

    Whatever writes a prompt raises NoTokenizer where the tokenizer of its model is not here.
    """

    def render(view: str, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        # The model is not loaded, but its options have the tokenizer.
        rendered = task.models[view_spec(task.spec, view).model].options.render(examples, prompt)
        if rendered is None:
            raise NoTokenizer
        return list(rendered)

    return Prompts(task.spec, data, render)


def is_here(task: Task, view: str, data: str) -> bool:
    """Whether a data set, and that of the view's demonstrations, are local files of a size that
    can be read at once."""
    shown = view_spec(task.spec, view).prompt.demonstrations
    files = [task.spec.data[name].file for name in (data, *([shown.data] if shown else []))]
    return all(file is not None and Path(file).stat().st_size <= LARGEST for file in files)
