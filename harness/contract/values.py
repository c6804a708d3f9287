"""The frozen values that several kinds of plugin share. Plain data, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from harness.contract.sites import Site

if TYPE_CHECKING:
    import numpy as np


JSON = str | int | float | bool | None
Axes = Mapping[str, JSON]


@dataclass(frozen=True)
class Example:
    """One row of data. `id` is a hash of its content, the cluster of every interval."""

    id: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    messages: tuple[Mapping[str, str], ...] = ()
    """The turns (`role`, `content`) where the data are conversations."""


@dataclass(frozen=True)
class Prompt:
    """How a view writes its prompt.

    `plain`: `template` around `{text}` (the data's column, under that name or `text`; other
    columns by theirs), each piece tokenised on its own, so that a separator such as "\\n" is
    always the same token. `chat`: the tokenizer's chat template.
    """

    style: Literal["plain", "chat"] = "plain"
    template: str = "{text}"
    join: Literal["pieces", "string"] = "pieces"
    system: str | None = None
    generation_prompt: bool = True
    demonstrations: tuple[Example, ...] = ()
    answer: str = "answer"
    """The column that holds a demonstration's answer."""
    max_tokens: int | None = None
    """Longer prompts lose their end: for text that is read, not for prompts that are answered."""


@dataclass(frozen=True)
class Tokens:
    """One rendered prompt. `span` is the part that is measured (a query without its context)."""

    example: str
    ids: tuple[int, ...]
    span: tuple[int, int]
    text: str
    arm: int = 0
    """Which of the arms of `Model.edited` edits this row."""


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn: greedy at temperature 0."""

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Completion:
    """What a model wrote after a prompt; `text` without special tokens, stripped."""

    text: str
    tokens: int
    stopped: bool
    """Whether it ended by itself rather than at the token limit."""


@dataclass(frozen=True)
class Direction:
    """Vectors at a site, with their raw lengths: Float64 `[rank, d_site]`, numpy."""

    site: Site
    vectors: np.ndarray
    reference_norm: float | None = None
    """Length of the direction that this one rebuilds or imitates."""
    sae: str | None = None
    features: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()


@dataclass(frozen=True)
class Undefined:
    """A direction that does not exist, and why."""

    reason: str


@dataclass(frozen=True)
class Record:
    """One number of the results; `value` is None exactly when `undefined` says why.

    `id` is `name.variant@version`. `ci` is a 95% interval; where there is none, `ci_why` says why.
    """

    id: str
    value: float | None
    n: int
    n_of: str
    unit: str
    options: Mapping[str, Any] = field(default_factory=dict)
    clusters: int | None = None
    ci: tuple[float, float] | None = None
    ci_why: str | None = None
    null: Mapping[str, Any] | None = None
    undefined: str | None = None
    axes: Axes = field(default_factory=dict)

    def on(self, **axes: JSON) -> Record:
        """The same record with further axes."""
        return replace(self, axes={**self.axes, **axes})


@dataclass(frozen=True)
class Found:
    """One direction that a finder yields, with the axes of its variant."""

    direction: Direction | Undefined
    axes: Axes = field(default_factory=dict)
    records: tuple[Record, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What a reduction yields: records, tables (rows of plain values), directions and arrays."""

    records: tuple[Record, ...] = ()
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    directions: tuple[Found, ...] = ()
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Numbers that analyses read, by name: kept with the run, never shown."""
    notes: tuple[str, ...] = ()
    """What whoever reads the numbers must know: shown as warnings."""
