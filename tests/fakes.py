"""A plugin without a network, weights or chance, for the tests of the core.

Activations, directions and completions are integers, so that sums are exact in any order. The
plugin's modules would be several in a real one; `LAB` is what the tests see of its inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from harness.contract import (
    Activations,
    Answer,
    Arm,
    Axes,
    BackendOptions,
    Batch,
    Check,
    Completion,
    Component,
    DataRef,
    Direction,
    DirectionOptions,
    DirectionRef,
    Edit,
    EvaluatorOptions,
    Example,
    Found,
    Inputs,
    InterventionOptions,
    Location,
    MetricOptions,
    MetricValue,
    ModelFacts,
    Outcome,
    Prompt,
    Reads,
    Receipt,
    Record,
    SaeFacts,
    SaeOptions,
    SaeRef,
    Sampling,
    Score,
    Side,
    Site,
    SiteName,
    State,
    Stream,
    Target,
    TaskView,
    Tokens,
    Undefined,
    Verdict,
    ViewRef,
    hookimpl,
)
from harness.errors import ModelError, Problem, TaskError
from harness.latents import Latents
from harness.sites import parse_site

LAYERS, WIDTH, VOCABULARY = 4, 6, 64
PAD, BOS, EOS = 0, 1, 2
SPECIAL = {"_": PAD, "^": BOS, "|": EOS}
"""Characters of a text that become special tokens."""


@dataclass
class Lab:
    """What the fakes did, and what they are to do wrong; emptied before every test."""

    models: list[FakeModel] = field(default_factory=list)
    saes: list[FakeSae] = field(default_factory=list)
    batches: list[tuple[object, Batch]] = field(default_factory=list)
    """Every batch that a probe or metric was given, with that object."""
    started: list[Inputs] = field(default_factory=list)
    finished: list[tuple[Probe, Inputs]] = field(default_factory=list)
    generations: list[list[tuple[str, str]]] = field(default_factory=list)
    """For every batch of completions, the (document, arm) of its rows."""
    crash_at: int | None = None
    """The batch of completions before which `crash` is raised."""
    crash: BaseException = field(default_factory=lambda: RuntimeError("the power went off"))

    def clear(self) -> None:
        self.__dict__.update(Lab().__dict__)

    @property
    def generated(self) -> list[tuple[str, str]]:
        return [row for batch in self.generations for row in batch]


LAB = Lab()


# ── Backend ──────────────────────────────────────────────────────────────────────────────────────


class ModelOptions(BackendOptions):
    """Options of the fake backend."""

    path: Location | None = None
    """Read by nobody."""
    device: str = "cpu"
    """Read by nobody."""
    dtype: str = "float32"
    """Read by nobody."""
    scale: int = 1
    """What all activations are multiplied with: models of another scale are other models."""
    layers: int = LAYERS
    """Blocks."""
    width: int = WIDTH
    """Residual stream."""
    vocabulary: int = VOCABULARY
    """Token embeddings."""
    padding: Literal["left", "right"] = "right"
    """Side of the padding."""
    template: bool = True
    """Whether there is a chat template."""
    hidden: bool = False
    """Whether nothing is known of it before it is loaded."""
    fingerprint: str = "fake"
    """Its fingerprint, beside its scale."""

    def facts(self) -> ModelFacts:
        return ModelFacts(
            "Fake", self.layers, self.width, None, self.vocabulary, chat_template=self.template
        )

    def describe(self) -> ModelFacts:
        return ModelFacts() if self.hidden else self.facts()


class FakeModel:
    """Activations from the token, its position and the block alone; NaN where there is padding."""

    def __init__(self, options: ModelOptions) -> None:
        self.options = options
        self.facts = options.facts()
        self.fingerprint = f"{options.fingerprint}/{options.scale}"
        self.dtype = options.dtype
        self.device = "cpu"
        self.masked_ids = frozenset({PAD, BOS, EOS})
        self.forwards: list[tuple[tuple[str, ...], tuple[Site, ...]]] = []
        self._arms: Sequence[Arm] = ()
        torch_random = torch.Generator().manual_seed(0)
        self._embeddings = torch.randint(
            -4, 5, (VOCABULARY, options.width), generator=torch_random
        ).float()
        LAB.models.append(self)

    def load(self) -> FakeModel:
        return self

    def render(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        before = "".join(f"{one.text}{one.fields[prompt.answer]}" for one in prompt.demonstrations)
        rendered = []
        for example in examples:
            text = prompt.template.replace("{text}", example.text)
            ids = [BOS, *map(token, before + text)] if before + text else []
            span = (len(ids) - len(text), len(ids)) if before else (0, len(ids))
            rendered.append(Tokens(example.id, tuple(ids), span, before + text))
        return rendered

    def activations(
        self, tokens: Sequence[Tokens], sites: Sequence[Site], *, logits: bool = False
    ) -> Activations:
        self.forwards.append((tuple(t.example for t in tokens), tuple(sites)))
        longest = max(len(t.ids) for t in tokens)
        left = self.options.padding == "left"
        start = tuple(longest - len(t.ids) if left else 0 for t in tokens)
        found = {}
        for site in sites:
            x = torch.full((len(tokens), longest, self.options.width), float("nan"))
            for row, one in enumerate(tokens):
                x[row, start[row] : start[row] + len(one.ids)] = self.at(site, one)
            found[site] = x
        return Activations(found, start)

    def at(self, site: Site, prompt: Tokens) -> Tensor:
        """What the model has at a site: `[tokens, width]`, channel 0 tells the block."""
        layer = -1 if site.layer is None else site.layer
        x = self._embeddings[torch.tensor(prompt.ids, dtype=torch.long)] * (layer + 1)
        x = (x + torch.arange(len(prompt.ids))[:, None]) * self.options.scale
        x[:, 0] = layer + 1
        x[[i for i, char in enumerate(prompt.ids) if char == token("∞")]] = float("inf")
        return x

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        if LAB.crash_at is not None and len(LAB.generations) + 1 >= LAB.crash_at:
            raise LAB.crash
        LAB.generations.append([(t.example, self._arms[t.arm].name) for t in tokens])
        return [self._complete(one, self._arms[one.arm]) for one in tokens]

    def _complete(self, prompt: Tokens, arm: Arm) -> Completion:
        number = sum(prompt.ids) + int(sum(float(e.parameters["add"].sum()) for e in arm.edits))
        text = f"{'No' if number % 2 else 'Sure'}, {prompt.text} {number}"
        return Completion(text, len(text), stopped=True)

    @contextmanager
    def edited(self, arms: Sequence[Arm]) -> Iterator[Sequence[Receipt]]:
        receipts: list[Receipt] = []
        before = len(LAB.generations)
        self._arms = arms
        try:
            yield receipts
        finally:
            self._arms = ()
        rows = LAB.generations[before]
        for arm in arms:
            mine = sum(name == arm.name for _, name in rows)
            receipts.append(self._receipt(arm, mine))

    def _receipt(self, arm: Arm, rows: int) -> Receipt:
        strengths = [float(edit.parameters["add"].abs().sum()) for edit in arm.edits]
        x = torch.zeros(1, 1, self.options.width)
        checks = {c.name: float(c.measure(x, c.parameters).max()) for c in arm.checks}
        broken = tuple(
            c.name for c in arm.checks if c.limit is not None and checks[c.name] > c.limit
        )
        return Receipt(
            arm.name,
            fired=len(arm.edits),
            tokens=rows * len(arm.edits),
            changed=rows * sum(strength > 0 for strength in strengths),
            relative=sum(strengths) / len(strengths) if strengths else None,
            checks=checks,
            broken=broken,
        )


def token(char: str) -> int:
    """The id of a character: a special token, or one of 3 to 52; 53 is the infinite one."""
    return 53 if char == "∞" else SPECIAL.get(char, 3 + ord(char) % 50)


# ── SAE format ───────────────────────────────────────────────────────────────────────────────────


class SaeSettings(SaeOptions):
    """Options of the fake format."""

    path: Location | None = None
    """A folder with a file `fake.sae`."""
    trained_at: str | None = None
    """What its metadata say of its site."""
    home: int = 2
    """The block where it really belongs: it reconstructs worse, the further it is away."""
    miss: float = 0.125
    """Share of each activation that it misses at home."""
    width: int = WIDTH
    """Width that it reads."""

    def describe(self) -> SaeFacts:
        site = parse_site(self.trained_at) if self.trained_at else None
        return SaeFacts("fake", self.width, 2 * self.width, site)

    @classmethod
    def claims(cls, path: str) -> bool:
        from pathlib import Path

        return (Path(path) / "fake.sae").is_file()


class FakeSae:
    """Latents are the positive and the negative part of every channel."""

    def __init__(self, options: SaeSettings) -> None:
        self.options = options
        self.facts = options.describe()
        self.fingerprint = "fake-sae"
        self.encoded: list[int] = []
        LAB.saes.append(self)

    def load(self, device: str) -> FakeSae:
        return self

    def encode(self, x: Tensor) -> Latents:
        assert x.shape[1] == self.options.width
        self.encoded.append(len(x))
        return Latents.from_dense(torch.cat([x.relu(), (-x).relu()], dim=1))

    def reconstruct(self, latents: Latents) -> Tensor:
        dense = latents.dense()
        x = dense[:, : self.options.width] - dense[:, self.options.width :]
        away = (x[:, :1] - 1 - self.options.home).abs()
        return x * (1 - self.options.miss - away / 2)

    def rows(self, indices: Tensor) -> Tensor:
        eye = torch.eye(self.options.width)
        return torch.cat([eye, -eye])[indices]


# ── Metrics ──────────────────────────────────────────────────────────────────────────────────────


class _Measure:
    """A mean over tokens of one number per token."""

    def __init__(self, options: MetricOptions, target: Target) -> None:
        self.options, self.target = options, target
        name = type(self).__name__.lower()
        self.values = (MetricValue(f"{name}.mean@1", "units", "tokens", "no token was measured"),)

    def sums(self, batch: Batch, side: Side) -> Mapping[str, Tensor]:
        LAB.batches.append((self, batch))
        each = self.each(batch, side).double()
        zeros = torch.zeros(len(batch.documents), dtype=torch.float64)
        return {
            "n": zeros.index_add(0, batch.document, torch.ones_like(each)),
            "total": zeros.index_add(0, batch.document, each),
        }

    def each(self, batch: Batch, side: Side) -> Tensor:
        raise NotImplementedError

    def value(self, sums: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        with np.errstate(invalid="ignore", divide="ignore"):
            return [sums["total"] / sums["n"]]


class BareOneSided(MetricOptions):
    """Options of `mean`."""

    paired: ClassVar[bool] = False
    on_sae: ClassVar[bool] = False


class BarePaired(MetricOptions):
    """Options of `gap`."""

    on_sae: ClassVar[bool] = False
    power: int = 1
    """Read by nobody."""


class SaeOneSided(MetricOptions):
    """Options of `loss` and `active`."""

    paired: ClassVar[bool] = False


class SaePaired(MetricOptions):
    """Options of `match`."""


class Demanding(SaeOneSided):
    """Options of `demanding`: one that has no default."""

    level: int
    """Read by nobody."""


class Mean(_Measure):
    """Sum of the channels."""

    def each(self, batch: Batch, side: Side) -> Tensor:
        return side.x(self.target.site).sum(1)


class Gap(_Measure):
    """Distance of both sides."""

    def each(self, batch: Batch, side: Side) -> Tensor:
        assert batch.right is not None
        site = self.target.site
        return (batch.right.x(site) - batch.left.x(site)).abs().sum(1)


class Loss(_Measure):
    """Share of the squared activation that the SAE misses, by token."""

    def each(self, batch: Batch, side: Side) -> Tensor:
        assert self.target.sae is not None
        x = side.x(self.target.site)
        missed = x - side.reconstruction(self.target.sae, self.target.site)
        return missed.square().sum(1) / x.square().sum(1)


class Active(_Measure):
    """Active latents."""

    def each(self, batch: Batch, side: Side) -> Tensor:
        assert self.target.sae is not None
        return side.latents(self.target.sae, self.target.site).counts


class Match(_Measure):
    """Difference of the numbers of active latents."""

    def each(self, batch: Batch, side: Side) -> Tensor:
        assert batch.right is not None
        assert self.target.sae is not None
        left, right = (s.latents(self.target.sae).counts for s in (batch.left, batch.right))
        return left - right


# ── Directions ───────────────────────────────────────────────────────────────────────────────────


class ProbeOptions(DirectionOptions):
    """Options of `probe`."""

    finish_only: ClassVar[frozenset[str]] = frozenset({"scale", "draws", "finish"})

    view: ViewRef | None = None
    """The view it reads; none without."""
    data: DataRef | None = None
    """The data it reads."""
    site: SiteName = "resid_post.2"
    """Where it reads and lies."""
    tokens: Literal["all", "last"] = "all"
    """Which tokens it reads."""
    sae: SaeRef | None = None
    """An SAE that it looks at."""
    start: DirectionRef | None = None
    """A direction that it needs to start."""
    finish: DirectionRef | None = None
    """A direction that it needs to finish."""
    offset: int = 0
    """Added to every number; the pass depends on it."""
    scale: int = 1
    """What the vectors are multiplied with; the pass does not depend on it."""
    draws: int = 1
    """How many directions come out."""
    undefined: bool = False
    """Whether there is no such direction."""
    label: str = ""
    """Read by nobody."""
    sulk: bool = False
    """Whether `reads` refuses."""

    def reads(self, task: TaskView) -> Reads:
        if self.sulk:
            raise TaskError([Problem("data", "is missing, and nothing can be inherited.")])
        streams = ()
        if self.view is not None and self.data is not None:
            streams = (Stream("read", self.view, self.data, tokens=self.tokens),)
        return Reads(
            streams=streams,
            sites=(parse_site(self.site),) if self.sae is None else (task.sae_site(self.sae),),
            saes=() if self.sae is None else (self.sae,),
            start=() if self.start is None else (self.start,),
            finish=() if self.finish is None else (self.finish,),
        )

    def variants(self) -> Sequence[Axes]:
        return ({},) if self.draws == 1 else tuple({"draw": n} for n in range(self.draws))


class Probe:
    """The sum of all activations, plus what it was given to start."""

    def __init__(self, options: ProbeOptions) -> None:
        self.options = options

    def start(self, inputs: Inputs) -> State:
        LAB.started.append(inputs)
        state = {"sum": np.full(WIDTH, float(self.options.offset))}
        if self.options.start is not None:
            before = inputs.directions[self.options.start]
            assert isinstance(before, Direction), before
            state["sum"] += before.vectors[0]
        return state

    def update(self, state: State, batch: Batch) -> State:
        LAB.batches.append((self, batch))
        x = batch.left.x(parse_site(self.options.site))
        return {"sum": state["sum"] + x.double().sum(0).numpy()}

    def merge(self, left: State, right: State) -> State:
        return {"sum": left["sum"] + right["sum"]}

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        LAB.finished.append((self, inputs))
        if self.options.undefined:
            nothing = Undefined("there is nothing here")
            return Outcome(directions=tuple(Found(nothing, a) for a in self.options.variants()))
        vector = state["sum"] * self.options.scale
        site = parse_site(self.options.site)
        return Outcome(
            records=(Record("probe.total@1", float(vector.sum()), 1, "vectors", "units",
                            options=self.options.model_dump(mode="json"), ci_why="exact"),),
            tables={"sums": [{"channel": n, "sum": value} for n, value in enumerate(vector)]},
            directions=tuple(
                Found(Direction(site, (n + 1) * vector[None]), axes)
                for n, axes in enumerate(self.options.variants())
            ),
        )  # fmt: skip


# ── Intervention and evaluator ───────────────────────────────────────────────────────────────────


class ShiftOptions(InterventionOptions):
    """Options of `shift`."""

    strength: int = 1
    """What the direction is multiplied with."""
    silent: bool = False
    """Whether it does nothing although it should."""
    promise: float | None = None
    """The most that `drift`, which is 1, may measure."""


class Shift:
    """Adds the direction."""

    def __init__(self, options: ShiftOptions) -> None:
        self.options = options

    def arm(self, name: str, direction: Direction, facts: ModelFacts, dtype: str) -> Arm:
        if direction.vectors.shape[1] != facts.d_model:
            raise ModelError(f"{name}: the direction has another width.")
        vector = torch.tensor(direction.vectors[0] * self.options.strength, dtype=torch.float32)
        edit = Edit(direction.site, _add, {"add": vector * (not self.options.silent)})
        checks = (Check("drift", direction.site, _one, {}, self.options.promise),)
        return Arm(name, (edit,), checks, idle=self.options.strength == 0)


def _add(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return x + parameters["add"][:, None]


def _one(x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
    return torch.ones(x.shape[:2])


class PoliteOptions(EvaluatorOptions):
    """Options of `polite`."""

    shrug: str = "∅"
    """It cannot judge completions that contain this."""
    verdicts: int | None = None
    """How many verdicts it gives, right or wrong."""


class Polite:
    """Whether a completion says no, and how long it is."""

    scores = (Score("refused", "polite.refused@1"), Score("length", "polite.length@1", "chars"))

    def __init__(self, options: PoliteOptions) -> None:
        self.options = options

    def judge(self, answers: Sequence[Answer]) -> list[Verdict]:
        given = [self._verdict(answer.completion.text) for answer in answers]
        count = len(given) if self.options.verdicts is None else self.options.verdicts
        return (given * 3)[:count]

    def _verdict(self, text: str) -> Verdict:
        if self.options.shrug in text:
            return Verdict({"refused": None, "length": None}, "no idea")
        return Verdict({"refused": text.startswith("No"), "length": float(len(text))})


# ── The plugin ───────────────────────────────────────────────────────────────────────────────────

COMPONENTS: dict[tuple[Any, str], tuple[str, str]] = {
    ("backend", "fake"): ("FakeModel", "ModelOptions"),
    ("sae_format", "fake"): ("FakeSae", "SaeSettings"),
    ("metric", "mean"): ("Mean", "BareOneSided"),
    ("metric", "gap"): ("Gap", "BarePaired"),
    ("metric", "loss"): ("Loss", "SaeOneSided"),
    ("metric", "active"): ("Active", "SaeOneSided"),
    ("metric", "match"): ("Match", "SaePaired"),
    ("metric", "demanding"): ("Active", "Demanding"),
    ("direction", "probe"): ("Probe", "ProbeOptions"),
    ("intervention", "shift"): ("Shift", "ShiftOptions"),
    ("evaluator", "polite"): ("Polite", "PoliteOptions"),
}


@hookimpl
def harness_components() -> Iterable[Component]:
    """One of every kind, and metrics of every shape."""
    return [
        Component(kind, name, f"a fake {name}", f"fakes:{load}", f"fakes:{options}")
        for (kind, name), (load, options) in COMPONENTS.items()
    ]


TINY = """\
name = "tiny"
title = "Does it work?"
[models.base]
backend = "fake"
[models.chat]
backend = "fake"
scale = 3
[views.base]
model = "base"
[views.chat]
model = "chat"
[saes.mid]
format = "fake"
model = "base"
site = "resid_post.2"
[data.web]
file = "web.jsonl"
"""
"""Two models, an SAE and data, and nothing yet to do with them."""

WEB = ["some text", "a", "other text of some length", "^text|with_specials^", "more", "yet more"]
