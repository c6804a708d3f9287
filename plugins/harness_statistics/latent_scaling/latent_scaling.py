"""Which latents of one side of a pair are the model's own, and which only look like it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from harness.contract import Batch, Inputs, Outcome, Record, Sae, State
from harness.errors import ModelError
from harness_statistics.change.groups import left_out
from harness_statistics.decoder_norms import SPACES
from harness_statistics.inputs import site_axis
from harness_statistics.latent_scaling.coefficients import (
    ACTIVATION,
    HIGHEST,
    LOWEST,
    TARGETS,
    Coefficients,
    Rows,
    Vector,
    coefficients,
    rows_of,
)
from harness_statistics.latent_scaling.kinds import (
    KINDS,
    Limits,
    active_of,
    best_first,
    kinds_of,
    leaning,
    places_of,
)
from harness_statistics.latent_scaling.options import LatentScalingOptions as Options, unscalable
from harness_statistics.latent_scaling.sums import Scaling
from harness_statistics.records import number

SHARE, RATIO, DROPPED, SMALL, MEAN = (
    f"latent_scaling.{name}@1" for name in ("share", "ratio", "dropped", "small", "mean_share")
)
_NOTHING = "no token was selected"


class LatentScaling:
    """Asks of each latent how much of it the other side has, too, by one number for all tokens.

    `β(Y) = Σ_t f_tj ⟨Y_t, d_j⟩ / (Σ_t f_tj² ‖d_j‖²)`: the least-squares factor of latent j in Y, on
    all tokens, with d_j its decoder row on `side`, for both sides. `ν = β_other / β_side`.

    | target | Y of side m | what a large ν says |
    |---|---|---|
    | `error` | x_m − (x̂_m − f_j d_j^m) | complete shrinkage: the other side has it without a row |
    | `reconstruction` | x̂_m | latent decoupling: another latent writes it to the other side |
    | `activation` | x_m | the other side has it, whoever writes it |
    | `…_no_bias` | x̂_m − b_m, x_m − b_m | the same without what is in every token |

    A latent of `side` alone (by Δ_norm, see `decoder_norms`) is `genuine` where ν^error is below
    `error` and ν^reconstruction below `reconstruction`, else `shrinkage`, `decoupling` or `both`;
    `rare` where it is active on fewer than `minimum` tokens; `dropped` where a ratio does not exist
    or is outside of [−0.1, 2]. All latents in one pass: β^error = β(x) − β(x̂) + ⟨d^m, d⟩/‖d‖².

    | record | what it is |
    |---|---|
    | `latent_scaling.share@1` | share of the latents of the side, by axis `kind`, in [0, 1] |
    | `latent_scaling.ratio@1` | median ν by `target` and `place`, in [−0.1, 2] |
    | `latent_scaling.dropped@1` | share of those active often enough whose ν was dropped |
    | `latent_scaling.small@1` | of an SAE of differences: share with abs(ν) below `error` |
    | `latent_scaling.mean_share@1` | and how much of the change its mean is: `‖E u‖²/E‖u‖²` |

    The axis `space` is as in `decoder_norms`. An SAE of differences has one row for both sides: of
    it there is ν^activation alone; latents of a small one moved on `side` alone. Its normaliser
    takes the mean change away before encoding, hence the last record.

    Table `latents`: the latents of the side, the most genuine first (by the sum of their ranks by
    ν^error and ν^reconstruction), in the normalised space. Arrays, Float64 `[d_sae]`:
    `ratio_TARGET_SPACE`, `own_TARGET_SPACE` and `other_TARGET_SPACE` (β), and Int64 `active`;
    `kind_SPACE` the place of the kind in its list, −1 for latents of neither.
    Intervals leave out one of `groups` groups of documents at a time (jackknife): a bootstrap would
    keep all sums of all latents for each draw. Where both sides are one model, ν^activation is 1.
    Undefined: without tokens, and where no latent is of the side.

    Source: arXiv 2504.02922, section 3.2 and its appendix; METHODS 2, sections 1 and 2.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._sums = Scaling(options.sae, options.side, options.groups)

    def start(self, inputs: Inputs) -> State:
        """No sums; where to read."""
        return self._sums.started(inputs)

    def update(self, state: State, batch: Batch) -> State:
        """Adds a batch to the sums of each group of documents."""
        return self._sums.added(state, batch)

    def merge(self, left: State, right: State) -> State:
        """Adds the sums of both."""
        return self._sums.merged(left, right)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """Records, the table and the arrays; ModelError for an SAE without a row for both sides."""
        sae = inputs.saes[self.options.sae]
        if problem := unscalable(sae.facts, self.options.sae):
            raise ModelError(f"{problem.where} {problem.what}")
        axes = {
            "pair": self.options.pair,
            "sae": self.options.sae,
            **site_axis(inputs, self.options.sae),
            "side": self.options.side,
        }
        if "tokens" not in state:
            none = number(SHARE, None, _NOTHING, ci_why=_NOTHING, n=0, n_of="latents", unit="share",
                          clusters=0, options=self._limits_said(), axes=axes)  # fmt: skip
            return Outcome((none,), {"latents": []})
        apart = sae.facts.join == "concatenated"
        rows = rows_of(sae, self.options.side)
        parts = [
            _InSpace(self.options, state, sae, rows, space, apart)
            for space in (SPACES if apart else ("raw",))
        ]
        records = [record for one in parts for record in one.records()]
        records += [] if apart else [_mean_share(state)]
        arrays = {name: array for one in parts for name, array in one.arrays().items()}
        arrays["active"] = active_of(state)
        table = [{**axes, **row} for row in parts[0].table()]
        return Outcome(tuple(one.on(**axes) for one in records), {"latents": table}, arrays=arrays)

    def _limits_said(self) -> dict[str, Any]:
        return _said(self.options)


def _said(options: Options) -> dict[str, Any]:
    names = ("one_sided", "shared", "error", "reconstruction", "minimum")
    return {name: getattr(options, name) for name in names}


@dataclass
class _InSpace:
    """The latents of one SAE in one space, from the sums of some or all groups of documents."""

    options: Options
    state: State
    sae: Sae
    rows: Rows
    space: str
    apart: bool
    """Whether each latent has a row for each side: whether it is a crosscoder."""
    places: np.ndarray = field(init=False)
    _kept: dict[bytes, tuple[Coefficients, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.limits = Limits(**_said(self.options))
        self.everything = np.ones(len(self.state["tokens"]), bool)
        self.own = f"{self.options.side}_only"
        if self.apart:
            self.places = places_of(leaning(self.sae, self.space), self.limits)
        else:
            self.places = np.full(len(self.rows.square), "all")

    def of(self, kept: np.ndarray) -> tuple[Coefficients, np.ndarray]:
        """Coefficients of the groups that are kept, and how often each latent is active."""
        key = kept.tobytes()
        if key not in self._kept:
            made = coefficients(self.state, self.rows, self.options.side, self.space, kept)
            self._kept[key] = made, active_of(self.state, kept)
        return self._kept[key]

    def kinds(self, kept: np.ndarray) -> np.ndarray:
        """The kind of each latent of the side."""
        return kinds_of(*self.of(kept), self.places == self.own, self.limits)

    def records(self) -> Iterator[Record]:
        """All numbers of this space."""
        if self.apart:
            yield from self._shares()
        else:
            yield self._small()
        for target in TARGETS if self.apart else (ACTIVATION,):
            for place in (self.own, "shared") if self.apart else ("all",):
                yield from self._ratios(target, place)

    def _shares(self) -> Iterator[Record]:
        count = int(np.count_nonzero(self.places == self.own))
        why = None if count else f"no latent writes to the {self.options.side} side alone"
        for kind in KINDS:

            def share(kept: np.ndarray, kind: str = kind) -> float | None:
                return np.count_nonzero(self.kinds(kept) == kind) / count if count else None

            yield self._record(SHARE, share, why, count, "share", (0.0, 1.0), {"kind": kind})

    def _small(self) -> Record:
        def small(kept: np.ndarray) -> float | None:
            ratio = self._judged(kept, ACTIVATION, "all")
            return float(np.mean(np.abs(ratio) < self.limits.error)) if len(ratio) else None

        count = len(self._judged(self.everything, ACTIVATION, "all"))
        return self._record(SMALL, small, self._why(count), count, "share", (0.0, 1.0), {})

    def _ratios(self, target: str, place: str) -> Iterator[Record]:
        axes = {"target": target, "place": place}
        often = self._often(self.everything, place)
        lost = np.isnan(self.of(self.everything)[0].ratio(target)[often])
        count = int(np.count_nonzero(~lost))

        def median(kept: np.ndarray) -> float | None:
            ratio = self._judged(kept, target, place)
            return float(np.median(ratio)) if len(ratio) else None

        exact = target == ACTIVATION and self.space == "raw"
        null = {"kind": "identical", "value": 1.0} if exact else None
        why = self._why(count)
        yield self._record(RATIO, median, why, count, "ratio", (LOWEST, HIGHEST), axes, null=null)

        def dropped(kept: np.ndarray) -> float | None:
            there = self._often(kept, place)
            ratio = self.of(kept)[0].ratio(target)[there]
            return float(np.mean(np.isnan(ratio))) if len(there) else None

        yield self._record(
            DROPPED, dropped, self._why(len(often)), len(often), "share", (0.0, 1.0), axes
        )

    def _why(self, count: int) -> str | None:
        least = self.limits.minimum
        return None if count else f"no latent there is active on {least} tokens and has a ratio"

    def _often(self, kept: np.ndarray, place: str) -> np.ndarray:
        """The latents of a place that are active on enough tokens."""
        return np.flatnonzero((self.places == place) & (self.of(kept)[1] >= self.limits.minimum))

    def _judged(self, kept: np.ndarray, target: str, place: str) -> np.ndarray:
        ratio = self.of(kept)[0].ratio(target)[self._often(kept, place)]
        return np.asarray(ratio[~np.isnan(ratio)])

    def _record(
        self,
        id: str,
        value: Callable[[np.ndarray], float | None],
        why: str | None,
        n: int,
        unit: str,
        ends: tuple[float, float],
        axes: Mapping[str, str],
        **rest: Any,
    ) -> Record:
        found = None if why else value(self.everything)
        interval = _interval(value, self.state, ends, why)
        return number(
            id, found, why, n=n, n_of="latents", unit=unit, **interval,
            clusters=int(self.state["documents"][0]), options=_said(self.options),
            axes={"space": self.space, **axes}, **rest,
        )  # fmt: skip

    def arrays(self) -> dict[str, np.ndarray]:
        """β and ν of all latents, and the kinds of those of the side."""
        found, out = self.of(self.everything)[0], {}
        for target in found.own:
            name = f"{target}_{self.space}"
            out[f"own_{name}"], out[f"other_{name}"] = found.own[target], found.other[target]
            out[f"ratio_{name}"] = found.raw_ratio(target)
        if self.apart:
            kinds = self.kinds(self.everything)
            codes = [KINDS.index(str(kind)) if kind else -1 for kind in kinds]
            out[f"kind_{self.space}"] = np.array(codes, np.int64)
        return out

    def table(self) -> Iterator[dict[str, Any]]:
        """The latents of the side, the most genuine first; of differences the smallest ratios."""
        found, active = self.of(self.everything)
        if self.apart:
            kinds, delta = self.kinds(self.everything), leaning(self.sae, self.space)
            order = best_first(found, kinds != "")
            # Those that could not be judged come last.
            order = order[np.argsort(np.isin(kinds[order], ["dropped", "rare"]), kind="stable")]
        else:
            often = self._often(self.everything, "all")
            order = often[np.argsort(np.abs(found.ratio(ACTIVATION)[often]), kind="stable")]
        tokens = int(self.state["tokens"].sum())
        for j in order[: self.options.table]:
            row: dict[str, Any] = {"feature": int(j), "active": float(active[j] / tokens)}
            if self.apart:
                row |= {"kind": str(kinds[j]), "delta_norm": float(delta[j])}
            yield row | {f"ratio_{t}": _cell(found.raw_ratio(t), j) for t in found.own}


def _interval(
    value: Callable[[np.ndarray], float | None],
    state: State,
    ends: tuple[float, float],
    why: str | None,
) -> dict[str, Any]:
    """The interval of a number, or why there is none, as fields of a record."""
    ci, ci_why = (None, why) if why else left_out(value, state["tokens"], ends)
    if ci is not None and ci[0] == ci[1]:
        # No scatter between groups is no certainty: a share of 0 stays 0 whatever is left out.
        ci, ci_why = None, "it is the same without any of the groups of documents"
    return {"ci": ci, "ci_why": ci_why}


def _cell(values: Vector, place: int) -> float | None:
    return None if np.isnan(values[place]) else float(values[place])


def _mean_share(state: State) -> Record:
    """‖E u‖² / E‖u‖²: how much of the change is one vector, which the dictionary does not see."""
    why = None if state["energy"].sum() > 0 else "both sides have the same activations"

    def share(kept: np.ndarray) -> float | None:
        tokens, energy = int(state["tokens"][kept].sum()), float(state["energy"][kept].sum())
        mean = state["mean"][kept].sum(0) / max(tokens, 1)
        return min(1.0, float(mean @ mean) * tokens / energy) if energy > 0 else None

    value = None if why else share(np.ones(len(state["tokens"]), bool))
    interval = _interval(share, state, (0.0, 1.0), why)
    return number(
        MEAN, value, why, **interval, n=int(state["tokens"].sum()), n_of="tokens",
        clusters=int(state["documents"][0]), unit="share",
    )  # fmt: skip
