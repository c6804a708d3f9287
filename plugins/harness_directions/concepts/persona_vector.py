"""A persona vector: what answers that show a trait have on average, less those that do not."""

from __future__ import annotations

import numpy as np

from harness.contract import Batch, Direction, Found, Inputs, Outcome, Record, State, Undefined
from harness.contract.sites import parse_site
from harness_directions import states
from harness_directions.concepts import moments
from harness_directions.concepts.kept import document_means
from harness_directions.concepts.moments import Moments
from harness_directions.concepts.options import PersonaVectorOptions
from harness_directions.concepts.records import about, class_rows
from harness_directions.places import located
from harness_directions.states import Sums


class PersonaVector(Sums[PersonaVectorOptions]):
    """Finds v = mean⁺ ā − mean⁻ ā, ā the mean activation of an answer's tokens, raw.

    Means are of answers, so a long answer counts as much as a short one: over each answer's tokens
    first, then over the answers (`difference_in_means` with `tokens = "all"` is over all tokens at
    once). The answers that show the trait are read after the prompt that elicits it (`view`), the
    others after the one that suppresses it (`suppressed`); both views are of one model. Sums in
    float64; v: Float64 `[1, d_site]`; its origin is mean⁻ ā.

    The answers are data: conversations whose last turn is the assistant's, which the model itself
    wrote under both system prompts. A judge's scores are columns of theirs: keep what shows the
    trait with `at_least` and `below` in `[data]`. The original keeps the pairs in which the one
    answer has a trait score of at least 50 and the other below 50, both with a coherence of at
    least 50, on a scale of 0 to 100; here each set is filtered by itself.

    Record: `direction.norm@1`, ‖v‖ in units of the activation, in (0, ∞). How far a fine-tune moves
    along v is the statistic `shift_along`.
    Undefined: without an answer in either set, where the means are equal or not finite.
    Raises ModelError for a fraction of depth in a model of unknown depth.
    Source: Chen et al. 2025, "Persona Vectors" (arXiv 2507.21509), section 2; code:
    safety-research/persona_vectors, `generate_vec.py` (`response_avg_diff`), read in a public copy.
    """

    def __init__(self, given: PersonaVectorOptions) -> None:
        super().__init__(given)
        self.site = parse_site(given.site)

    def update(self, state: State, batch: Batch) -> State:
        """Adds the mean of each of the batch's answers to the sum of its set."""
        if not len(batch.selected):
            return state
        document, means = document_means(batch, self.site)
        terms: states.Terms = {
            "sum": means.sum(0), "answers": len(document), "tokens": len(batch.selected),
        }  # fmt: skip
        return states.plus(state, terms, f"{batch.stream}_")

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The direction, its length, and a table of the two sets."""
        given = self.options
        site = located(self.site, inputs.facts.get(given.view))
        positive, negative = (_set(state, name) for name in ("positive", "negative"))
        rows = class_rows(
            {"positive": (given.positive, positive), "negative": (given.negative, negative)}
        )
        said = about(given.view, site, given.tokens, positive, negative)
        why = moments.apart(positive, negative, site)
        records: tuple[Record, ...]
        if why or positive is None or negative is None:
            records = (said.norm(None, why),)
            found = Found(Undefined(why or ""), records=records)
            return Outcome(tables={"classes": rows}, directions=(found,))
        vector = positive.mean - negative.mean
        norm = float(np.linalg.norm(vector))
        direction = Direction(site, vector[None], reference_norm=norm, origin=negative.mean)
        found = Found(direction, records=(said.norm(norm, None),))
        return Outcome(tables={"classes": rows}, directions=(found,))


def _set(state: State, name: str) -> Moments | None:
    answers = states.count(state, f"{name}_answers")
    if not answers:
        return None
    return Moments(
        states.count(state, f"{name}_tokens"), answers, state[f"{name}_sum"] / answers, None
    )
