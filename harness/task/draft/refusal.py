"""The task behind `harness init --question refusal`: does a direction make a model refuse?"""

from __future__ import annotations

from collections.abc import Sequence

from harness.task.draft.asked import DraftModel, DraftSae, DraftText, word
from harness.task.draft.template import filled, shared

MOST = 128
"""Rows that are read of a file: one half finds the direction, the other one tests it."""
_DEPTH = "resid_post@0.6"


def refusal(
    base: DraftModel,
    tuned: DraftModel,
    saes: Sequence[DraftSae],
    refused: DraftText,
    answered: DraftText,
) -> str:
    """The task file, with comments; a pure function of what was found.

    `refused` are prompts that the tuned model refuses, `answered` like ones that it answers.
    """
    placed = [sae for sae in saes if sae.site is not None]
    middle = placed[len(placed) // 2] if placed else None
    return filled(
        "refusal.toml.j2",
        **shared(base, tuned, saes, refused),
        name=word(f"{tuned.name}-refusal"),
        answered=answered,
        middle=middle,
        site=str(middle.site) if middle else _DEPTH,
    )
