"""What a score has to beat: forecasts that are simpler, or that look at outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float, Int

from harness.contract import Arrays, Findings
from harness.errors import DataError, listed
from harness_analyses.transfer import ridge_probe
from harness_analyses.transfer.accuracy_change import key
from harness_analyses.transfer.fine_tunes.measured import Forecast, Grid, Measured
from harness_analyses.transfer.fine_tunes.options import TransferForecastOptions as Options
from harness_analyses.transfer.fine_tunes.panel import Used
from harness_analyses.transfer.moments import SPACES, Space, Variant, matching, moments, variants
from harness_analyses.transfer.options import StsOptions

_TURNED = "within a domain, the mean of all others is the change itself, turned round"
Top = Int[np.ndarray, " m"]


def rivals(findings: Findings, given: Options, of: Measured, used: Used) -> Iterator[Forecast]:
    """The baselines beside those that `sts` makes, of the samples that are used."""
    shape = of.size.shape
    before = np.broadcast_to(of.before, shape)
    yield Forecast("sts.baseline.base_accuracy", {}, before)
    others = other_tunes(of.size, ~of.own)
    yield Forecast("sts.baseline.other_tunes", {}, *others, {"domain": _TURNED})
    if given.domain_tokens is not None:
        overlap = _token_overlap(findings, given.domain_tokens, of)
        yield Forecast("sts.baseline.token_overlap", {}, *overlap)
    yield from _shared_latents(findings, of)
    if given.probe:
        yield from _probes(findings, of, used)


def other_tunes(size: Grid, used: Used) -> tuple[Grid, str | None]:
    """The mean |change| of the domain in all other fine-tunes, of the samples that are used: those
    whose domain was not what the fine-tune was trained on.

    It looks at outcomes, as no forecast may: what all fine-tunes break alike. Within fine-tunes a
    mean that leaves out one's own is unrelated to it where nothing is alike; within a domain it is
    a falling line of it, r = −1, and says nothing.
    """
    kept = np.where(used, size, 0.0)
    count = used.sum(0) - used
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: Grid = (kept.sum(0) - kept) / count
    alone = count == 0
    why = "a domain has only one fine-tune" if alone.any() else None
    return np.where(count > 0, mean, 0.0), why


def overlap(training: Arrays, domain: Arrays) -> float:
    """The share of a domain's tokens that the training data have, too, in [0, 1]; NaN without."""
    ids, counts = domain.values["ids"], domain.values["counts"]
    known = np.isin(ids, training.values["ids"])
    return float(counts[known].sum() / counts.sum()) if counts.sum() else float("nan")


def _token_overlap(findings: Findings, name: str, of: Measured) -> tuple[Grid, str | None]:
    domains = _by_domain(_counted(findings, name), name, of.domains)
    rows, empty = [], False
    for tune in of.tunes:
        assert tune.tokens is not None  # the options see to it
        (whole,) = [one for one in _counted(findings, tune.tokens) if "domain" not in one.axes][:1]
        rows.append([overlap(whole, domains[domain]) for domain in of.domains])
        empty = empty or not len(whole.values["ids"])
    grid = np.array(rows)
    why = "a domain or the training data have no token" if np.isnan(grid).any() or empty else None
    return grid, why


def _counted(findings: Findings, statistic: str) -> list[Arrays]:
    found = [one for one in findings.arrays if one.statistic == statistic]
    if not found or any("counts" not in one.values for one in found):
        raise DataError(
            f"statistics.{statistic}: kept no counts of tokens. Allowed here: a statistic with "
            'method = "token_counts", without a sweep.'
        )
    return found


def _by_domain(found: Sequence[Arrays], name: str, domains: Sequence[str]) -> dict[str, Arrays]:
    by = {key(str(one.axes["domain"])): one for one in found if "domain" in one.axes}
    if missing := [domain for domain in domains if domain not in by]:
        raise DataError(
            f"statistics.{name}: has no domain {listed(missing)}. Give its data a row of every "
            "domain, and `by`."
        )
    return by


def top(mean: Float[np.ndarray, " d"], most: int) -> Top:
    """The latents of the largest means above 0, at most so many, ties by index."""
    order = np.argsort(-mean, kind="stable")[:most]
    kept: Top = order[mean[order] > 0]
    return kept


def _shared_latents(findings: Findings, of: Measured) -> Iterator[Forecast]:
    """|top N latents of the training data ∩ top N of the domain|, by their means in the base."""
    first = _given(findings, of.tunes[0].sts)
    for variant in [] if first is None else variants(findings.arrays, first.domains):
        rows = []
        for tune in of.tunes:
            sts = _given(findings, tune.sts)
            assert sts is not None  # it has made forecasts
            shift = matching(variant, variants(findings.arrays, sts.shift), sts.shift)
            sums, most = moments(shift.whole, "latents"), sts.ranks[1] - sts.ranks[0]
            mine = top(sums.mean("left_sum"), most) if sums.n else np.arange(0)
            its = _by_domain(list(variant.domains.values()), sts.domains, of.domains)
            rows.append([len(np.intersect1d(mine, _top(its[d], most))) for d in of.domains])
        name = "sts.baseline.shared_latents"
        yield Forecast(name, variant.axes, np.array(rows, dtype=float))


def _top(arrays: Arrays, most: int) -> Top:
    sums = moments(arrays, "latents")
    return top(sums.mean("left_sum"), most) if sums.n else np.arange(0)


def _given(findings: Findings, analysis: str) -> StsOptions | None:
    """The options of an `sts`, as its records have them."""
    for record in findings.records:
        if record.axes.get("analysis") == analysis and record.id.startswith("sts."):
            return StsOptions.model_validate(dict(record.options))
    return None


def _probes(findings: Findings, of: Measured, used: Used) -> Iterator[Forecast]:
    """For each fine-tune a ridge regression from the domains' mean activations to |change|."""
    first = _given(findings, of.tunes[0].sts)
    for variant in [] if first is None else variants(findings.arrays, first.domains):
        assert first is not None
        for space in SPACES:
            features = _means(variant, first.domains, of, space)
            if features is None:
                continue
            grid, why = np.zeros(of.size.shape), None
            for row, (size, kept) in enumerate(zip(of.size, used, strict=True)):
                if kept.sum() < ridge_probe.FEWEST:
                    why = (
                        f"a fine-tune has {kept.sum()} domains; a probe needs {ridge_probe.FEWEST}"
                    )
                    continue
                grid[row, kept] = ridge_probe.predictions(features[kept], size[kept])
            yield Forecast("sts.baseline.probe", {**variant.axes, "space": space}, grid, why)


def _means(
    variant: Variant, statistic: str, of: Measured, space: Space
) -> Float[np.ndarray, "domains d"] | None:
    its = _by_domain(list(variant.domains.values()), statistic, of.domains)
    sums = [moments(its[domain], space) for domain in of.domains]
    if any("left_sum" not in one.sums or not one.n for one in sums):
        return None
    return np.array([one.mean("left_sum") for one in sums])
