"""Models that answer prompts and show nothing of themselves, such as those behind a server."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NoReturn, Protocol, runtime_checkable

from harness.contract.capabilities import in_words
from harness.contract.values import Completion
from harness.errors import ModelError

if TYPE_CHECKING:
    from harness.contract.backend import Activations, ModelFacts, Native
    from harness.contract.capabilities import Capability
    from harness.contract.edits import Arm, Receipt
    from harness.contract.sites import Site
    from harness.contract.values import Example, Prompt, Sampling, Tokens

Keep = Callable[[int, Completion], None]
"""Takes the completion of the prompt with this index, as soon as it is there."""


@runtime_checkable
class OneByOne(Protocol):
    """A model that hands over each completion as soon as it is there.

    Where a model has this method, the core gives it all prompts at once instead of batches, and
    keeps on disk what it hands over: after an error or Ctrl-C a rerun asks for the rest alone.
    """

    def generate_each(self, tokens: Sequence[Tokens], sampling: Sampling, keep: Keep) -> None:
        """Completes each prompt, and calls `keep` once for each, in any order, in this thread.

        Never called under edits. Whatever it raises, it has called `keep` for all completions that
        were there by then.
        """


class WritingModel:
    """Base of a model that only completes prompts. A subclass writes `render` and `generate`.

    `facts` must say so: `ModelFacts(capabilities=frozenset({"generation"}))`, the same as the
    options describe. Everything else of `Model` is here, and refuses.

    Where the model's tokenizer is not at hand, `render` puts numbers in the place of token ids that
    tell prompts apart, such as the bytes of what is sent: keys of completions are made of them.
    """

    facts: ModelFacts
    fingerprint: str
    dtype = "unknown"
    device = "elsewhere"
    masked_ids: frozenset[int] = frozenset()
    native: Native | None = None

    def render(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        """One prompt for each example; see `Model.render`."""
        raise NotImplementedError(f"{type(self).__name__} must write `render`")

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        """One completion for each prompt; see `Model.generate`."""
        raise NotImplementedError(f"{type(self).__name__} must write `generate`")

    def activations(
        self, tokens: Sequence[Tokens], sites: Sequence[Site], *, logits: bool = False
    ) -> Activations:
        """Refuses."""
        self._refuse("activations")

    def encode(self, text: str, *, special: bool = True) -> list[int]:
        """Refuses."""
        self._refuse("tokens")

    def decode(self, ids: Sequence[int]) -> str:
        """Refuses."""
        self._refuse("tokens")

    def edited(self, arms: Sequence[Arm]) -> AbstractContextManager[Sequence[Receipt]]:
        """Refuses."""
        self._refuse("edits")

    def _refuse(self, wanted: Capability) -> NoReturn:
        raise ModelError(
            f"{type(self).__name__}: {wanted} cannot be had of it. Allowed: "
            f"{in_words(self.facts.capabilities)}. Use a model whose backend offers {wanted}."
        )
