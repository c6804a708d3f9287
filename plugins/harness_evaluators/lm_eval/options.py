"""What a task may write for `lm_eval`. Imports nothing heavy, lm-eval least of all."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from harness.contract import Asked, BenchmarkOptions, LocalPath
from harness.errors import listed
from harness.store.folders import files_below
from harness_evaluators.lm_eval.code import code_of
from harness_evaluators.lm_eval.questions import all_inside

_DATA = re.compile(r"^(?P<split>[A-Za-z0-9]+)(?:[-_.].*)?\.(?P<kind>jsonl|json|parquet)$")


class LmEvalOptions(BenchmarkOptions):
    """Options of `lm_eval`. Those that change no answer are not part of a record's options."""

    libraries: ClassVar[tuple[str, ...]] = ("lm-eval", "datasets")

    tasks: Annotated[tuple[str, ...], Field(min_length=1)]
    """lm-eval's names of tasks, groups or tags, such as ["mmlu_pro"]."""
    include_path: LocalPath | None = Field(default=None, exclude=True)
    """A folder with further tasks, as lm-eval writes them. Their data files are found beside them.
    Tasks that bring code (`!function`, a metric's script) need `trust_remote_code`."""
    trust_remote_code: bool = Field(default=False, exclude=True)
    """Run the code that the tasks of `include_path` name; the command line must allow it, too.
    Whoever wrote it can do what you can: read it first."""
    data_dir: LocalPath | None = Field(default=None, exclude=True)
    """A folder with `<split>*.parquet`, `.jsonl` or `.json`, or one such file, that every task
    reads instead of its data set: its own columns, from a local copy."""
    apply_chat_template: bool
    """Whether prompts are written with the tokenizer's chat template. Instruct models need it."""
    fewshot_as_multiturn: bool | None = None
    """Whether solved examples are turns of the chat; without it, exactly where there is one."""
    num_fewshot: int | None = Field(default=None, ge=0)
    """Solved examples before each question; without it, as many as the task says."""
    limit: int | None = Field(default=None, ge=1)
    """Questions of each task, drawn by the seed; fewer are an error."""
    at_most: int | None = Field(default=None, ge=1)
    """Likewise, but tasks with fewer are asked whole."""
    seed: int | None = None
    """Which questions are drawn; without it, the task's seed."""
    max_new_tokens: int | None = Field(default=None, ge=1)
    """Longest answer; without it, what the task says."""
    batch_size: int = Field(default=8, ge=1, exclude=True)
    """Prompts that the model reads together."""
    metric: str | None = None
    """What counts as right, such as "exact_match"; without it, the task's first metric."""
    filter: str | None = None
    """How answers are extracted, such as "custom-extract"; without it, the task's first way."""

    @property
    def multiturn(self) -> bool:
        """Whether solved examples are turns of a chat."""
        if self.fewshot_as_multiturn is None:
            return self.apply_chat_template
        return self.fewshot_as_multiturn

    @model_validator(mode="after")
    def _fits(self) -> LmEvalOptions:
        if self.limit is not None and self.at_most is not None:
            raise ValueError("give one of limit and at_most")
        if self.fewshot_as_multiturn and not self.apply_chat_template:
            raise ValueError("fewshot_as_multiturn needs apply_chat_template: turns are of a chat")
        twice = [name for name in self.tasks if self.tasks.count(name) > 1]
        if twice:
            raise ValueError(f"tasks names {twice[0]} twice")
        if (found := self.code()) and not self.trust_remote_code:
            raise ValueError(
                f"include_path has tasks that run code of their own ({listed(found, 3)}). Read "
                "that code; if you trust it, set trust_remote_code = true and add "
                "--trust-remote-code to the command"
            )
        if self.data_dir is not None and Path(self.data_dir).exists() and not self.data_files():
            raise ValueError(
                "data_dir has no file called after a split, such as test.jsonl or "
                "test-00000-of-00001.parquet"
            )
        return self

    @property
    def batch(self) -> int:  # type: ignore[override]  # of a plan; a task decides it here
        """How many prompts stand in a batch."""
        return self.batch_size

    def asked(self) -> Asked | None:
        """What tasks of `include_path` ask, where all their questions lie in files there."""
        from harness_evaluators.lm_eval.foreseen import Wanted, foreseen

        if self.include_path is None or self.data_dir is not None:
            return None
        most = self.limit or self.at_most
        given = Wanted(self.tasks, most, self.num_fewshot, self.max_new_tokens, self.batch_size)
        return foreseen(Path(self.include_path).expanduser(), given)

    def runs_remote_code(self) -> bool:
        """Whether tasks of `include_path` bring code that is run."""
        return self.trust_remote_code and bool(self.code())

    def asks_elsewhere(self) -> bool:
        """Whether a data set is looked up by its name: on the hub it may be another one tomorrow.
        Not where all questions are in files of `data_dir` or `include_path`."""
        if self.data_dir is not None:
            return False
        return self.include_path is None or not all_inside(Path(self.include_path), self.tasks)

    def code(self) -> list[str]:
        """The code that the tasks of `include_path` bring, as `FILE: WHAT`."""
        if self.include_path is None or not Path(self.include_path).is_dir():
            return []
        return code_of(Path(self.include_path), self.tasks)

    def data_files(self) -> dict[str, dict[str, list[str]]]:
        """The files of `data_dir`: by split, then by kind (`json` or `parquet`), sorted."""
        if self.data_dir is None:
            return {}
        place = Path(self.data_dir)
        files = files_below(place) if place.is_dir() else [place]
        found: dict[str, dict[str, list[str]]] = {}
        for file in files:
            match = _DATA.match(file.name)
            if match and file.is_file():
                kind = "parquet" if match["kind"] == "parquet" else "json"
                kinds = found.setdefault(match["split"], {})
                kinds.setdefault(kind, []).append(str(file.resolve()))
        return found
