"""From what a person names to a task: its text, and what the person should know of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DataError, UsageError, listed
from harness.registry import Registry
from harness.task.draft.asked import Asked, DraftModel, DraftText, word
from harness.task.draft.drift import drift
from harness.task.draft.models import models
from harness.task.draft.refusal import refusal
from harness.task.draft.saes import FoundSaes, saes
from harness.task.draft.template import spoken
from harness.task.draft.text import text


@dataclass(frozen=True)
class Draft:
    """A task as text, and a sentence for each thing that was found or left out."""

    toml: str
    notes: tuple[str, ...] = ()
    name: str = "diff"
    """`base-chat`: the names of both models."""

    @property
    def folder(self) -> Path:
        """`runs/<name>-<hash of the text>`, so that the same command continues its own run."""
        digest = hashlib.sha256(self.toml.encode()).hexdigest()[:8]
        return Path("runs") / f"{self.name}-{digest}"


@dataclass(frozen=True)
class Ingredients:
    """What a draft is made of; whoever has these needs no file to write the task."""

    base: DraftModel
    tuned: DraftModel
    saes: FoundSaes
    text: DraftText


def found(registry: Registry, asked: Asked) -> Ingredients:
    """Looks at the files that a person named, and for SAEs; reads no weight.

    Raises UsageError, ModelError or DataError for what is not there or does not fit.
    """
    base, tuned = models(registry, asked)
    read = text(asked)
    if read.form == "turns" and tuned.facts.chat_template is base.facts.chat_template is False:
        raise DataError(
            f"--data {asked.data}: column {read.column!r} holds conversations, and neither model "
            "has a chat template to write them with. Allowed: text. Name a column with --column."
        )
    return Ingredients(base, tuned, saes(registry, base, asked.saes), read)


def drafted(of: Ingredients) -> Draft:
    """The task that says what changed between two models; a pure function."""
    name = word(f"{of.base.name}-{of.tuned.name}")
    return Draft(drift(of.base, of.tuned, of.saes.saes, of.text), tuple(_notes(of)), name)


def drafted_refusal(of: Ingredients, answered: DraftText) -> Draft:
    """The task that asks what makes the tuned model refuse; a pure function.

    The text of the ingredients is what it refuses, `answered` what it does not. UsageError for an
    SAE that reads both models: one model is asked alone."""
    if joined := [sae.name for sae in of.saes.saes if sae.of_pair]:
        raise UsageError(
            f"--sae: {listed(joined)} reads both models at once, and for this question one is "
            "asked alone. Allowed: SAEs of the base. Leave it out, or ask --question drift."
        )
    name = word(f"{of.tuned.name}-refusal")
    made = refusal(of.base, of.tuned, of.saes.saes, of.text, answered)
    return Draft(made, tuple(_notes(of)), name)


def _notes(of: Ingredients) -> Iterator[str]:
    """What a person should know of a draft, a sentence each."""
    if of.tuned.partial:
        yield f"{of.tuned.name} is an adapter: it is put on {of.base.name}."
    yield from of.saes.notes
    sizes = {of.base.facts.vocabulary, of.tuned.facts.vocabulary}
    if len(sizes) > 1 and None not in sizes:
        yield (
            f"{of.base.name} and {of.tuned.name} have vocabularies of {of.base.facts.vocabulary} "
            f"and {of.tuned.facts.vocabulary} tokens: what they predict is not compared."
        )
    side = spoken(of.base, of.tuned, of.text)
    if side is not None:
        model = of.tuned if side == "tuned" else of.base
        yield f"both read {of.text.column!r} in the chat template of {model.name}."
