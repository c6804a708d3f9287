"""Single lines of the terminal: cut to a width, wrapped, counted."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.text import Text

from harness.contract import ClaimOutcome
from harness.contract.claims import ClaimStatus

_INTERVAL = re.compile(r"\[[^\[\]]{1,30}\]")
_TIED = "\u00a0"
"""A space at which no line ends."""
_STATUSES: tuple[ClaimStatus, ...] = ("supported", "contradicted", "undecided", "unmeasured")


def cut(text: str, width: int) -> str:
    """The text on one line of so many characters; where it is cut, it says so."""
    if cell_len(text) <= width:
        return text
    return f"{(chop_cells(text, max(1, width - 1)) or [''])[0].rstrip()}…"


def wrapped(text: str, width: int, most: int, style: str = "", bullet: str = "") -> Iterator[Text]:
    """The text on at most so many lines, broken between words; the last one says if it is cut."""
    inside = max(1, width - len(bullet))
    lines = [
        piece for line in _broken(text, inside) for piece in (chop_cells(line, inside) or [""])
    ]
    kept = lines[:most]
    if len(lines) > most:
        kept[-1] = f"{cut(kept[-1], inside - 1).rstrip('…')}…"
    for place, line in enumerate(kept):
        yield Text((bullet if place == 0 else " " * len(bullet)) + line, style)


def _broken(text: str, width: int) -> list[str]:
    """The text in lines, an interval never on two of them."""
    if cell_len(text) != len(text):
        console = Console(width=width, color_system=None, legacy_windows=False)
        return [line.plain.rstrip() for line in Text(text).wrap(console, width)] or [""]
    kept = _INTERVAL.sub(lambda found: found[0].replace(" ", _TIED), text)
    lines = textwrap.wrap(kept, width, break_on_hyphens=False)
    return [line.replace(_TIED, " ") for line in lines] or [""]


def count_claims(claims: Sequence[ClaimOutcome]) -> str:
    """`2 supported, 1 undecided`; empty without claims."""
    counts = Counter(claim.status for claim in claims)
    return ", ".join(f"{counts[status]} {status}" for status in _STATUSES if counts[status])
