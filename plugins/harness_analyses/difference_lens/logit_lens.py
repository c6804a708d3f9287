"""The logit lens of a mean difference: what a fine-tune writes into the first tokens of text."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract import Model, Site
from harness_analyses.difference_lens.head import Head
from harness_analyses.difference_lens.lists import Tokens
from harness_analyses.difference_lens.readers import LensReader, Reader
from harness_analyses.difference_lens.reading import DifferenceReading


class LogitLens(DifferenceReading):
    """Reads δ_p as the model's last layer would: softmax(W_U · Norm(δ_p)).

    δ_p comes from the statistic `mean_difference`; Norm and W_U are the final norm and the
    unembedding of `model`, as it applies them itself (with its soft-cap, where it has one: ranks
    stay). δ_p is made as long as activations usually are, so that the norm's epsilon is small
    beside it. Sources: `difference` δ_p; `inverse` softmax(−W_U · Norm(δ_p)), what the fine-tune
    takes away; `left` and `right`, the means of both sides: what the text itself says.

    | record | what | null |
    |---|---|---|
    | `logit_lens.rank@1` | rank of the best token of a word among all tokens | random words |
    | `logit_lens.best_rank@1` | the best rank of any word at any position | random words |
    | `logit_lens.hits@1` | share of the words among the first `top` | random words |
    | `logit_lens.hits_best@1`, `.hits_mean@1` | the largest over positions, the mean | likewise |
    | `logit_lens.overlap@1` | share of the list that another list has | labels permuted |
    | `logit_lens.split_half@1` | overlap of two halves' lists | of two permuted lists |

    Axes `pair`, `site`, `position`, `source`, `word`, `against`. `against`: `permuted`, δ_p with
    permuted labels; `left`, the mean of the left side; the name of another pair, other text.
    *Random words*: as many words drawn from the vocabulary, 499 times, in the same lists; of the
    best over positions the best of each set. The null of one rank is exact: (V + 1) / (m + 1) for
    the best of m tokens of V. *Labels permuted*: δ_p with permuted labels (see `mean_difference`).
    A change along one line, more of it here and less there, stays on that line under permuted
    labels, so their lists may be the same: p of `mean_difference.norm` says whether the mean is
    more than chance. Overlap with `permuted` itself has `top` / V beside it.

    Tables: `tokens`, each list; `findings`, a sentence for each pair and site.
    Undefined: where both sides are the same, as their difference has no direction; at sites of
    another width than the head's. Raises ModelError where the model's logits are not finite.
    Source: Minder et al., arXiv 2510.13900; nostalgebraist 2020; METHODS2 section 3. The words
    stand in for the paper's grader, and nulls are ours.
    """

    prefix = "logit_lens"
    called = "logit lens"

    def reader(self, model: Model, head: Head, site: Site, asked: Sequence[Tokens]) -> Reader:
        """The model's head, whatever the site."""
        return LensReader(head, asked, self.options.top)

    def unreadable(self, site: Site) -> str | None:
        """Every site whose vectors are as wide as the stream can be read."""
        return None
