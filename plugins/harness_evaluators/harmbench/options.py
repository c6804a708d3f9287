"""What a task may write for `harmbench`. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, computed_field, model_validator

from harness.contract import (
    WRITES,
    Capability,
    EvaluatorOptions,
    LocalPath,
    Location,
    ModelRef,
    ServerUrl,
)
from harness.judges.local import ELSEWHERE
from harness.judges.options import (
    Concurrency,
    KeyVariable,
    PerMinute,
    Retries,
    Timeout,
    check_server,
)
from harness_evaluators.harmbench.template import FILES, faults, sha256, template_text


class HarmBenchOptions(EvaluatorOptions):
    """Options of `harmbench`. Those that change no verdict are not part of a record's options."""

    model: ModelRef | None = None
    """A model of the task that judges; or else `server`."""
    server: ServerUrl | None = None
    """Base URL of an OpenAI-compatible completions server, such as "http://localhost:8000"."""
    server_model: str | None = None
    """Server: the name under which it serves the classifier."""
    tokenizer: Location | None = None
    """Server: the classifier's tokenizer, a folder or hub id: the protocol clips by its tokens."""
    api_key_variable: KeyVariable = None
    timeout: Timeout = 60.0
    retries: Retries = 6
    concurrency: Concurrency = Field(default=8, ge=1, le=256)
    requests_per_minute: PerMinute = None
    template: Literal["A", "B", "mistral"] = "A"
    """A: HarmBench's repository; B: the classifier's model card; mistral: the validation one's."""
    template_file: LocalPath | None = None
    """Another template, with {behavior} and {generation}; one line end at its end is not read."""
    behavior_column: str | None = None
    """The column that holds the behaviour; without it, the example's text."""
    context_column: str | None = None
    """The column that holds a behaviour's context, where there is one: the contextual form of A."""
    clip: int = Field(default=512, ge=8)
    """Tokens of a completion that are judged, the start token among them."""
    context: int | None = Field(default=None, ge=64)
    """Longest prompt with its answer, in tokens; without it, what the classifier can read."""
    invalid: Literal["undefined", "no"] = "undefined"
    """An answer that is neither yes nor no: not counted, or taken for a no."""

    batch: ClassVar[int] = ELSEWHERE  # on a CPU as many tokens
    model_needs: ClassVar[frozenset[Capability]] = WRITES | {"tokens"}  # by which it clips

    def around(self) -> str:
        """The template, which the classifier reads around a prompt and its completion."""
        return template_text(self.template_file or FILES[self.template])

    @computed_field  # type: ignore[prop-decorator]
    @property
    def template_sha256(self) -> str:
        """Hash of the template, for the records: a file's name does not say what is in it."""
        return sha256(self.around())

    @model_validator(mode="after")
    def _one_judge(self) -> HarmBenchOptions:
        if (self.model is None) == (self.server is None):
            raise ValueError("give exactly one of model and server")
        check_server(self, "tokenizer")
        return self

    @model_validator(mode="after")
    def _one_template(self) -> HarmBenchOptions:
        file = self.template_file
        if file is None:
            if self.context_column is not None and self.template != "A":
                raise ValueError("context_column: only template A has a contextual form")
            return self
        if self.template != "A":
            raise ValueError("give one of template and template_file")
        if Path(file).is_file():  # what is not there is the core's to say
            for fault in faults(template_text(file), self.context_column is not None):
                raise ValueError(f"template_file {fault}")
        return self
