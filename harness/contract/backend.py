"""Backends: what loads a model, and the model that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness.contract.edits import Arm, Receipt
from harness.contract.options import Options
from harness.contract.sites import Site
from harness.contract.values import Completion, Example, Prompt, Sampling, Tokens

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model from its configuration files alone; None where it is not."""

    architecture: str | None = None
    layers: int | None = None
    d_model: int | None = None
    d_attn_z: int | None = None
    vocabulary: int | None = None
    context: int | None = None
    parameters: int | None = None
    chat_template: bool | None = None

    def width(self, site: Site) -> int | None:
        """Numbers per token at `site`, or None where the configuration does not tell."""
        if site.kind == "attn_z":
            return self.d_attn_z
        return self.d_model if site.in_block or site.kind == "embed" else None


@dataclass(frozen=True)
class Needs:
    """What `harness plan` asks of a model or an SAE beside its facts; None where no file tells."""

    download: str | None = None
    """The hub id that is not in the local cache yet; None where nothing need be fetched."""
    download_bytes: int | None = None
    """The size of that download."""
    number_bytes: int | None = None
    """Bytes of one number as it is computed with; None where that depends on the device."""
    looked_up: int | None = None
    """Parameters that are only looked up: an input embedding that is not the output's, too."""
    kept: int | None = None
    """Numbers that are kept for each token while completions are written: keys and values."""
    widest: int | None = None
    """Numbers per token in the hidden layer of a block's MLP."""


class BackendOptions(Options):
    """Options of a backend; reads facts from configuration files and headers, offline."""

    def describe(self) -> ModelFacts:
        """Facts without reading a weight; fields stay None where nothing local tells them."""
        return ModelFacts()

    def runs_remote_code(self) -> bool:
        """Whether loading runs code that came with the model; the command line must allow it."""
        return False

    def needs(self) -> Needs:
        """What `harness plan` asks beside the facts, from the same files."""
        return Needs()

    def render(self, examples: Sequence[Example], prompt: Prompt) -> Sequence[Tokens] | None:
        """What `Model.render` will give, from local files and without importing torch.

        None where no local file tells; then `harness plan` estimates from the characters.
        """
        return None


@dataclass(frozen=True)
class Activations:
    """Activations of a padded batch; row i belongs to the i-th `Tokens`.

    `sites[s]` is Float[Tensor, "batch pos d_site"]; `start[i]` the column of row i's first token
    (0 with right padding), so its tokens are columns `start[i] : start[i] + len(ids)`.
    """

    sites: Mapping[Site, Tensor]
    start: tuple[int, ...]
    logits: Float[Tensor, "batch pos vocab"] | None = None


@dataclass(frozen=True)
class Native:
    """What a backend wraps, for libraries that want it bare: edits act on it as on the wrapper."""

    model: Any
    tokenizer: Any


@runtime_checkable
class Model(Protocol):
    """A loaded model. Rows of a batch never influence each other; hooks never outlive a call."""

    facts: ModelFacts
    fingerprint: str
    """Hash of weights, adapter, tokenizer, template and dtype."""
    dtype: str
    device: str
    masked_ids: frozenset[int]
    """BOS, EOS and padding: never measured."""

    @property
    def native(self) -> Native | None:
        """The library's own objects; None where the backend has none to give."""

    def render(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        """Prompts as token ids, with exactly the special tokens that the model expects."""

    def activations(
        self, tokens: Sequence[Tokens], sites: Sequence[Site], *, logits: bool = False
    ) -> Activations:
        """One forward over the batch, stopped at the deepest site unless logits are asked for."""

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The tokens of a text, with or without those that the tokenizer puts around it."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, without special ones."""

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        """Completions of one batch, each under the edits of its row's arm."""

    def edited(self, arms: Sequence[Arm]) -> AbstractContextManager[Sequence[Receipt]]:
        """Everything inside runs under the edits; row by row where there are several arms.

        The receipts are complete after the block. All hooks are gone then, also after an error.
        """


@runtime_checkable
class Backend(Protocol):
    """Loads a model; built as `Class(options)`."""

    def load(self) -> Model:
        """The model, ready; ModelError says which file is missing or wrong."""
