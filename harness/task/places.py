"""Where a task measures: its SAEs, pairs and metrics at sites of their models, placed once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.contract import Stream, Target, Where
from harness.contract.sites import parse_site

if TYPE_CHECKING:
    from harness.contract import Axes, ModelFacts, SaeFacts, Site
    from harness.task.spec import MetricSpec, PairSpec, TaskSpec


@dataclass(frozen=True)
class Measured:
    """What a pair or a metric reads, and the places at which it measures."""

    stream: Stream
    saes: tuple[Target, ...]
    sites: tuple[Site, ...]
    """Further sites, at which no SAE is used."""
    axes: Axes
    """The axes of everything that is measured on the pair; none where a single view is read."""


@dataclass(frozen=True)
class Places:
    """Sites of models, with fractions of depth made blocks where the depth is known."""

    saes: Mapping[str, Target]
    """By SAE, the site that it reads, the first of several, and the one that it reconstructs where
    that is another.

    An SAE of which neither the task nor its own metadata say where it belongs is missing."""
    pairs: Mapping[str, Measured]
    metrics: Mapping[str, Measured]


def place(
    spec: TaskSpec, models: Mapping[str, ModelFacts], facts: Mapping[str, SaeFacts]
) -> Places:
    """Places everything that a task measures. `models` and `facts` describe models and SAEs."""
    saes = {
        name: target
        for name in spec.saes
        if (target := _sae(name, spec, models, facts[name])) is not None
    }

    def measured(
        stream: Stream, names: Iterable[str], sites: Iterable[str], axes: Axes
    ) -> Measured:
        model = models[spec.views[stream.view].model]
        # Two fractions of depth are one block in a model of few.
        here = tuple(dict.fromkeys(at_depth(parse_site(site), model) for site in sites))
        return Measured(stream, tuple(saes[n] for n in names if n in saes), here, axes)

    def metric(own: MetricSpec) -> Measured:
        if own.pair is None:
            assert own.view is not None
            assert own.data is not None
            stream = Stream("view", own.view, own.data)
            return measured(stream, own.saes or (), own.sites or (), {})
        pair = spec.pairs[own.pair]
        names = pair.saes if own.saes is None else own.saes
        sites = pair.sites if own.sites is None else own.sites
        return measured(_stream(pair), names, sites, {**pair.axes, "pair": own.pair})

    pairs = {
        name: measured(_stream(pair), pair.saes, pair.sites, {**pair.axes, "pair": name})
        for name, pair in spec.pairs.items()
    }
    return Places(saes, pairs, {name: metric(own) for name, own in spec.metrics.items()})


def models_of(spec: TaskSpec, sae: str) -> tuple[str, ...]:
    """The models that an SAE was trained on: its model, or the left and the right one of a pair."""
    own = spec.saes[sae]
    if own.pair is None:
        assert own.model is not None
        return (own.model,)
    pair = spec.pairs[own.pair]
    return tuple(spec.views[view].model for view in (pair.left, pair.right))


def at_depth(site: Site, model: ModelFacts) -> Site:
    """The block of a model at a fraction of its depth; the fraction, where its depth is unknown."""
    return site.at(model.layers) if model.layers else site


def _sae(
    name: str, spec: TaskSpec, models: Mapping[str, ModelFacts], facts: SaeFacts
) -> Target | None:
    own = spec.saes[name]
    model = models[models_of(spec, name)[0]]
    several = [one.site for one in facts.inputs if one.site is not None]
    declared = parse_site(own.site) if own.site else next(iter(several), facts.site)
    if declared is None:
        return None
    site = at_depth(declared, model)
    out = at_depth(facts.site_out, model) if facts.site_out else None
    return Target(site, name, None if out == site else out)


_AS_WRITTEN = {"tokens", "align", "pack", "budget", "render", "same_tokenizer"}
"""Keys of a pair that its stream has, too."""


def _stream(pair: PairSpec) -> Stream:
    """The stream of a pair, called `pair`, with its filters."""
    where = Where(skip_first=pair.skip_first, max_norm_ratio=pair.max_norm_ratio)
    same = pair.model_dump(include=_AS_WRITTEN)
    return Stream("pair", pair.left, pair.data, pair.right, where=where, **same)
