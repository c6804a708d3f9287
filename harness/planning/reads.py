"""What a job reads, with everything placed: sites, filters, directions that come first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.contract import Reads

if TYPE_CHECKING:
    from harness.contract import Site, Stream, Where
    from harness.task.task import Instance, Task


def placed_reads(task: Task, instances: Sequence[Instance]) -> Reads:
    """What instances that share a state read together, at sites of the model that is read.

    A filter without a site of its own looks at the first site that is read, or else at that of the
    first SAE, or else, for logits, after the last block, or that of a path. Directions with which
    the views of a stream are edited are needed at the start.
    """
    reads = _merged(task, instances)
    model = task.spec.views[reads.streams[0].view].model if reads.streams else None
    sites = tuple(task.at(site, model) if model else site for site in reads.sites)
    end = [task.end(model)] if reads.logits and model else []
    paths = tuple(
        replace(path, site=task.at(path.site, model)) if model else path for path in reads.paths
    )
    last = [*end, *(path.site for path in paths)]
    looked_at = next(iter([*sites, *map(task.sae_site, reads.saes), *last]), None)
    streams = tuple(
        replace(stream, where=_with_site(stream.where, stream.where.site or looked_at))
        for stream in reads.streams
    )
    start = tuple(dict.fromkeys([*reads.start, *editing_directions(task, streams)]))
    return replace(reads, sites=sites, streams=streams, start=start, paths=paths)


def filtered(stream: Stream, where: Where, site: Site) -> Stream:
    """The stream with another filter, which looks at `site` if it looks at activations at all."""
    return replace(stream, where=_with_site(where, site))


def editing_directions(task: Task, streams: Sequence[Stream]) -> tuple[str, ...]:
    """The directions with which streams or their views are edited: they must be found before."""
    views = [view for s in streams for view in (s.view, s.right) if view is not None]
    edits = [stream.edit.direction for stream in streams if stream.edit is not None]
    return tuple(dict.fromkeys([*(d for view in views for d in task.edited_by(view)), *edits]))


def _with_site(where: Where, site: Site | None) -> Where:
    looks = where.selects or where.max_norm_ratio is not None
    return replace(where, site=site) if looks else where


def _merged(task: Task, instances: Sequence[Instance]) -> Reads:
    """Everything that any of the instances reads, each thing once."""
    reads = [instance.options.reads(task) for instance in instances]
    every = {
        name: tuple(dict.fromkeys(n for r in reads for n in getattr(r, name)))
        for name in ("streams", "sites", "saes", "start", "finish", "paths", "words")
    }
    return Reads(**every, logits=any(one.logits for one in reads))
