"""Whether widths and depths go together: of an SAE and a model, of a site and a model, of a pair.

Whatever comes of one width that meets another is one mistake, and so is all that is deeper than
models of one depth.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from harness.task.causes import Misfit
from harness.text import for_terminal

if TYPE_CHECKING:
    from harness.contract import Site
    from harness.task.task import Task
    from harness.task.validate import KeyParts


def sae_width(
    task: Task, sae: str, model: str, at: KeyParts, side: str | None = None
) -> Iterator[Misfit]:
    """An SAE that reads more or fewer numbers than a model has at one of the SAE's sites.

    Of an SAE of a pair, `model` is the one on `side`.
    """
    which = "" if at[0] == "saes" else f" {sae}"
    for site, d_in in task.sae_reads(sae, side):
        width = task.model_facts[model].width(site)
        if d_in is not None and width is not None and d_in != width:
            trained = task.sae_facts(sae).model
            by = f" Its files name {for_terminal(trained)}." if trained else ""
            of = f" on the {side} side" if side else ""
            yield Misfit(
                at,
                f"the SAE{which} reads {d_in} numbers per token{of}, but {model} has {width} at "
                f"{site}. Choose an SAE that was trained on this model.{by}",
                ("width", frozenset((d_in, width))),
            )


def sae_widths(
    task: Task, saes: Iterable[str], views: Sequence[str | None], at: KeyParts
) -> Iterator[Misfit]:
    """SAEs held against the models of views; those of a pair against that of each side."""
    models = [task.spec.views[view].model for view in views if view is not None]
    for sae in saes:
        if task.of_pair(sae):
            for model, side in zip(models, ("left", "right"), strict=False):
                yield from sae_width(task, sae, model, at, side)
        else:
            for model in dict.fromkeys(models):
                yield from sae_width(task, sae, model, at)


def hidden_sizes(task: Task, left: str, right: str, at: KeyParts) -> Iterator[Misfit]:
    """Two models of a pair whose residual streams are not equally wide."""
    one, other = (task.model_facts[model].d_model for model in (left, right))
    if one is not None and other is not None and one != other:
        yield Misfit(
            at,
            f"{left} has hidden size {one}, {right} has {other}. A pair needs equal ones.",
            ("width", frozenset((one, other))),
        )


def sae_depth(task: Task, sae: str, model: str, at: KeyParts) -> Iterator[Misfit]:
    """An SAE that reads or writes deeper than a model has blocks, or is a part of one that does."""
    out = task.sae_out(sae)
    places = (*task.sae_sites(sae), *((out,) if out is not None else ()))
    deeper = [one for site in places for one in site_depth(task, site, model, (*at, "site"))]
    yield from deeper
    layers, blocks = task.layers(model), task.sae_facts(sae).blocks
    if not deeper and layers is not None and blocks is not None and blocks > layers:
        yield Misfit(
            at,
            f"the SAE is a layer of a cross-layer transcoder of {blocks}, but {model} has {layers} "
            "blocks. Choose one that was trained on this model.",
            ("depth", layers),
        )


def site_depth(task: Task, site: Site, model: str, at: KeyParts) -> Iterator[Misfit]:
    """A site of a block that a model does not have."""
    layers = task.layers(model)
    if layers is not None and site.layer is not None and site.layer >= layers:
        yield Misfit(
            at,
            f"{site} is deeper than {model}, which has {layers} blocks. "
            f"Allowed: {site.kind}.0 to {site.kind}.{layers - 1}.",
            ("depth", layers),
        )
