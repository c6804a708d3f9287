"""The results in one line: what `-q` shows."""

from __future__ import annotations

from rich.cells import cell_len

from harness.contract import Results
from harness.report.lines import count_claims, cut
from harness.results.answer import answer
from harness.results.families import count_discoveries
from harness.text import for_terminal

_SHORTEST = 24
"""Characters of the first sentence below which it is left out."""


def one_line(results: Results, width: int, gates: str = "", page: str = "") -> str:
    """Task, status, claims, discoveries, gates, page and, where there is room, the first sentence.

    `gates` and `page` are what the command knows. Only the path of the page can make it wider
    than the terminal: a path that is cut is of no use.
    """
    name = for_terminal(str(results.task.get("name", "run")), 60)
    found = count_discoveries(results.families)
    parts = [f"{name}: {results.status}", count_claims(results.claims), found, for_terminal(gates)]
    head = cut("; ".join(part for part in parts if part), width)
    sentences = answer(results)
    room = width - cell_len(head) - cell_len(page) - 2 * bool(page) - 2
    if sentences and room >= _SHORTEST:
        head = f"{head}; {cut(for_terminal(sentences[0].text, 1000), room)}"
    return f"{head}; {page}" if page else head
