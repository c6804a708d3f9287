"""How the completions of an experiment were drawn, as its task says."""

from __future__ import annotations

from harness.contract import Results, Sampling
from harness_exports.arms.tables import table


def sampling_of(results: Results, experiment: str) -> Sampling:
    """Temperature, top_p and the longest completion; what the task leaves out has its default."""
    given = table(results.task, "experiments", experiment, "generation")
    usual = Sampling()
    return Sampling(
        int(given.get("max_new_tokens", usual.max_new_tokens)),
        float(given.get("temperature", usual.temperature)),
        float(given.get("top_p", usual.top_p)),
        int(results.task.get("seed") or 0),
    )
