"""Backends: what loads a model, and what every model can do.

`harness check` and `plan` ask `BackendOptions` what is known without reading a weight. `eval`
builds the `Backend`, which loads the `Model` that everything else reads, edits and asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness.contract.capabilities import USUAL
from harness.contract.checkpoint import Checkpoint
from harness.contract.options import Options

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from harness.contract.capabilities import Capability
    from harness.contract.edits import Arm, Receipt
    from harness.contract.sites import Site
    from harness.contract.values import Completion, Example, Prompt, Sampling, Tokens


@dataclass(frozen=True)
class ModelFacts:
    """Sizes of a model, each None where it is not known, and what the model can be asked for.

    Options describe them from configuration files; a loaded model knows at least `layers` and
    `d_model`.
    """

    architecture: str | None = None
    """The class of the model, as its configuration names it."""
    layers: int | None = None
    """Number of blocks."""
    d_model: int | None = None
    """Width of the residual stream."""
    d_attn_z: int | None = None
    """Width of all heads' outputs together, at `attn_z`."""
    vocabulary: int | None = None
    """Number of token embeddings."""
    context: int | None = None
    """The most tokens that it reads at once."""
    parameters: int | None = None
    """Number of parameters."""
    chat_template: bool | None = None
    """Whether its tokenizer has a chat template."""
    capabilities: frozenset[Capability] = USUAL
    """What it offers: of `activations`, `logits`, `edits`, `generation`, `gradients` and `tokens`.
    Known without a weight: options describe it, and the loaded model has the same."""

    def width(self, site: Site) -> int | None:
        """Numbers per token at `site`; None where that is not known, as for a module path."""
        if site.kind == "attn_z":
            return self.d_attn_z
        return self.d_model if site.in_block or site.kind == "embed" else None


@dataclass(frozen=True)
class Needs:
    """What loading and running a model or an SAE takes, for `harness plan`; None where unknown.

    An SAE has the first three alone.
    """

    download: str | None = None
    """The hub id that must be fetched; None where all files are on this machine."""
    download_bytes: int | None = None
    """The size of that download."""
    number_bytes: int | None = None
    """Bytes of one number in memory: 4 for float32; None where that depends on the device."""
    looked_up: int | None = None
    """Parameters that are looked up and not multiplied with: those of an input embedding whose
    weights are not also the output's."""
    kept: int | None = None
    """Numbers that are kept for each token while completions are written: keys and values of all
    blocks."""
    widest: int | None = None
    """Width of the hidden layer of a block's MLP."""
    weight_bytes: float | None = None
    """Bytes of one weight of a block where it is stored otherwise than what is computed: 0.56 for 4
    bits with their scales. None where it is stored as any number."""


@dataclass(frozen=True)
class ModelPlace:
    """What lies at a place that a person named: the keys that a task writes for it."""

    keys: Mapping[str, str]
    """Keys of `[models.NAME]`, such as `{"path": "gpt2"}`."""
    partial: bool = False
    """Whether it is put on top of another model, as an adapter is: then that one's keys stand
    beside these."""


class BackendOptions(Options):
    """Base of a backend's options. Its methods read local files alone and import no torch."""

    @classmethod
    def at(cls, place: str, *, partial: bool = False) -> ModelPlace:
        """What a task writes for the folder, file or hub id `place`.

        `partial`: somebody says that it is put on top of another model. Called by commands that
        write tasks. Looks at names and at what is in a folder, reads no weight, and raises
        nothing: whether it can be loaded is told later.
        """
        return ModelPlace({"path": place})

    def check(self) -> None:
        """ModelError where local files lack what loading the model needs.

        Called by every command that reads a task; reads no weight and imports no torch.
        """

    def describe(self) -> ModelFacts:
        """The facts of the model, from its configuration and the headers of its weights.

        Called by every command that reads a task. What no local file tells stays None; the task
        may state it (`expect`). ModelError where a file is there and wrong.
        """
        return ModelFacts()

    def names(self) -> tuple[str, ...]:
        """What the model is called: a hub id, its folder, what its files say; best known first.

        An SAE or an adapter that says that it was trained on a model of another name gets a
        warning. Nothing where there is no name to compare.
        """
        return ()

    def adapted_from(self) -> str | None:
        """The model that its adapter says it was trained on; None without one, or where it is mute.

        Where that is another one than `names` has, `check` and a run say so.
        """
        return None

    def saved_in(self, folder: Path) -> Checkpoint:
        """A model that a training of this one has saved in `folder`, on its way.

        Called by every command that reads a task with a folder of checkpoints; reads no weight.
        ModelError where the folder holds no model, or the half of one.
        """
        found = type(self).at(str(folder))
        own = self.model_dump(mode="json", exclude_unset=True) if found.partial else {}
        return Checkpoint({**own, **found.keys})

    def runs_remote_code(self) -> bool:
        """Whether loading runs code that came with the model; the command line must allow it."""
        return False

    def needs(self) -> Needs:
        """What loading and running it takes. Called by `harness plan`, after `describe`."""
        return Needs()

    def render(self, examples: Sequence[Example], prompt: Prompt) -> Sequence[Tokens] | None:
        """The prompts as `Model.render` will write them, so that `harness plan` counts tokens.

        None where no tokenizer is at hand; `plan` then estimates from the characters.
        """
        return None

    def masked_ids(self) -> frozenset[int] | None:
        """What `Model.masked_ids` will be, so that `harness plan` counts what SAEs encode.

        None where no local file tells; `plan` then gives the most that it can be.
        """
        return None


@dataclass(frozen=True)
class Activations:
    """What `Model.activations` read: a padded batch whose row i belongs to the i-th `Tokens`."""

    sites: Mapping[Site, Tensor]
    """By site, Float[Tensor, "batch pos d_site"] in the model's dtype; padding holds anything."""
    start: tuple[int, ...]
    """For each row, the column of its first token: 0 where padding is on the right. Its tokens
    are the columns `start[i] : start[i] + len(ids)`."""
    logits: Float[Tensor, "batch pos vocab"] | None = None
    """Next-token logits at each position, where they were asked for."""


@dataclass(frozen=True)
class Native:
    """The objects that a model wraps, for libraries that want them bare, such as lm-eval.

    Inside `Model.edited`, the edits act on calls of the bare model too.
    """

    model: Any
    tokenizer: Any


@runtime_checkable
class Model(Protocol):
    """A loaded model.

    What comes out for a prompt depends on that prompt and its arm alone, not on the batch that it
    is in; and after a call, or after `edited`, the model is as it was.
    """

    facts: ModelFacts
    """Its sizes; `layers` and `d_model` are known."""
    fingerprint: str
    """A hash of weights, adapter, tokenizer, template and dtype: what a run keeps is used again
    only where it is the same."""
    dtype: str
    """The dtype of its activations: `float32`, `bfloat16`, …"""
    device: str
    """Where it runs: `cpu`, `cuda:0`, …"""
    masked_ids: frozenset[int]
    """What is never measured: BOS, EOS, padding, and the special tokens with which the chat
    template ends a turn, whatever they are called: `<|im_end|>`, `<|eot_id|>`, `<end_of_turn>`,
    `<|end|>`. One rule for all families; the provenance of a run lists them."""

    @property
    def native(self) -> Native | None:
        """The bare objects that it wraps; None where it can give none."""

    def render(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        """One prompt for each example, in order, with the special tokens that the model expects.

        ModelError where the prompt cannot be written, as in the style `chat` without a template;
        DataError, which names the row, where its query cannot be found in what a template writes.
        """

    def activations(
        self, tokens: Sequence[Tokens], sites: Sequence[Site], *, logits: bool = False
    ) -> Activations:
        """Reads a batch of prompts, with one forward, and gives the activations at some sites.

        The forward stops at the deepest site, unless logits are asked for. Inside `edited`, an
        activation is the one after the edits of its site. ModelError where a site does not exist.
        """

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """The token ids of a text. `special`: with those that the tokenizer puts around a text."""

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids; special tokens are left out."""

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        """One completion for each prompt, in order; inside `edited`, under the edits of its arm."""

    def edited(self, arms: Sequence[Arm]) -> AbstractContextManager[Sequence[Receipt]]:
        """A `with` block inside which the model runs under the edits of these arms.

        `Tokens.arm` says for each prompt which arm is its own. The block gives one receipt for
        each arm, complete at its end; one that can be read inside it, too, saves what a benchmark
        did before it was cut off. After it, also after an error, no edit is left.
        Blocks are not nested: a second one inside raises.
        """


@runtime_checkable
class Rests(Protocol):
    """A model that keeps the memory of one batch for the next.

    Where a model has this method, the core calls it before each step of a run: a pass, the
    completions of an experiment, their judging.
    """

    def rest(self) -> None:
        """Gives that memory back; what the model says afterwards is the same."""


@runtime_checkable
class Backend(Protocol):
    """Loads a model. Built as `Class(options)` from `BackendOptions`."""

    def load(self) -> Model:
        """The model, ready to be used. Called once in a run, when it is first needed.

        ModelError says which file is missing or wrong, and what to do.
        """
