"""One SAE feature as a direction."""

from __future__ import annotations

from harness.contract import Direction, Found, Inputs, Outcome, State, Undefined
from harness.errors import ModelError
from harness_directions.options import FeatureOptions, unplaced_row
from harness_directions.places import decoder_rows, decoder_site, row_of
from harness_directions.states import Sums


class Feature(Sums[FeatureOptions]):
    """Takes v = scale · W_dec[index], in the space of the activations; Float64 `[1, d_out]`.

    It lives where the SAE writes: at its site, or at `site_out` for a transcoder. Of a crosscoder
    it is the row of one side, in the units of that side's activations; an SAE of differences has
    one row for both. Undefined where the decoder row is 0. Raises ModelError for an index beyond
    the SAE's width, for an SAE whose site is not known, and where it is not clear which row is
    meant.
    """

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The direction."""
        name, index = self.options.sae, self.options.index
        sae = inputs.saes[name]
        width, site = sae.facts.d_sae, decoder_site(name, inputs)
        if width is not None and index >= width:
            raise ModelError(
                f"sae {name!r}: there is no feature {index}. Allowed: 0 to {width - 1}. "
                "Change index"
            )
        if site is None:
            raise ModelError(
                f"sae {name!r}: its files do not say which site it reads. "
                f"Allowed: any site. Write it in [saes.{name}], e.g. site = 'resid_post.15'"
            )
        if problem := unplaced_row(sae.facts, name, self.options.side):
            raise ModelError(f"sae {name!r}: {problem.where} {problem.what}")
        row = decoder_rows(sae, [index])[:, row_of(sae.facts, self.options.side)]
        if not row.any():
            gone = Undefined(f"the decoder row of feature {index} of sae {name!r} is 0")
            return Outcome(directions=(Found(gone),))
        vector = self.options.scale * row
        direction = Direction(
            site, vector, sae=name, features=(index,), weights=(self.options.scale,)
        )
        return Outcome(directions=(Found(direction),))
