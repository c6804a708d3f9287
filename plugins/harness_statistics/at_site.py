"""What the options of several statistics ask of a task: the SAEs at one site."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import Site, TaskView
from harness.errors import Problem, TaskError, listed


def saes_at(task: TaskView, saes: Sequence[str], site: Site) -> tuple[str, ...]:
    """Those SAEs that read at `site`. Raises TaskError where none does."""
    sites = {sae: task.sae_site(sae) for sae in saes}
    found = tuple(sae for sae, own in sites.items() if own == site)
    if found:
        return found
    have = listed(f"{sae} at {own}" for sae, own in sites.items())
    raise TaskError(
        [
            Problem(
                "site",
                f"none of the saes reads at {site}: {have}. Allowed: the site of an SAE, as a "
                "block such as resid_post.15. Change site, or add an SAE that reads there",
            )
        ]
    )
