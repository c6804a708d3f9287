"""What fine-tunes rewrote: flips and components of the change, by task, layer and checkpoint."""

from __future__ import annotations

from harness.contract import Figure, Grid, Panel, Prose, Results
from harness_sections.fine_tunes.checkpoints import checkpoints
from harness_sections.fine_tunes.component_figures import aligned, explained
from harness_sections.fine_tunes.flip_figures import flip_figures
from harness_sections.fine_tunes.flip_profiles import overlaps, profiles
from harness_sections.plain import PlainSection

_MOST = 40
"""Blocks that are shown."""
_HOW = (
    "A latent flips at a token where it is active in one of the two models alone. PC: principal "
    "components of the change of activations. Controls are random vectors as long as what was "
    "injected, or the best of as many random vectors as the dictionary has features."
)


class FineTunes(PlainSection):
    """Heat maps of pairs by site, curves by component and width, profiles, and checkpoints."""

    def panel(self, results: Results) -> Panel | None:
        """The figures, then the tables; None where no flip and no component was measured."""
        if not any(
            r.id.startswith(("flip_rate.", "pc_", "flip_overlap.")) for r in results.records
        ):
            return None
        found: list[Figure | Grid] = [
            *flip_figures(results.records),
            *profiles(results.records),
            *overlaps(results.records),
            *explained(results.records),
            *aligned(results.records),
            *checkpoints(results),
        ]
        if not found:
            return None
        # Figures stand side by side; tables have the whole width.
        blocks = sorted(found, key=lambda block: isinstance(block, Grid))
        left_out = len(blocks) - _MOST
        more = f" {left_out} further blocks are not shown." if left_out > 0 else ""
        return Panel("What fine-tunes rewrote", [Prose(_HOW + more), *blocks[:_MOST]], order=7)
