"""A linear probe: the weights with which a logistic regression tells two sets of text apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from harness.contract import (
    Batch,
    Direction,
    Found,
    Inputs,
    Outcome,
    Record,
    Site,
    State,
    Undefined,
)
from harness.contract.sites import parse_site
from harness.results import wilson
from harness_directions.concepts import kept, logistic
from harness_directions.concepts.moments import ROUNDING
from harness_directions.concepts.options import LinearProbeOptions
from harness_directions.concepts.records import About
from harness_directions.places import located
from harness_directions.states import Sums

_CLASSES = ("positive", "negative")
_UNITS = {"accuracy": "share", "auc": "share"}


class LinearProbe(Sums[LinearProbeOptions]):
    """Finds ŵ(δ·ŵ), ŵ = w/‖w‖ the weights of a logistic regression, δ = mean⁺ x − mean⁻ x.

    One x for each prompt: the mean of its tokens, float64 `[d_site]`. w, c minimise the loss
    Σ_i log(1 + exp(−y_i (x̃_i·w + c))) / (2 n_{y_i}) + ridge/2·‖w‖², both classes weighing the
    same, x̃ = x less the mean and divided by one number, the root mean square of all that is left;
    so ridge means the same whatever the model's unit. Newton's method, to rounding. The direction
    has the length by which the classes are apart along it, and its origin is mean⁻ x. Float64
    `[1, d_site]`. A probe may lean away from δ: it looks past what varies within the classes.

    Prompts are told apart by the hash of their content: about `held_out` of them, the same ones in
    both sets, are never fitted to, and of more than `at_most` of a set those with the lowest hash
    stay, whatever the order in which they are read. A prompt that comes twice counts once.

    | record | formula | range |
    |---|---|---|
    | `probe.accuracy@1` | share of held-out prompts on their side of x̃·w + c = 0 | [0, 1] |
    | `probe.auc@1` | share of held-out pairs in which the positive scores higher | [0, 1] |
    | `probe.cosine@1` | cos(w, δ) | (0, 1] |
    | `direction.norm@1` | δ·ŵ, in units of the activation | (0, ∞) |

    Intervals: Wilson's for the accuracy, Newcombe's method 5 for the AUC; prompts are independent.
    The null of both is *labels permuted*: those of the fitted prompts among themselves, and of the
    held-out ones, and the probe fitted again, `permutations` times; `value` is the mean, `p` is
    (1 + draws at least as good) / (1 + draws).
    Undefined: without a prompt in either set to fit to, where the means are equal or not finite;
    accuracy and AUC without a held-out prompt in either set.
    Raises ModelError for a fraction of depth in a model of unknown depth.
    Source: Alain and Bengio 2016 (arXiv 1610.01644); as a steering vector at the distance of the
    means, Li et al. 2023 (arXiv 2306.03341), section 3.2, and Marks and Tegmark 2023 (arXiv
    2310.06824), section 5, where the logistic probe stands beside the difference in means.
    """

    def __init__(self, given: LinearProbeOptions) -> None:
        super().__init__(given)
        self.site = parse_site(given.site)

    def update(self, state: State, batch: Batch) -> State:
        """Adds the batch's prompts, if their hashes are among the lowest."""
        return kept.update(state, batch, self.site, self.options.at_most)

    def merge(self, left: State, right: State) -> State:
        """The prompts of both, the lowest hashes."""
        return kept.merged(left, right, self.options.at_most)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The direction, its records, and a table of the two classes."""
        given = self.options
        site = located(self.site, inputs.facts.get(given.view))
        sets = {name: kept.of(state, name) for name in _CLASSES}
        tables = {"classes": [self._row(name, sets[name]) for name in _CLASSES]}
        known = {name: one for name, one in sets.items() if one is not None}
        samples, why = _samples(known, given.held_out, site)
        if samples is None:
            records = tuple(self._records(site, None, why, {}, known))
            return Outcome(tables=tables, directions=(Found(Undefined(why), records=records),))
        rows = logistic.rows_of(samples.fitted)
        try:
            probe = _probed(samples, rows, samples.labels, samples.tried_labels, given.ridge)
            drawn = _permuted(samples, rows, given, inputs.seed)
        except (RuntimeError, np.linalg.LinAlgError) as error:
            why = f"the regression has no minimum that can be found ({error}); raise ridge"
            records = tuple(self._records(site, None, why, {}, known))
            return Outcome(tables=tables, directions=(Found(Undefined(why), records=records),))
        unit = probe.weights @ rows.basis
        length = np.linalg.norm(unit)
        along = float(samples.difference @ unit / length) if length else 0.0
        if along <= 0:
            why = f"the probe has no weights that tell both sets apart at {site}"
            records = tuple(self._records(site, None, why, {}, known))
            return Outcome(tables=tables, directions=(Found(Undefined(why), records=records),))
        vector = along * unit / length
        direction = Direction(site, vector[None], reference_norm=along, origin=samples.origin)
        probe = probe.with_lengths(along, float(np.linalg.norm(samples.difference)))
        records = tuple(self._records(site, probe, "", drawn, known))
        return Outcome(tables=tables, directions=(Found(direction, records=records),))

    def _row(self, name: str, one: kept._Kept | None) -> dict[str, Any]:
        aside = 0 if one is None else int(kept.held_out(one[0], self.options.held_out).sum())
        return {
            "class": name,
            "data": getattr(self.options, name),
            "prompts": 0 if one is None else len(one[0]),
            "held_out": aside,
        }

    def _records(
        self,
        site: Site,
        probe: _Probe | None,
        why: str,
        drawn: Mapping[str, list[float]],
        known: Mapping[str, kept._Kept],
    ) -> list[Record]:
        given = self.options
        axes = {"view": given.view, "site": str(site)}
        options = {"tokens": given.tokens, "ridge": given.ridge}
        fitted = sum(
            int((~kept.held_out(keys, given.held_out)).sum()) for keys, _ in known.values()
        )
        tried = sum(int(kept.held_out(keys, given.held_out).sum()) for keys, _ in known.values())
        said = About(axes, options, fitted)
        norm = None if probe is None else probe.along
        cosine = None if probe is None else min(1.0, probe.along / probe.apart)
        because = "a property of these vectors; no interval is computed for it"
        out = [
            said.norm(norm, why or None),
            said.record("probe.cosine@1", cosine, "cosine", why or None, because),
        ]
        held = {**options, "held_out": given.held_out}
        for name, unit in _UNITS.items():
            value = None if probe is None else probe.values.get(name)
            reason = None
            if value is None:
                reason = why or "a set has no prompt that is held out; read more, or raise held_out"
            draws, null = drawn.get(name, []), None
            if value is not None and draws:
                at_least = sum(one >= value - 1e-12 for one in draws)
                p = (1 + at_least) / (1 + len(draws))
                null = {
                    "kind": "labels permuted",
                    "value": float(np.mean(draws)),
                    "p": p,
                    "least_p": 1 / (1 + len(draws)),
                }
            out.append(
                Record(
                    f"probe.{name}@1", value, tried, "prompts", unit, options=held, clusters=tried,
                    ci=None if probe is None else probe.intervals.get(name),
                    ci_why=reason, null=null, undefined=reason, axes=axes,
                )
            )  # fmt: skip
        return out


# ── From prompts to a probe ──────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Samples:
    """The prompts that are fitted to, and those that the probe is tried on."""

    fitted: Float64[np.ndarray, "n d"]
    labels: np.ndarray
    tried: Float64[np.ndarray, "m d"]
    tried_labels: np.ndarray
    difference: Float64[np.ndarray, " d"]
    """δ of the fitted ones."""
    origin: Float64[np.ndarray, " d"]


@dataclass(frozen=True)
class _Probe:
    """Weights in the coordinates of the fitted prompts, and how well they tell held-out ones."""

    weights: Float64[np.ndarray, " rank"]
    values: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    along: float = 0.0
    apart: float = 0.0

    def with_lengths(self, along: float, apart: float) -> _Probe:
        """The same probe, with how far the means are apart along it, and at all."""
        return _Probe(self.weights, self.values, self.intervals, along, apart)


def _samples(
    known: Mapping[str, kept._Kept], share: float, site: Site
) -> tuple[_Samples | None, str]:
    """The prompts of both sets, or why no probe can be fitted."""
    fitted, tried = {}, {}
    for name in _CLASSES:
        if name not in known:
            return None, f"no prompt of the {name} data has a token to measure"
        keys, vectors = known[name]
        if not np.isfinite(vectors).all():
            return None, f"the activations at {site} are not finite"
        aside = kept.held_out(keys, share)
        fitted[name], tried[name] = vectors[~aside], vectors[aside]
        if not len(fitted[name]):
            return None, f"all prompts of the {name} data are held out; read more of them"
    means = {name: fitted[name].mean(0) for name in _CLASSES}
    difference = means["positive"] - means["negative"]
    sizes = [float(np.linalg.norm(mean)) for mean in means.values()]
    if np.linalg.norm(difference) <= ROUNDING * max(sizes):
        return None, f"both sets of text have the same mean at {site}"
    labels, tried_labels = (
        np.repeat([True, False], [len(of[name]) for name in _CLASSES]) for of in (fitted, tried)
    )
    together = [np.concatenate([of[name] for name in _CLASSES]) for of in (fitted, tried)]
    return (
        _Samples(together[0], labels, together[1], tried_labels, difference, means["negative"]),
        "",
    )


def _probed(
    samples: _Samples, rows: logistic.Rows, labels: np.ndarray, tried: np.ndarray, ridge: float
) -> _Probe:
    """The probe of the fitted prompts with these labels, tried on the held-out ones with those."""
    weights, intercept = logistic.fit(rows.inside, labels, ridge)
    positive = int(tried.sum())
    negative = len(tried) - positive
    if not positive or not negative:
        return _Probe(weights, {}, {})
    scores = (samples.tried - rows.mean) / rows.scale @ (weights @ rows.basis) + intercept
    right, total = logistic.accuracy(scores, tried)
    area = logistic.auc(scores, tried)
    return _Probe(
        weights,
        {"accuracy": right / total, "auc": area},
        {
            "accuracy": wilson(right, total),
            "auc": logistic.auc_interval(area, positive, negative),
        },
    )


def _permuted(
    samples: _Samples, rows: logistic.Rows, given: LinearProbeOptions, seed: int
) -> dict[str, list[float]]:
    """Accuracy and AUC of probes of permuted labels."""
    out: dict[str, list[float]] = {}
    for draw in range(given.permutations):
        rng = np.random.default_rng([seed % 2**64, draw])
        labels, tried = rng.permutation(samples.labels), rng.permutation(samples.tried_labels)
        for name, value in _probed(samples, rows, labels, tried, given.ridge).values.items():
            out.setdefault(name, []).append(value)
    return out
