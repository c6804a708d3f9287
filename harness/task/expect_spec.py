"""Facts that a task states beforehand, for what cannot be read yet: `expect`."""

from __future__ import annotations

from pydantic import Field

from harness.task.tables import Spec


class ExpectModel(Spec):
    """Facts of a model that `check` and `plan` cannot read offline; `eval` verifies them."""

    layers: int | None = Field(None, ge=1)
    """Number of blocks."""
    d_model: int | None = Field(None, ge=1)
    """Width of the residual stream."""
    vocabulary: int | None = Field(None, ge=1)
    """Number of token embeddings."""
    parameters: int | None = Field(None, ge=1)
    """Number of parameters."""


class ExpectSae(Spec):
    """Facts of an SAE that `check` and `plan` cannot read offline; `eval` verifies them."""

    d_in: int | None = Field(None, ge=1)
    """Width of the activations it reads."""
    d_sae: int | None = Field(None, ge=1)
    """Number of latents."""


class ExpectBenchmark(Spec):
    """What is known of a benchmark before it is asked, for `harness plan` alone."""

    prompts: int | None = Field(None, ge=1)
    """How many prompts the model reads in each arm: one for each option of a question."""
    tokens: int | None = Field(None, ge=1)
    """How long they are on average, solved examples included."""
    writes: int | None = Field(None, ge=0)
    """How many tokens are written for each, on average; 0 where none are."""


class ExpectCompletions(Spec):
    """What is known of completions before there are any, for `harness plan` alone."""

    tokens: int | None = Field(None, ge=1)
    """How long they are on average; without it, all of `max_new_tokens`."""
    distinct: float = Field(1.0, gt=0, le=1)
    """Share of different ones over all arms: of equal completions of one prompt, one is judged."""
