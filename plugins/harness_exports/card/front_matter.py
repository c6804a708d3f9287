"""What Hugging Face reads at the top of a model card: only what the run knows to be true."""

from __future__ import annotations

import json

from harness.contract import Results
from harness_exports.arms.subjects import model_of, subject
from harness_exports.arms.tables import table


def front_matter(results: Results) -> list[str]:
    """The tags, and the model that was fine-tuned where it is one, on the hub.

    Scores stay out (`model-index`): leaderboards would read them, edited ones too. So do licence,
    languages and the data of the training, which a run does not know.
    """
    pairs = table(results.task, "pairs")
    before = {model_of(results, str(table(pairs, name).get("left"))) for name in pairs}
    after = {model_of(results, str(table(pairs, name).get("right"))) for name in pairs}
    bases = [subject(results, name) for name in sorted(before - after)]
    lines = ["---"]
    if len(bases) == 1 and not bases[0].local and bases[0].id == bases[0].place:
        lines.append(f"base_model: {json.dumps(bases[0].id)}")
    return [*lines, "tags:", "- sae-harness", "- model-diffing", "---", ""]
