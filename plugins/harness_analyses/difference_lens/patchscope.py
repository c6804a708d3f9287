"""The patchscope of a mean difference: what a model says of it when it stands in for a token."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import Model, Site
from harness_analyses.difference_lens.head import Head
from harness_analyses.difference_lens.lists import Tokens
from harness_analyses.difference_lens.options import PatchscopeOptions
from harness_analyses.difference_lens.placed import Placed
from harness_analyses.difference_lens.readers import PatchscopeReader, Reader
from harness_analyses.difference_lens.reading import DifferenceReading


class Patchscope(DifferenceReading):
    """Puts α·s·δ_p/‖δ_p‖ in the place of the last token of `man -> man … ?`, and reads what comes.

    δ_p comes from the statistic `mean_difference`, s is how long activations usually are (its
    `norm`). The vector replaces the residual stream at the same site, at the last token alone; the
    model goes on to its next-token probabilities, of which the mean over the prompts is taken.
    Tokens that are not among the `keep` likeliest after every prompt are left out.

    The strength α is the one of `scales` whose first `top` tokens are most alike: the largest mean
    cosine of two of their rows of the unembedding (times the final norm's gain). It stands in for
    the paper's grader, which picks the strength that reads best. `inverse` is −δ_p with an α of
    its own; `left` and `right` are the means of both sides.

    | record | what | null |
    |---|---|---|
    | `patchscope.scale@1` | α, in units of s | |
    | `patchscope.coherence@1` | the mean cosine at α | labels permuted |
    | `patchscope.rank@1` and the others | as in `logit_lens`, of the list at α | as there |

    Tables: `tokens`, `scales` (every strength that was tried) and `findings`.
    Undefined: where both sides are the same; at sites outside of the residual stream, or of
    another width than the head's. Raises ModelError where the vector did not stand at exactly one
    token, or logits are not finite.
    Source: Minder et al., arXiv 2510.13900; Ghandeharioun et al., arXiv 2401.06102; METHODS2
    section 3.
    """

    prefix = "patchscope"
    called = "patchscope"

    def __init__(self, given: PatchscopeOptions) -> None:
        super().__init__(given)
        self.given = given

    def reader(self, model: Model, head: Head, site: Site, asked: Sequence[Tokens]) -> Reader:
        """The model's prompts at this site."""
        given = self.given
        placed = Placed(model, site, given.prompts, head.vocabulary)
        return PatchscopeReader(
            head, placed, asked, top=given.top, keep=given.keep, scales=given.scales
        )

    def unreadable(self, site: Site) -> str | None:
        """Only the residual stream can be replaced by a vector."""
        if site.in_residual:
            return None
        return (
            f"patchscope replaces the residual stream, and {site} is not in it. Allowed: "
            "resid_pre, resid_post"
        )
