"""The task behind `harness init --question refusal`: does a direction make a model refuse?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.task.draft import toml
from harness.task.draft.asked import DraftModel, DraftSae, DraftText, word
from harness.task.draft.drift import through, who

MOST = 128
"""Rows that are read of a file: one half finds the direction, the other one tests it."""
_DEPTH = "resid_post@0.6"
_SWEEP = [1, 4, 16, 64]


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
    return toml.joined(_parts(base, tuned, saes, refused, answered))


def _parts(
    base: DraftModel,
    tuned: DraftModel,
    saes: Sequence[DraftSae],
    refused: DraftText,
    answered: DraftText,
) -> Iterator[str]:
    yield toml.comment(
        f"Does one direction, or do a few features, cause that {tuned.name} refuses? This is an "
        "ordinary task: run it with `harness eval`, change what you like, see docs/tasks.md."
    )
    head = {
        "name": word(f"{tuned.name}-refusal"),
        "title": f"What makes {tuned.name} refuse?",
        "seed": 0,
    }
    yield toml.table("task", head).removeprefix("[task]\n")
    yield from who(base, tuned, refused)
    yield from through(base, saes)
    yield from _data(refused, answered, bool(saes))
    yield from _directions(saes)
    yield from _experiments(saes)


def _data(refused: DraftText, answered: DraftText, preflight: bool) -> Iterator[str]:
    yield toml.headline("What it is asked: half to find the direction, half to test it")
    for name, text in (("refused", refused), ("answered", answered)):
        half = text.limit // 2
        source: dict[str, Any] = {"file": str(text.file), "column": text.column}
        yield toml.table(f"data.{name}_train", {**source, "at_most": half})
        yield toml.table(f"data.{name}_test", {**source, "skip": half, "at_most": half})
    if preflight:
        yield toml.comment("Does each SAE fit its model at its site, and better than beside it?")
        yield toml.table("preflight", {"data": "answered_train", "fvu_max": 0.9, "limit": 32})


def _directions(saes: Sequence[DraftSae]) -> Iterator[str]:
    sae = _middle(saes)
    site = str(sae.site) if sae is not None and sae.site is not None else _DEPTH
    yield toml.headline("The direction: refused minus answered prompts, at their last token")
    yield toml.table(
        "directions.refusal",
        {
            "method": "difference_in_means",
            "view": "tuned",
            "site": site,
            "positive": "refused_train",
            "negative": "answered_train",
        },
        {"site": "blocks count from 0; try others"},
    )
    if sae is not None:
        yield toml.table(
            "directions.features",
            {
                "method": "sae_features",
                "target": "refusal",
                "sae": sae.name,
                "view": "tuned",
                "sweep": {"k": _SWEEP},
            },
            {"method": "rebuilt from its k strongest features"},
        )
    yield toml.comment("Controls: as long, and about nothing.")
    yield toml.table("directions.random", {"method": "random", "like": "refusal", "draws": 5})


def _middle(saes: Sequence[DraftSae]) -> DraftSae | None:
    placed = [sae for sae in saes if sae.site is not None]
    return placed[len(placed) // 2] if placed else None


def _experiments(saes: Sequence[DraftSae]) -> Iterator[str]:
    directions = ["refusal", *(["features"] if _middle(saes) else []), "random"]
    yield toml.headline("Taken out, does it stop refusing? Added, does it begin to?")
    for name, data, method in (
        ("bypass", "refused_test", {"method": "ablation", "mode": "strict"}),
        ("induce", "answered_test", {"method": "addition"}),
    ):
        yield toml.table(
            f"experiments.{name}",
            {
                "view": "tuned",
                "data": data,
                "intervention": method,
                "directions": directions,
                "evaluators": ["substrings"],
                "generation": {"max_new_tokens": 64},
            },
            {"evaluators": "phrases of refusal; harmbench reads more"},
        )
