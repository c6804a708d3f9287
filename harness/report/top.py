"""What the page has on top: claims, the answer, and the one figure that draws what it rests on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from harness.contract import Figure, Grid, Panel, Prose, Record, Results
from harness.report.blocks import Block, prepared
from harness.results.answer import Sentence, answer
from harness.results.claims import claim_numbers
from harness.results.families import family_line
from harness.results.headline import constant_scores
from harness.results.numbers import format_number
from harness.text import visible

_SENTENCES = 4
"""Sentences that are shown open."""


@dataclass(frozen=True)
class ShownClaim:
    """A claim ready for the template."""

    status: str
    text: str
    numbers: str
    source: str


@dataclass(frozen=True)
class Top:
    """What stands above everything else, ready for the template. Any part may be empty."""

    claims: tuple[ShownClaim, ...]
    families: tuple[str, ...]
    """A sentence for each family of numbers that were asked at once."""
    sentences: tuple[str, ...]
    more: tuple[str, ...]
    """Sentences that are folded away."""
    figures: tuple[Block, ...]
    """One figure, or none."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.claims or self.families or self.sentences or self.figures)


def top(results: Results, panels: Sequence[Panel], source: str = "") -> Top:
    """The top of the page; the figure is one of the sections'."""
    sentences = answer(results)
    texts = [visible(one.text) for one in sentences]
    texts += [visible(text) for text in constant_scores(results)]
    figure = telling_figure(sentences, panels)
    claims = tuple(
        ShownClaim(
            claim.status,
            visible(claim.text) + (" (written after the run)" if claim.late else ""),
            visible(claim_numbers(claim)),
            visible(claim.source or ""),
        )
        for claim in results.claims
    )
    shown = () if figure is None else (prepared(figure, source),)
    families = tuple(visible(family_line(one)) for one in results.families)
    return Top(claims, families, tuple(texts[:_SENTENCES]), tuple(texts[_SENTENCES:]), shown)


def telling_figure(sentences: Sequence[Sentence], panels: Sequence[Panel]) -> Figure | None:
    """The figure that draws most of the records behind the first sentence that any figure draws.

    Of two that draw as many, the one with fewer other records; then the one that comes first. A
    figure in which nothing differs is none. So an experiment shows its scores beside their
    controls, drift its profile over depth, fine-tunes their flips, a forecast its scatter.
    """
    figures = [
        (block, {_identity(record) for record in block.records})
        for panel in panels
        for block in panel.blocks
        if isinstance(block, Figure) and _is_sound(block) and not is_constant(block)
    ]
    for sentence in sentences:
        wanted = {_identity(record) for record in sentence.evidence}
        best, most = None, (0, 0)
        for figure, drawn in figures:
            score = len(wanted & drawn), -len(drawn - wanted)
            if score[0] and (best is None or score > most):
                best, most = figure, score
        if best is not None:
            return best
    return None


def is_constant(figure: Figure) -> bool:
    """Whether a figure draws several numbers that are all the same."""
    values = [record.value for record in figure.records if record.value is not None]
    return len(values) > 1 and len(set(values)) == 1


def folded(block: Figure | Grid | Prose) -> Figure | Grid | Prose:
    """A figure in which nothing differs as a sentence; every other block as it is."""
    if not isinstance(block, Figure) or not is_constant(block):
        return block
    known = [record for record in block.records if record.value is not None]
    missing = len(block.records) - len(known)
    text = f"{block.title}: {format_number(known[0].value)} in all {len(known)} numbers"
    more = f"; {missing} are undefined" if missing else ""
    return Prose(f"{text}{more}, so no figure is drawn.")


def _is_sound(figure: Figure) -> bool:
    """Whether a figure can be shown and names records: a stranger's section may return anything."""
    try:
        prepared(figure)
        return all(isinstance(record, Record) for record in figure.records)
    except Exception:
        # Nothing is lost: where its section stands, `panels.shown` says what is wrong with it.
        return False


def _identity(record: Record) -> str:
    """No two records of a run have the same id, options and axes."""
    return json.dumps([record.id, record.options, record.axes], sort_keys=True, default=str)
