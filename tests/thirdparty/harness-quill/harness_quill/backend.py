"""The model `quill`: bytes in, a few blocks with a fading memory, the next byte out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file
from torch import Tensor

from harness.contract import (
    Activations,
    Arm,
    Completion,
    Example,
    ModelFacts,
    Prompt,
    Receipt,
    Sampling,
    Site,
    Tokens,
)
from harness.errors import ModelError, UsageError
from harness_quill.edits import Session
from harness_quill.options import QuillOptions
from harness_quill.text import BOS, EOS, PAD, decode, encode, render


class QuillBackend:
    """Loads one file."""

    def __init__(self, options: QuillOptions) -> None:
        self.options = options

    def load(self) -> QuillModel:
        """The model, ready; ModelError where the file is no such model."""
        options, facts = self.options, self.options.describe()
        digest = hashlib.sha256(Path(options.path).read_bytes()).hexdigest()
        weights = load_file(options.path, options.device)
        return QuillModel(facts, weights, options.dtype, f"{digest}-{options.dtype}")


class QuillModel:
    """`x ← x + ReLU(m · W_in) W_out` in each block, with `m_t = m_{t−1}/2 + x_t/2`.

    A block remembers what came before, half as much with each token, so padding on the right
    changes nothing. Sites: embed, resid_pre, mlp_out and resid_post; x is
    Float[Tensor, "batch pos d"].
    """

    native = None
    masked_ids = frozenset({BOS, EOS, PAD})

    def __init__(
        self, facts: ModelFacts, weights: Mapping[str, Tensor], dtype: str, fingerprint: str
    ) -> None:
        self.facts = facts
        self.fingerprint = fingerprint
        self.dtype = dtype
        self.device = str(weights["embed"].device)
        self._weights = {name: one.to(getattr(torch, dtype)) for name, one in weights.items()}
        self._session: Session | None = None

    def render(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        """Prompts as bytes after a BOS."""
        return [render(example, prompt) for example in examples]

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The bytes of a text."""
        return encode(text, special=special)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of bytes, without special ones."""
        return decode(ids)

    def activations(
        self, tokens: Sequence[Tokens], sites: Sequence[Site], *, logits: bool = False
    ) -> Activations:
        """One forward over the batch, stopped at the deepest site unless logits are asked for."""
        known = {Site("embed")} | {
            Site(kind, layer)
            for kind in ("resid_pre", "mlp_out", "resid_post")
            for layer in range(self.facts.layers or 0)
        }
        if missing := [str(site) for site in sites if site not in known]:
            names = ", ".join(sorted(map(str, known)))
            raise ModelError(f"{', '.join(missing)}: there is no such site. Allowed: {names}.")
        rows = [t.ids for t in tokens]
        new = _real(rows, self.device)
        found, out = self._forward(rows, [t.arm for t in tokens], new, set(sites), logits)
        return Activations(found, (0,) * len(tokens), out)

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        """Greedy completions; a byte at a time, without a cache."""
        if sampling.temperature:
            raise ModelError("this backend only writes the likeliest byte. Set temperature = 0.")
        written: list[list[int]] = [[] for _ in tokens]
        live = list(range(len(tokens)))
        for step in range(sampling.max_new_tokens):
            rows = [(*tokens[row].ids, *written[row]) for row in live]
            new = _real(rows, self.device)
            ends = torch.tensor([len(row) - 1 for row in rows], device=self.device)
            if step:  # what was read before was edited and counted before
                new &= torch.arange(new.shape[1], device=self.device) == ends[:, None]
            _, logits = self._forward(rows, [tokens[row].arm for row in live], new, set(), True)
            assert logits is not None
            best = logits[torch.arange(len(rows), device=self.device), ends].argmax(-1)
            for row, byte in zip(live, best.tolist(), strict=True):
                written[row].append(byte)
            live = [row for row in live if written[row][-1] != EOS]
            if not live:
                break
        return [Completion(decode(w).strip(), len(w), EOS in w) for w in written]

    @contextmanager
    def edited(self, arms: Sequence[Arm]) -> Iterator[Sequence[Receipt]]:
        """Everything inside runs under the edits; the receipts are complete after the block."""
        if self._session is not None:
            raise UsageError("edited() inside edited(). Give all arms to one call.")
        self._session = session = Session(arms)
        receipts = [Receipt(arm.name) for arm in arms]
        try:
            yield receipts
        finally:
            self._session = None  # also after an error: nothing is left behind
        receipts[:] = session.receipts()

    def _forward(
        self,
        rows: Sequence[Sequence[int]],
        arms: Sequence[int],
        new: Bool[Tensor, "batch pos"],
        sites: set[Site],
        logits: bool,
    ) -> tuple[dict[Site, Tensor], Float[Tensor, "batch pos vocab"] | None]:
        """Activations at sites, and logits; `new` are the tokens that edits are counted for."""
        found: dict[Site, Tensor] = {}

        def at(kind: str, layer: int | None, x: Tensor) -> Tensor:
            site = Site(kind, layer)
            if self._session is not None:
                x = self._session.run(site, x, arms, new)
            if site in sites:
                found[site] = x
            return x

        w, width = self._weights, new.shape[1]
        padded = [[*row, *[PAD] * (width - len(row))] for row in rows]
        ids = torch.tensor(padded, device=self.device)
        age = torch.arange(width, device=self.device)
        age = age[:, None] - age
        memory = torch.where(age >= 0, 0.5 ** (age.clamp_min(0) + 1.0), 0.0)
        x = at("embed", None, w["embed"][ids])
        for layer in range(len(w["W_in"])):
            if not logits and len(found) == len(sites):
                return found, None
            x = at("resid_pre", layer, x)
            seen = (memory @ x.float()).to(x.dtype)
            out = at("mlp_out", layer, (seen @ w["W_in"][layer]).relu() @ w["W_out"][layer])
            x = at("resid_post", layer, x + out)
        return found, x @ w["unembed"] if logits else None


def _real(rows: Sequence[Sequence[int]], device: str) -> Bool[Tensor, "batch pos"]:
    """Where there is a token and no padding."""
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return torch.arange(int(lengths.max()), device=device) < lengths[:, None]
