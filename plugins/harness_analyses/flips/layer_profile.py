"""In which layers a fine-tune flips latents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Float

from harness.contract import Axes, Findings, Outcome, Record
from harness.contract.sites import parse_site
from harness.errors import Problem, TaskError
from harness_analyses.axes import without
from harness_analyses.flips.kept import kept
from harness_analyses.flips.options import LayerProfileOptions as Options
from harness_statistics.flip_rate.arrays import Kept, Key
from harness_statistics.records import drawn

Replicates = Float[np.ndarray, " replicates"]


@dataclass(frozen=True)
class _Profile:
    """The flips of one pair at every layer, in every replicate of the documents."""

    keys: tuple[Key, ...]
    layers: Float[np.ndarray, " layers"]
    rates: Float[np.ndarray, "layers replicates"]
    """Flips per token."""
    tokens: int
    documents: int

    @property
    def shares(self) -> Float[np.ndarray, "layers replicates"]:
        """share_l = F_l / Σ F; NaN where nothing flips."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.rates / self.rates.sum(0))

    @property
    def centre(self) -> Replicates:
        """Σ_l share_l · l, in blocks."""
        return np.asarray(self.layers @ self.shares)

    @property
    def why(self) -> str | None:
        """Why it has no centre; None where it has."""
        if len(self.layers) < 2:
            return "a profile needs flips at two layers or more"
        return None if self.rates[:, 0].sum() > 0 else "no latent flips at any layer"

    def records(self) -> Iterator[Record]:
        """The share of each layer, and the centre."""
        for key, share in zip(self.keys, self.shares, strict=True):
            yield self._record("layer_profile.share@1", "share", share, key.axes)
        axes = without(self.keys[0].axes, ("sae", "site"))
        yield self._record("layer_profile.centre@1", "blocks", self.centre, axes)

    def _record(self, id: str, unit: str, replicates: Replicates, axes: Axes) -> Record:
        return drawn(
            id,
            None if self.why else replicates,
            self.why,
            n=self.tokens,
            n_of="tokens",
            unit=unit,
            clusters=self.documents,
            axes=axes,
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """A row for each layer."""
        columns = self.keys, self.layers, self.rates[:, 0], self.shares[:, 0]
        for key, layer, rate, share in zip(*columns, strict=True):
            yield {
                "pair": key.pair,
                "layer": int(layer),
                "site": key.site,
                "sae": key.sae,
                "flips_per_token": float(rate),
                "share": None if self.why else float(share),
            }


class LayerProfile:
    """Computes each layer's share of a pair's flips, and where their centre lies.

    share_l = F_l / Σ F with F_l the flips per token at layer l (one SAE a layer); centre =
    Σ_l share_l · l, in blocks from 0: a shallow-heavy profile has a small one. Layers without an
    SAE do not count, so profiles compare only where they have the same layers.

    | record | | range |
    |---|---|---|
    | `layer_profile.share@1` | share_l, axes `pair`, `site`, `sae` | [0, 1] |
    | `layer_profile.centre@1` | centre of a pair, axis `pair` | blocks |
    | `layer_profile.centre_difference@1` | mean centre of `group` − mean of `against` | blocks |

    Intervals: by documents; the groups of `flip_rate` are the same at all layers and for all
    pairs, so that differences are paired. Table `layers`.
    Undefined: with fewer than two layers or without flips; the difference without a pair on either
    side. Raises TaskError where a layer has several SAEs and `saes` does not choose.
    Source: METHODS section 4.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def run(self, findings: Findings) -> Outcome:
        """Makes the profile of every pair, and the difference of the group from the others."""
        found = kept(findings, self.options.statistics, self.options.condition)
        pairs: dict[str, dict[Key, Kept]] = {}
        for key, values in found.items():
            chosen = not self.options.saes or key.sae in self.options.saes
            if chosen and parse_site(key.site).layer is not None and values.replicated_tokens[0]:
                pairs.setdefault(key.pair, {})[key] = values
        profiles = {pair: self._profile(pair, of) for pair, of in pairs.items()}
        records = [record for profile in profiles.values() for record in profile.records()]
        if self.options.group and profiles:
            records.append(self._difference(profiles))
        rows = [row for profile in profiles.values() for row in profile.rows()]
        return Outcome(tuple(records), {"layers": rows})

    def _profile(self, pair: str, found: Mapping[Key, Kept]) -> _Profile:
        keys = sorted(found, key=lambda key: (_layer(key), key.site))
        for one, other in pairwise(keys):
            if _layer(one) == _layer(other):
                raise TaskError(
                    [
                        Problem(
                            "saes",
                            f"pair {pair!r} has flips of {one.sae} and of {other.sae} at layer "
                            f"{_layer(one)}. Allowed: one SAE for each layer. Write "
                            f'saes = ["{one.sae}", …]',
                        )
                    ]
                )
        kept_ = [found[key] for key in keys]
        return _Profile(
            keys=tuple(keys),
            layers=np.array([_layer(key) for key in keys], dtype=np.float64),
            rates=np.stack([_rate(one) for one in kept_]),
            tokens=round(min(float(one.replicated_tokens[0]) for one in kept_)),
            documents=min(one.documents for one in kept_),
        )

    def _difference(self, profiles: Mapping[str, _Profile]) -> Record:
        """Mean centre of the group minus mean centre of the others, replicate by replicate."""
        group = [profiles[pair] for pair in self.options.group if pair in profiles]
        against = self.options.against or [p for p in profiles if p not in self.options.group]
        others = [profiles[pair] for pair in against if pair in profiles]
        everyone = [*group, *others]
        why = None
        if not group or not others:
            why = f"no pair with flips {'outside' if group else 'in'} the group"
        elif len({one.layers.tobytes() for one in everyone}) > 1:
            why = "the pairs have flips at different layers"
        else:
            why = next((one.why for one in everyone if one.why), None)
        difference = None
        if why is None:
            means = [np.mean([one.centre for one in side], axis=0) for side in (group, others)]
            difference = means[0] - means[1]
        return drawn(
            "layer_profile.centre_difference@1",
            difference,
            why,
            n=len(everyone),
            n_of="pairs",
            unit="blocks",
            clusters=min((one.documents for one in everyone), default=0),
            null={"kind": "no difference", "value": 0.0},
            axes={
                "group": "+".join(self.options.group),
                "against": "+".join(self.options.against) or "others",
                **without(next(iter(profiles.values())).keys[0].axes, ("pair", "sae", "site")),
            },
        )


def _layer(key: Key) -> int:
    layer = parse_site(key.site).layer
    assert layer is not None
    return layer


def _rate(one: Kept) -> Replicates:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(one.replicated_flips / one.replicated_tokens)
