"""A backend: the twin, one that reads padding, and one that leaves a hook behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.contract import Activations, Model, Site, Tokens
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions
from seeded_bugs.options import SmallOptions


class Sound:
    """A model of transformers as it is."""

    def __init__(self, options: SmallOptions) -> None:
        self.options = options

    def load(self) -> Model:
        model: Model = TransformersBackend(TransformersOptions(path=self.options.path)).load()
        return model


class ReadsPadding(Sound):
    """The bug: a thousandth of the mean over the whole padded row is added."""

    def load(self) -> Any:
        return Padded(super().load())


class LeavesHook(Sound):
    """The bug: each reading registers a hook, and none is removed."""

    def load(self) -> Any:
        return Hooked(super().load())


class Wrapped:
    """Another model, with one thing changed."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


class Padded(Wrapped):
    def activations(self, tokens: Sequence[Tokens], sites: Sequence[Site], **more: Any) -> Any:
        found: Activations = self.model.activations(tokens, sites, **more)
        moved = {site: x + 1e-3 * x.mean(1, keepdim=True) for site, x in found.sites.items()}
        return replace(found, sites=moved)


class Hooked(Wrapped):
    def activations(self, tokens: Sequence[Tokens], sites: Sequence[Site], **more: Any) -> Any:
        self.model.native.model.register_forward_hook(lambda *given: None)
        return self.model.activations(tokens, sites, **more)
