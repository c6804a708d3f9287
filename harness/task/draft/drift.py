"""The task behind `harness diff`: how far apart two models are, where, and in which features."""

from __future__ import annotations

from collections.abc import Sequence

from harness.task.draft.asked import DraftModel, DraftSae, DraftText, word
from harness.task.draft.sites import profile
from harness.task.draft.template import filled, shared


def drift(base: DraftModel, tuned: DraftModel, saes: Sequence[DraftSae], text: DraftText) -> str:
    """The task file, with comments; a pure function of what was found."""
    of_base = [sae for sae in saes if not sae.of_pair]
    at = [sae for sae in of_base if sae.site is not None]
    measured = [sae.site for sae in saes if sae.site is not None]
    return filled(
        "drift.toml.j2",
        **shared(base, tuned, saes, text),
        name=word(f"{base.name}-{tuned.name}"),
        names=[sae.name for sae in saes],
        of_base=of_base,
        base_names=[sae.name for sae in of_base],
        of_pair=[sae for sae in saes if sae.of_pair],
        two_rows=[sae.name for sae in saes if sae.two_rows],
        sites=[str(site) for site in profile(base.facts.layers, measured)],
        placed=list(dict.fromkeys(str(sae.site) for sae in at)),
        placed_names=[sae.name for sae in at],
        predictions=base.facts.vocabulary == tuned.facts.vocabulary,
    )
