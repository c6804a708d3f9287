"""Finds out before a run begins whether it would measure something else than its task says.

Each SAE is measured on plain text of its own model, at its site and at the neighbouring ones; it
must explain its own site well, and best. The two models of a pair must differ, or be the same,
where the task says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.contract import Record, Site
from harness.planning.steps import MetricJob, SentinelJob
from harness.task.spec import PreflightSpec
from harness.task.task import Task

MARGIN = 0.2
"""A neighbouring site counts as the right one where its FVU is lower by more than this share."""
ROUNDING = 1e-5
"""Differences up to this are rounding: two models count as the same, two sites as equally good."""


def sentinel_failures(job: SentinelJob, records: Sequence[Record]) -> Iterator[str]:
    """Why the two models of a pair are not as the task expects; nothing where they are.

    `records` are the relative differences of the pair, one for each site.
    """
    values = [record.value for record in records if record.value is not None]
    if not values:
        yield f"pairs.{job.pair}: no token could be compared, so the models may be the same."
    elif job.expect == "different" and max(values) <= ROUNDING:
        yield (
            f"pairs.{job.pair}: the two models are the same (relative difference "
            f"{max(values):.1e} at most), but the task expects them to be different. Check the "
            "paths, and whether an adapter really attached."
        )
    elif job.expect == "same" and max(values) > ROUNDING:
        yield (
            f"pairs.{job.pair}: the two models differ (relative difference {max(values):.1e}), "
            "but the task expects them to be the same."
        )


def sae_failures(task: Task, measured: Sequence[tuple[MetricJob, Record]]) -> Iterator[str]:
    """Why SAEs do not fit the site where the task puts them; nothing where all do.

    `measured` has the first record of each metric of the preflight; those of `preflight.fvu` are
    looked at. Where a neighbouring site is explained better by more than `MARGIN`, it is named.
    """
    preflight = task.spec.preflight
    if preflight is None:
        return
    for name in task.spec.saes:
        if task.sae_facts(name).partial:
            continue  # it rebuilds nothing, so nothing was measured; its notes say so
        own = [
            (job, record.value)
            for job, record in measured
            if job.target.sae == name and job.entry == preflight.fvu and record.value is not None
        ]
        if len(sites := task.sae_sites(name)) > 1:
            # Each of its sites is a place of its own: none is a neighbour of another.
            for site in sites:
                here = [one for one in own if one[0].target.site == site]
                yield from _failures_at(task, preflight, name, site, here)
            continue
        # An SAE of a pair is held against each side that it reconstructs.
        for side in dict.fromkeys(job.side for job, _ in own) or [None]:
            mine = [one for one in own if one[0].side == side]
            yield from _failures_at(task, preflight, name, sites[0], mine, _words(task, name, side))


def _words(task: Task, name: str, side: str | None) -> str:
    """Which part of an SAE of a pair is meant, as it stands in a sentence; nothing of others."""
    if side is None or not task.of_pair(name):
        return ""
    models = dict(zip(("left", "right"), task.sae_models(name), strict=True))
    return f" of the {side} side, {models[side]}," if side in models else f" of the {side}"


def _failures_at(
    task: Task,
    preflight: PreflightSpec,
    name: str,
    site: Site,
    own: Sequence[tuple[MetricJob, float]],
    words: str = "",
) -> Iterator[str]:
    """Why an SAE does not fit one of its places, by what was measured there and beside it."""
    fvu: dict[Site, float] = {}
    for job, value in own:
        fvu.setdefault(job.target.site, value)  # the first value of the metric
    here = fvu.get(site)
    if here is None:
        yield f"saes.{name}: its fraction of variance unexplained{words} at {site} is undefined."
        return
    best = min(fvu, key=lambda other: fvu[other])
    if best != site and fvu[best] < (1 - MARGIN) * here - ROUNDING:
        yield (
            f"saes.{name}: it explains {best} better than {site}, where the task puts it "
            f"(FVU{words} {fvu[best]:.3g} against {here:.3g}). Is {best} its site?"
        )
    elif here > preflight.fvu_max:
        pair = task.spec.saes[name].pair
        yield (
            f"saes.{name}: FVU{words} {here:.3g} at {site} on {preflight.data} is above fvu_max = "
            f"{preflight.fvu_max:g}. Is it an SAE of "
            + ("this model" if pair is None else f"the models of {pair}, in this order")
            + ", and of this kind of text?"
            + (f" Besides, {other}" if (other := task.trained_elsewhere(name)) else "")
        )
