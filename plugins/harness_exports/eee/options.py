"""Options of `eee`. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.contract import ExportOptions
from harness_exports.arms.dates import RunDate


class EveryEvalEverOptions(ExportOptions):
    """Options of `eee`."""

    edited: bool = False
    """Whether scores under an intervention are exported, too. Their names then say which one it is;
    no leaderboard should list them as scores of the model."""
    completions: bool = True
    """Whether what the model wrote goes along, with its verdicts, as `UUID_samples.jsonl`."""
    collection: str = Field("sae-harness", pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$")
    """The folder under `data/` that the records are filed under."""
    organization: str = Field("unknown", min_length=1, max_length=200)
    """Who provides the records."""
    relationship: Literal["first_party", "third_party", "collaborative", "other"] = "other"
    """How whoever ran this is related to those who made the model."""
    availability: Literal["open_weights", "closed_weights", "unknown"] = "unknown"
    """Whether the weights of the models are open."""
    less_is_better: tuple[str, ...] = (
        "degenerate_share",
        "invalid_answers",
        "prompts_truncated",
    )
    """Scores of which less is better, by the names of their records. The schema wants to know it of
    each; of all others it is told no, with the remark that it means nothing."""
    made: RunDate | None = None
    """When the run was made, such as 2026-11-29T09:00:00Z. Without it, when its first claim was
    written, or 1970: results keep no time."""
