"""A backend and an SAE format: activations are integers, from the token and its place alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor

from fakes.lab import LAB
from harness.contract import (
    USUAL,
    Activations,
    Arm,
    BackendOptions,
    Capability,
    Completion,
    Example,
    Location,
    ModelFacts,
    Prompt,
    Receipt,
    SaeFacts,
    SaeOptions,
    Sampling,
    Site,
    Tokens,
)
from harness.contract.latents import Latents
from harness.contract.sites import parse_site
from harness.errors import BadRows

LAYERS, WIDTH, VOCABULARY = 4, 6, 64
PAD, BOS, EOS = 0, 1, 2
INFINITE = 53
"""The token of "∞", of which the model makes no finite number."""
SPECIAL = {"_": PAD, "^": BOS, "|": EOS}
"""Characters of a text that become special tokens."""


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
    context: int | None = None
    """Longest row that it reads."""
    template: bool = True
    """Whether there is a chat template."""
    hidden: bool = False
    """Whether nothing is known of it before it is loaded."""
    special: str = ""
    """Characters that are special to this model alone."""
    spelling: str = ""
    """Characters that its tokenizer gives another id."""
    bos: bool = True
    """Whether every prompt begins with a BOS."""
    positional: bool = True
    """Whether activations depend on the place in the row."""
    fingerprint: str = "fake"
    """Its fingerprint, beside its scale."""
    here: bool = False
    """Whether its tokenizer is there before it is loaded."""
    thinks: int = 0
    """It thinks before it answers, and of so many prompts the thought of one never ends."""
    silent: tuple[str, ...] = ()
    """The directions under which it says nothing; `none` is the untouched model."""
    refuses: str = ""
    """Text of which it makes no prompt, as some chat templates do; everything is fine without."""
    called: str = ""
    """Its name, for SAEs that say which model they are of."""
    offers: tuple[Capability, ...] | None = None
    """What it offers, where that is not the usual."""
    adapted: str | None = None
    """What its adapter says that it was trained on."""

    def facts(self) -> ModelFacts:
        return ModelFacts(
            "Fake",
            self.layers,
            self.width,
            None,
            self.vocabulary,
            self.context,
            chat_template=self.template,
            capabilities=USUAL if self.offers is None else frozenset(self.offers),
        )

    def names(self) -> tuple[str, ...]:
        return (self.called,) if self.called else ()

    def adapted_from(self) -> str | None:
        return self.adapted

    def describe(self) -> ModelFacts:
        return ModelFacts() if self.hidden else self.facts()

    def render(self, examples: Sequence[Example], prompt: Prompt) -> Sequence[Tokens] | None:
        if not self.here:
            return None
        alike = FakeModel.__new__(FakeModel)  # not loaded: the lab does not see it
        alike.options = self
        return alike.render(examples, prompt)

    def masked_ids(self) -> frozenset[int] | None:
        return frozenset({PAD, BOS, EOS, *map(token, self.special)}) if self.here else None


class Receipts(Sequence[Receipt]):
    """Receipts that say at any time what was done until then."""

    def __init__(self, now: Callable[[], list[Receipt]]) -> None:
        self.now = now

    def __getitem__(self, index: Any) -> Any:
        return self.now()[index]

    def __len__(self) -> int:
        return len(self.now())


class FakeModel:
    """Activations from the token, its position and the block alone; NaN where there is padding."""

    def __init__(self, options: ModelOptions) -> None:
        self.options = options
        self.facts = options.facts()
        self.fingerprint = f"{options.fingerprint}/{options.scale}"
        self.dtype = options.dtype
        self.device = "cpu"
        self.masked_ids = frozenset({PAD, BOS, EOS, *map(token, options.special)})
        self.forwards: list[tuple[tuple[str, ...], tuple[Site, ...]]] = []
        self._arms: Sequence[Arm] = ()
        self._edited_rows: list[tuple[str, str]] = []
        torch_random = torch.Generator().manual_seed(0)
        self._embeddings = torch.randint(
            -4, 5, (VOCABULARY, options.width), generator=torch_random
        ).float()
        LAB.models.append(self)

    native = None

    def load(self) -> FakeModel:
        return self

    def render(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        refused = self.options.refuses
        bad = {n: f"{one.name}: refused" for n, one in enumerate(examples) if refused in one.text}
        if refused and bad:
            raise BadRows(bad)
        before = "".join(f"{one.text}{one.fields[prompt.answer]}" for one in prompt.demonstrations)
        rendered = []
        for example in examples:
            text = prompt.template.replace("{text}", example.text)
            first = [BOS] if self.options.bos else []
            ids = [*first, *self.encode(before + text)] if before + text else []
            # Like the real one: without a context, the span is the whole prompt.
            span = (len(ids) - len(text), len(ids)) if before else (0, len(ids))
            most = prompt.max_tokens or len(ids)
            ids, span = ids[:most], (min(span[0], most), min(span[1], most))
            rendered.append(Tokens(example.id, tuple(ids), span, before + text))
        return rendered

    def activations(
        self, tokens: Sequence[Tokens], sites: Sequence[Site], *, logits: bool = False
    ) -> Activations:
        LAB.forward()
        self._edited_rows += [(t.example, self._arms[t.arm].name) for t in tokens if self._arms]
        self.forwards.append((tuple(t.example for t in tokens), tuple(sites)))
        longest = max(len(t.ids) for t in tokens)
        assert longest <= (self.options.context or longest), "a row is longer than the context"
        left = self.options.padding == "left"
        start = tuple(longest - len(t.ids) if left else 0 for t in tokens)
        found = {}
        for site in sites:
            x = torch.full((len(tokens), longest, self.options.width), float("nan"))
            for row, one in enumerate(tokens):
                x[row, start[row] : start[row] + len(one.ids)] = self.at(site, one)
            found[site] = x
        return Activations(found, start, self._logits(tokens, start, longest) if logits else None)

    def _logits(self, tokens: Sequence[Tokens], start: Sequence[int], longest: int) -> Tensor:
        out = torch.full((len(tokens), longest, VOCABULARY), float("nan"))
        for row, one in enumerate(tokens):
            ids = torch.tensor(one.ids, dtype=torch.long)
            numbers = (ids[:, None] * torch.arange(VOCABULARY)) % 7 * self.options.scale
            out[row, start[row] : start[row] + len(one.ids)] = numbers.float()
        return out

    def at(self, site: Site, prompt: Tokens) -> Tensor:
        """What the model has at a site: `[tokens, width]`, channel 0 tells the block."""
        layer = -1 if site.layer is None else site.layer
        x = self._embeddings[torch.tensor(prompt.ids, dtype=torch.long)] * (layer + 1)
        if self.options.positional:
            x = x + torch.arange(len(prompt.ids))[:, None]
        x = x * self.options.scale
        x[:, 0] = layer + 1
        if INFINITE in prompt.ids:
            x[[i for i, char in enumerate(prompt.ids) if char == INFINITE]] = float("inf")
        return x

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        return [token(char) + (char in self.options.spelling) for char in text]

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        if LAB.crash_at is not None and len(LAB.generations) + 1 >= LAB.crash_at:
            raise LAB.crash
        arms = self._arms or (Arm("none", idle=True),)
        batch = [(t.example, arms[t.arm].name) for t in tokens]
        LAB.generations.append(batch)
        self._edited_rows += batch  # its own: two runs may write at once
        return [self._complete(one, arms[one.arm]) for one in tokens]

    def _complete(self, prompt: Tokens, arm: Arm) -> Completion:
        number = sum(prompt.ids) + int(sum(float(e.parameters["add"].sum()) for e in arm.edits))
        text = f"{'No' if number % 2 else 'Sure'}, {prompt.text} {number}"
        if arm.name.partition("[")[0] in self.options.silent:
            text = ""
        if not self.options.thinks:
            return Completion(text, len(text), stopped=True)
        # What it thinks is not what it says.
        thought = f"{'Sure' if number % 2 else 'No'}, I think of {prompt.text}"
        finished = sum(prompt.ids) % self.options.thinks != 0
        return Completion(text if finished else "", len(text), finished, thought, finished)

    @contextmanager
    def edited(self, arms: Sequence[Arm]) -> Iterator[Sequence[Receipt]]:
        before = len(self._edited_rows)
        self._arms = arms
        receipts = Receipts(lambda: self._receipts(arms, before))
        try:
            yield receipts
        finally:
            self._arms = ()
        final = receipts.now()
        receipts.now = lambda: final

    def _receipts(self, arms: Sequence[Arm], before: int) -> list[Receipt]:
        rows = self._edited_rows[before:]
        return [self._receipt(arm, sum(name == arm.name for _, name in rows)) for arm in arms]

    def _receipt(self, arm: Arm, rows: int) -> Receipt:
        strengths = [float(edit.parameters["add"].abs().sum()) for edit in arm.edits]
        x = torch.zeros(1, 1, self.options.width)
        checks = {c.name: float(c.measure(x, c.parameters).max()) for c in arm.checks}
        broken = tuple(
            c.name for c in arm.checks if c.limit is not None and checks[c.name] > c.limit
        )
        return Receipt(
            arm.name,
            fired=len(arm.edits) if rows else 0,
            tokens=rows * len(arm.edits),
            changed=rows * sum(strength > 0 for strength in strengths),
            relative=sum(strengths) / len(strengths) if strengths and rows else None,
            checks=checks,
            broken=broken,
        )


def token(char: str) -> int:
    """The id of a character: a special token, one of 3 to 52, or the infinite one."""
    return INFINITE if char == "∞" else SPECIAL.get(char, 3 + ord(char) % 50)


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
    note: str = ""
    """What it says of itself."""
    fingerprint: str = "fake-sae"
    """Its fingerprint."""
    out: str | None = None
    """The site that it reconstructs, where it is a transcoder."""
    trained_on: str | None = None
    """What its metadata say of its model."""
    sequence: bool = False
    """Whether a token's latents depend on the tokens of its document before it."""

    blocks: int | None = None
    """Of one layer of a cross-layer transcoder, how many layers there are."""

    def describe(self) -> SaeFacts:
        site, out = (parse_site(text) if text else None for text in (self.trained_at, self.out))
        return SaeFacts(
            "fake",
            self.width,
            2 * self.width,
            site,
            site_out=out,
            needs_sequence=self.sequence,
            model=self.trained_on,
            blocks=self.blocks,
        )

    @classmethod
    def claims(cls, path: str) -> bool:
        from pathlib import Path

        return (Path(path) / "fake.sae").is_file()


class ScaledSettings(SaeSettings):
    """Options of the format whose files leave the scale open."""

    @classmethod
    def claims(cls, path: str) -> bool:
        return False


class FakeSae:
    """Latents are the positive and the negative part of every channel."""

    def __init__(self, options: SaeSettings) -> None:
        self.options = options
        self.facts = options.describe()
        self.fingerprint = options.fingerprint
        self.notes = (options.note,) if options.note else ()
        self.encoded: list[int] = []
        LAB.saes.append(self)

    def load(self, device: str) -> FakeSae:
        return self

    def encode(self, x: Tensor) -> Latents:
        assert x.shape[1] == self.options.width
        self.encoded.append(len(x))
        if self.options.sequence:
            x = x.cumsum(0)
        return Latents.from_dense(torch.cat([x.relu(), (-x).relu()], dim=1))

    def reconstruct(self, latents: Latents) -> Tensor:
        dense = latents.dense()
        x = dense[:, : self.options.width] - dense[:, self.options.width :]
        away = (x[:, :1] - 1 - self.options.home).abs()
        return x * (1 - self.options.miss - away / 2)

    def rows(self, indices: Tensor) -> Tensor:
        eye = torch.eye(self.options.width)
        return torch.cat([eye, -eye])[indices]


class ScaledSae(FakeSae):
    """One whose files leave its scale open: the first activation that it sees decides."""

    def calibrated(self, x: Tensor, target: Tensor | None = None) -> FakeSae:
        LAB.calibrated.append(x)
        chosen = FakeSae(self.options.model_copy(update={"note": f"scaled on {len(x)} tokens"}))
        chosen.fingerprint = f"scaled by {float(x.sum())}"
        return chosen
