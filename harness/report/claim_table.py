"""The claims of a run as a table that shows itself, in Python and in notebooks."""

from __future__ import annotations

from collections.abc import Iterable

from jinja2 import Environment

from harness.contract import ClaimOutcome
from harness.results.numbers import format_number
from harness.text import for_terminal, visible

HEADS = ("claim", "came out", "effect", "95% interval", "n", "in words")
_PAGE = Environment(autoescape=True).from_string(
    "<table><thead><tr>{% for head in heads %}<th>{{ head }}</th>{% endfor %}</tr></thead><tbody>"
    "{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>{% endfor %}"
    "</tbody></table>"
)


class ClaimTable(tuple[ClaimOutcome, ...]):
    """Outcomes of claims, in the order of the task. A tuple of them that is shown as a table."""

    __slots__ = ()

    def __repr__(self) -> str:
        rows = [[for_terminal(cell, 60) for cell in row] for row in (HEADS, *_rows(self))]
        if not self:
            return "no claims: the task states none."
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(
            "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        )

    def _repr_html_(self) -> str:
        rows = [[visible(cell, 500) for cell in row] for row in _rows(self)]
        return _PAGE.render(heads=HEADS, rows=rows)


def _rows(claims: Iterable[ClaimOutcome]) -> list[tuple[str, ...]]:
    return [
        (
            claim.name,
            claim.status + (" (written after the run)" if claim.late else ""),
            "" if claim.effect is None else format_number(claim.effect),
            "" if claim.ci is None else " to ".join(map(format_number, claim.ci)),
            "" if claim.n is None else f"{claim.n} {claim.n_of or ''}".strip(),
            claim.text or claim.holds,
        )
        for claim in claims
    ]
