"""The principal components of one set of text: along what it varies."""

from __future__ import annotations

import numpy as np

from harness.contract import Batch, Inputs, Outcome, State
from harness.contract.sites import parse_site
from harness_directions.concepts import components, moments
from harness_directions.concepts.components import Decomposed, Directions
from harness_directions.concepts.moments import Moments
from harness_directions.concepts.options import ClassPcaOptions
from harness_directions.concepts.records import about, class_rows
from harness_directions.places import located
from harness_directions.states import Sums


class ClassPca(Sums[ClassPcaOptions]):
    """Takes the tokens of one class apart: eigenvectors v_i of E (x − μ)(x − μ)ᵀ, μ their mean.

    x: Float[Tensor, "tokens d_site"], the d x d second moments summed in float64. Directions: for
    each `pc` = i the vector √λ_i·v_i, the standard deviation along v_i; for each `k` the first k;
    without an axis all of them, or the only one. v_i is signed so that μ·v_i ≥ 0; the origin is μ.
    They say how the texts of a class differ among each other, not what sets the class apart: a
    control for directions that do, and the subspace that a concept takes up.

    | record, for each component | formula | range |
    |---|---|---|
    | `class_pca.explained@1` | λ_i / Σ_j λ_j | [0, 1] |
    | `class_pca.sigma@1` | √λ_i, in units of the activation | (0, ∞) |
    | `class_pca.mean_cosine@1` | cos(v_i, μ) | [0, 1] |

    Undefined: without tokens, with activations that are not finite, and for a component beyond the
    rank: an eigenvalue of at most 1e-12 of the first is rounding, as are all of one token, or of
    tokens that are all the same. Raises ModelError for more components than numbers per token, and
    for a fraction of depth in a model of unknown depth.
    Source: principal component analysis; for classes of text, as the reading vectors of Zou et al.
    2023 (arXiv 2310.01405), appendix C.1, which are those of differences: `contrast_pca`.
    """

    def __init__(self, given: ClassPcaOptions) -> None:
        super().__init__(given)
        self.site = parse_site(given.site)

    def update(self, state: State, batch: Batch) -> State:
        """Adds the batch's activations and their products."""
        return moments.update(state, batch, self.site, second=True)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The directions, their records, and a table of the class."""
        given = self.options
        site = located(self.site, inputs.facts.get(given.view))
        one = moments.of(state, "class")
        said = about(given.view, site, given.tokens, one)
        made = Directions("class_pca", site, said, given.variants(), given.components)
        parts, why = self._decomposed(one)
        rows = class_rows({"class": (given.data, one)})
        return Outcome(tables={"classes": rows}, directions=made.found(parts, why))

    def _decomposed(self, one: Moments | None) -> tuple[Decomposed | None, str]:
        given = self.options
        if one is None:
            return None, f"no text of the data {given.data!r} has a token to measure"
        if not np.isfinite(np.trace(one.covariance)):
            return None, f"the activations at {given.site} are not finite"
        components.enough(given.components, len(one.mean), self.site)
        return (
            components.decomposed(one.covariance, given.components, one.floor, one.mean, one.mean),
            "",
        )
