"""A model that somebody else has loaded, such as one in training: it is read, never changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from harness.contract import Completion, Native, Sampling, Tokens
from harness.errors import ModelError
from harness_transformers.config import facts_of
from harness_transformers.model import TransformersModel
from harness_transformers.options import TransformersOptions
from harness_transformers.template import BoundedTemplate, dated
from harness_transformers.thoughts import marks_of


class WrappedModel(TransformersModel):
    """A model of other hands: its settings for generation are ours only while it generates."""

    def __init__(self, native: Native, options: TransformersOptions, name: str) -> None:
        hf, tokenizer = native.model, _tokenizer(native.tokenizer, options, name)
        try:
            facts = facts_of(hf.config.to_dict(), parameters=None, chat_template=None)
            theirs = vars(hf).get("generation_config")
        except AttributeError:
            raise ModelError(
                f"{name}: is a {type(hf).__name__}, with no configuration as transformers' models"
                " have it. Allowed: causal language models of transformers. Give the bare model,"
                " out of whatever is around it."
            ) from None
        marks = marks_of(tokenizer, options.thinking)
        try:
            super().__init__(
                hf, tokenizer, facts, fingerprint=f"in memory: {name}", name=name, marks=marks
            )
            self._settings = vars(hf).get("generation_config")
        finally:
            _put(hf, theirs)

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        """Completions as of any model, whatever the bare model's own settings for them are."""
        with self._generating():
            return super().generate(tokens, sampling)

    @contextmanager
    def _generating(self) -> Iterator[None]:
        theirs = vars(self.hf).get("generation_config")
        _put(self.hf, self._settings)
        try:
            yield
        finally:
            _put(self.hf, theirs)


def _put(hf: Any, settings: Any) -> None:
    """Gives a model these settings for generation, or takes away those that it did not have."""
    if settings is None:
        vars(hf).pop("generation_config", None)
    else:
        hf.generation_config = settings


def _tokenizer(given: Any, options: TransformersOptions, name: str) -> Any:
    """A copy of a tokenizer, whose chat template runs within bounds and on one date."""
    if not hasattr(given, "convert_ids_to_tokens") or not callable(given):
        # What reads pictures or sound beside text has the tokenizer in it.
        given = getattr(given, "tokenizer", None)
    if given is None:
        raise ModelError(
            f"{name}: has no tokenizer. Allowed: one of transformers. Give it as tokenizer = …, or "
            "to the trainer as processing_class."
        )
    tokenizer = copy.deepcopy(given)
    tokenizer.chat_template = dated(tokenizer.chat_template, options.date)
    tokenizer.apply_chat_template = BoundedTemplate(tokenizer, name)
    return tokenizer
