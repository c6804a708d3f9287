"""Backends that can look at a model which somebody else has loaded, such as one in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from harness.contract.backend import Model, Native


@runtime_checkable
class Wrapping(Protocol):
    """A backend that can make a `Model` of bare objects, beside loading its own.

    A backend need not have it. `harness.training` asks for it: the model in training is in memory
    and in no file.
    """

    def wrap(self, native: Native, name: str) -> Model:
        """The model that these objects are, as `load` would give it, called `name` in messages.

        Nothing of them is changed, neither now nor after any call of the model: not the model's
        settings, its mode, its gradients, nor the tokenizer. Called while the bare model is in the
        mode for evaluation; whoever holds the model sees to that again whenever it reads, since
        it goes on being trained in between. Its fingerprint stands for no weights. ModelError
        where the objects are nothing that the backend can read.
        """
