"""Values that several kinds of plugin share: data, prompts, directions, records, outcomes.

All are frozen plain data and need no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np

    from harness.contract.sites import Site


JSON = str | int | float | bool | None
"""A plain value: what a cell of a table or an axis of a record may hold."""
PromptPart = Literal["asked", "answered"]
"""A part of a prompt whose place may be wanted."""
Axes = Mapping[str, JSON]
"""What a record or a direction is of, by axis, such as `{"site": "resid_post.3", "k": 8}`."""


@dataclass(frozen=True)
class Example:
    """One row of the task's data."""

    id: str
    """A hash of its content. Intervals are made by drawing examples, so it is their cluster."""
    text: str
    """The column that the task chose: what is read, or asked."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """All columns of the row, by name."""
    messages: tuple[Mapping[str, Any], ...] = ()
    """The turns where the data are conversations: `role`, `content` (text; None beside
    `tool_calls`), and what else chat templates read."""
    place: str = field(default="", compare=False)
    """Where it was read, for people: `row 3 of rows.jsonl`."""

    @property
    def request(self) -> str:
        """What is asked, for a judge: of a conversation, what the user said last."""
        said = (one["content"] for one in reversed(self.messages) if one["role"] == "user")
        return next(said, "") if self.messages else self.text

    @property
    def name(self) -> str:
        """The example in a message: its id and, where it is known, its place."""
        return f"example {self.id} ({self.place})" if self.place else f"example {self.id}"


@dataclass(frozen=True)
class Prompt:
    """How a view turns an example into a prompt; `Model.render` follows it."""

    style: Literal["plain", "chat"] = "plain"
    """`plain` fills `template`; `chat` uses the chat template of the tokenizer."""
    template: str = "{text}"
    """The text of a plain prompt. `{text}` is the example's text, `{NAME}` its column NAME."""
    join: Literal["pieces", "string"] = "pieces"
    """Whether each piece of the template is tokenised on its own, so that a separator such as
    "\\n" is always the same token, or the whole string at once."""
    system: str | None = None
    """The system message of a chat prompt; None leaves it out."""
    generation_prompt: bool = True
    """Whether a chat prompt ends with the header of the assistant's turn."""
    template_arguments: Mapping[str, Any] = field(default_factory=dict)
    """What else the chat template is given, such as `{"enable_thinking": False}`. One that it
    doesn't read is an error."""
    demonstrations: tuple[Example, ...] = ()
    """Examples that stand, with their answers, before the query."""
    answer: str = "answer"
    """The column that holds a demonstration's answer."""
    max_tokens: int | None = None
    """Longer prompts lose their end: for text that is read, not for prompts that are answered."""
    split_special_tokens: bool = False
    """Whether special tokens that the data spell out are plain text. Those that the chat template
    or `template` writes stay real."""
    query: bool = False
    """Whether `Tokens.span` is the query's also where no demonstration stands before it, and
    `Tokens.query` is wanted."""
    places: tuple[PromptPart, ...] = ()
    """Which of `Tokens.asked` and `Tokens.answered` are wanted. An example where one cannot be told
    has no prompt."""
    tools: str | None = None
    """The column that holds the tools which the chat template is given: a list of them, or JSON.
    A template that reads none is an error, and one that leaves a tool out."""
    documents: str | None = None
    """The column that holds the documents which the chat template is given; likewise."""


@dataclass(frozen=True)
class Tokens:
    """One rendered prompt: what a model reads of one example."""

    example: str
    """The id of the example."""
    ids: tuple[int, ...]
    """Token ids, special tokens included."""
    span: tuple[int, int]
    """Start and end, in `ids`, of the part that is measured. The whole prompt; where demonstrations
    stand before the query, or `Prompt.query` asks for it, the query and what follows: from the
    first token with a character of the last user turn's content, or of the filled `template`."""
    text: str
    """The prompt as text, for people."""
    arm: int = 0
    """Inside `Model.edited(arms)`: the index of the arm whose edits act on this prompt."""
    query: str | None = None
    """The text of `span`, where `Prompt.query` asks for it: two prompts of one query have the same.
    None where the backend does not tell it; then spans are matched from their ends."""
    copies: int = 0
    """How many prompts of the same data before it have the very same ids; the core counts them."""
    asked: tuple[int, int] | None = None
    """Where `Prompt.places` asks for it: start and end, in `ids`, of what is asked, up to the last
    token with a character of the last user turn's content, or of the last column of `template`.
    What follows is what the prompt is closed with."""
    answered: tuple[int, int] | None = None
    """Where `Prompt.places` asks for it: start and end of the answer that a conversation ends with,
    which are the tokens with a character of the last assistant turn's content."""


@dataclass(frozen=True)
class Sampling:
    """How `Model.generate` draws completions."""

    max_new_tokens: int = 512
    """A completion ends here at the latest."""
    temperature: float = 0.0
    """0 takes the most likely token each time."""
    top_p: float = 1.0
    """Above temperature 0: draws among the most likely tokens that have this share together."""
    seed: int = 0


@dataclass(frozen=True)
class Completion:
    """What a model wrote after a prompt."""

    text: str
    """The answer, without special tokens, thought and white space around it. Hostile: show it
    escaped."""
    tokens: int
    """The length of all that it wrote, in tokens."""
    stopped: bool
    """Whether the model ended it, rather than the token limit."""
    thought: str | None = None
    """What a reasoning model wrote before the answer; empty where it thought nothing, None of a
    model without thoughts. Hostile, too."""
    finished: bool = True
    """Whether its thought came to an end. Where not, `text` is empty and nobody judges it."""
    log_probability: float | None = None
    """The sum of the log-probabilities of the tokens that it wrote, in nats; None where the backend
    does not tell."""


@dataclass(frozen=True)
class Direction:
    """One or more vectors at a site, which direction finders find and interventions use.

    An SAE feature is one; so are the difference in means of two data sets, and the first principal
    components of a difference.
    """

    site: Site
    """Where the vectors live; a block by number, never a fraction of depth."""
    vectors: np.ndarray
    """Float64 `[rank, d_site]`, with the lengths that they were found with; finite, not zero."""
    reference_norm: float | None = None
    """Length of the direction that this one rebuilds or imitates, where it does."""
    sae: str | None = None
    """The SAE whose features it is made of, by its name in the task."""
    features: tuple[int, ...] = ()
    """The indices of those features."""
    weights: tuple[float, ...] = ()
    """The factor of each feature; as many as `features`."""
    origin: np.ndarray | None = None
    """Float64 `[d_site]`: the point from which the vectors lead, where there is one. For a
    difference in means it is the mean of the negative data; what rebuilds or imitates another
    direction has the origin of that one."""
    missing: tuple[str, ...] = ()
    """Where fewer vectors exist than were asked for: for each of the others, in order, why not."""
    readers: np.ndarray | None = None
    """Float64 `[rank, d_site]`: with what the coordinate along each vector is read, where that is
    not the vector itself. Of x it is `readers @ (x − origin)`; reader i gives vector i 1 and the
    others 0 (`readers @ vectors.T` is the identity). Whoever takes a direction out reads it so, or
    refuses one that has readers; adding it needs none."""


@dataclass(frozen=True)
class Undefined:
    """In the place of a direction that does not exist. Arms that need it are undefined, too."""

    reason: str
    """Why there is none; the report shows it. Never empty."""


@dataclass(frozen=True)
class Record:
    """One number of the results.

    No two records of a run have the same id, options and axes. The core adds the axes that it
    knows (the pair, the experiment, the analysis, …); a component adds those that it varies.
    """

    id: str
    """What the number is: `name.variant@version`. A changed formula is a new version."""
    value: float | None
    """The number, finite; None where it is undefined."""
    n: int
    """How many things it was computed from; may be 0 only where it is undefined or a count."""
    n_of: str
    """What `n` counts: `tokens`, `prompts`, …"""
    unit: str
    """`share`, `ratio`, `nats`, …"""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The options that the meaning of the number depends on."""
    clusters: int | None = None
    """How many independent examples the `n` things come from, where they come from some."""
    ci: tuple[float, float] | None = None
    """The 95% interval, low end first."""
    ci_why: str | None = None
    """Why there is no interval; None where there is one."""
    null: Mapping[str, Any] | None = None
    """What the number is where nothing has changed, such as `{"kind": "identical", "value": 1.0}`.
    `p`, where it is tested: how likely it is there to be as far off as this, or further, in (0, 1].
    `least_p`, where the test is made of a few draws: the smallest p that it could have come to."""
    undefined: str | None = None
    """Why there is no value; None where there is one."""
    axes: Axes = field(default_factory=dict)
    """What the number is of."""

    def on(self, **axes: JSON) -> Record:
        """A copy of the record with these axes added."""
        return replace(self, axes={**self.axes, **axes})


@dataclass(frozen=True)
class PValues:
    """Tests that are too many for a record each, such as one of every feature of an SAE.

    All that were made are here, whichever of them a table lists: where many numbers are asked at
    once, it counts how many. A family of the task (`[families.NAME]`) names them by their id, as it
    names records. The core adds axes as it does to records.
    """

    id: str
    """What is tested: `name.variant@version`. No two of a run have the same id and axes."""
    p: np.ndarray | Callable[[], np.ndarray]
    """Float64 `[m]`: how likely a number is to be as far off as this, or further, where nothing has
    changed. In (0, 1]; NaN where something was asked and has no test. Or what makes it, where that
    takes time: it is called where a family of the task asks."""
    null: str
    """What *nothing has changed* means, and how p is made of it, in words."""
    item: str = "feature"
    """The axis that tells them apart."""
    items: np.ndarray | None = None
    """Int64 `[m]`: which of them each is on that axis; None where they are 0 to m − 1."""
    values: np.ndarray | None = None
    """Float64 `[m]`: the numbers that are tested, for people; None where there are none."""
    least_p: float | None = None
    """The smallest p that a test could have come to, where it is made of a few draws."""
    axes: Axes = field(default_factory=dict)
    """What all of them are of."""

    @property
    def array(self) -> np.ndarray:
        """p as an array, made where it was not yet."""
        return self.p() if callable(self.p) else self.p

    def on(self, **axes: JSON) -> PValues:
        """A copy with these axes added."""
        return replace(self, axes={**self.axes, **axes})


@dataclass(frozen=True)
class Found:
    """One direction that a finder found, or why there is none."""

    direction: Direction | Undefined
    axes: Axes = field(default_factory=dict)
    """Which of the variants of `DirectionOptions.variants` it is."""
    records: tuple[Record, ...] = ()
    """Numbers about it; the core adds the axes above to each."""


@dataclass(frozen=True)
class Outcome:
    """What a reduction, a benchmark or an analysis found. All of it is kept with the run."""

    records: tuple[Record, ...] = ()
    """Its numbers."""
    tables: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """Tables by name: rows of plain values, all rows with the same columns."""
    directions: tuple[Found, ...] = ()
    """What a direction finder found; all others leave it empty."""
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Numbers for analyses, by name; never shown. Only statistics may have some."""
    notes: tuple[str, ...] = ()
    """What whoever reads the numbers must know; shown as warnings."""
    p_values: tuple[PValues, ...] = ()
    """Tests that are too many for records, for families of the task."""
