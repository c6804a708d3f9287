"""The answer on one screen: claims, sentences and the headline table, in at most 40 lines."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from harness.contract import ClaimOutcome, FamilyOutcome, Grid, Results
from harness.report.lines import count_claims, cut, wrapped
from harness.report.terminal_tables import Columns
from harness.results.answer import answer
from harness.results.claims import claim_numbers
from harness.results.families import family_brief
from harness.results.headline import constant_scores, headline_tables
from harness.text import for_terminal

LINES = 40
"""Lines of the whole screen, what the command adds at its end included."""
_TITLE, _PROBLEM, _CLAIMS, _FAMILIES, _ANSWER, _GATES = 2, 2, 8, 3, 8, 4
"""The most lines or, of claims, families and gates, entries of each part."""
_INTERVAL = re.compile(r" [\[(][^\])]*[\])]$")
"""The interval of an estimate, or the range of draws, at the end of a cell."""
_LEAST = 4
"""A table needs so many lines: its title, its head and two rows."""


@dataclass(frozen=True)
class Footer:
    """What a command adds below: outcomes of gates, and where files are."""

    gates: Sequence[str] = ()
    """A line for each gate that failed, and one that counts."""
    files: Sequence[str] = ()
    """Lines such as `Report: runs/x/report.html`; never cut."""


def show_answer(results: Results, console: Console, footer: Footer | None = None) -> None:
    """Prints the screen. `harness.report.terminal.show` prints all."""
    for line in screen(results, console.width, footer or Footer()):
        console.print(line, soft_wrap=True)


def screen(results: Results, width: int, footer: Footer) -> list[Text]:
    """The lines of the screen: at most `LINES`, none wider than the terminal but paths of files.

    What has no room is counted where it would stand; the report and `-v` have it.
    """
    asked = [*_claims(results.claims, width), *_families(results.families, width)]
    top = [*_title(results, width), *asked, *_answer(results, width)]
    ends = [*_missing(results, width), *_gates(footer.gates, width)]
    files = [Text(file) for file in footer.files]
    taken = sum(-(-max(1, cell_len(file)) // width) for file in footer.files) + bool(ends or files)
    room = LINES - len(top) - len(ends) - taken
    return [*top, *_tables(results, width, room), *[Text("")] * bool(ends or files), *ends, *files]


def _title(results: Results, width: int) -> Iterator[Text]:
    task = results.task
    title = for_terminal(str(task.get("title") or task.get("name", "")), 500)
    yield from wrapped(title, width, _TITLE, "bold")
    if task.get("source"):
        yield from wrapped(for_terminal(str(task["source"]), 500), width, 1, "dim")
    if results.status == "invalid":
        yield Text(
            cut("INVALID: this run measured something else than its task says.", width), "red"
        )
        for problem in results.problems[:1]:
            text = f"invalid: {for_terminal(problem, 1000)}"
            yield from wrapped(text, width, _PROBLEM, "red")
        if (more := len(results.problems) - 1) > 0:
            yield Text(cut(f"… and {more} more problems: -v shows them", width), "red")


# ── Claims and sentences ─────────────────────────────────────────────────────────────────────────


def _claims(claims: Sequence[ClaimOutcome], width: int) -> Iterator[Text]:
    """A line for each claim: how it came out, its words, and its numbers, which are never cut."""
    if not claims:
        return
    yield Text("")
    yield _heading(f"Claims: {count_claims(claims)}", width)
    most = len(claims) if len(claims) <= _CLAIMS else _CLAIMS - 1
    for claim in claims[:most]:
        yield _claim(claim, width)
    if len(claims) > most:
        yield Text(cut(f"… and {len(claims) - most} more claims: -v shows them", width), "dim")


_LOOKS = {
    "supported": "green",
    "contradicted": "red",
    "undecided": "yellow",
    "unmeasured": "yellow",
}


def _claim(claim: ClaimOutcome, width: int) -> Text:
    numbers = for_terminal(claim_numbers(claim).partition(";")[0], 200)
    if cell_len(numbers) > width // 3:
        numbers = numbers.partition(", expected")[0]
    late = " (written after the run)" if claim.late else ""
    words = for_terminal(claim.text.strip().rstrip("."), 300) + late
    head = f"{claim.status:<12} "
    room = width - len(head) - cell_len(numbers) - 2
    if room < 20:
        shown = cut(f"{words}: {numbers}", width - len(head))
    else:
        shown = f"{cut(words, room)}: {numbers}"
    return Text(head, _LOOKS.get(claim.status, "")).append(cut(shown, width - len(head)), "")


def _families(families: Sequence[FamilyOutcome], width: int) -> Iterator[Text]:
    """A line for each family: its words, its discoveries, and what chance gives, never cut."""
    if not families:
        return
    yield Text("")
    yield _heading("Discoveries of all that was asked, and how many are expected by chance", width)
    most = len(families) if len(families) <= _FAMILIES else _FAMILIES - 1
    for one in families[:most]:
        numbers = for_terminal(family_brief(one), 200)
        late = " (written after the run)" if one.late else ""
        words = for_terminal(one.text.strip().rstrip("."), 300) + late
        room = max(20, width - cell_len(numbers) - 4)
        yield Text(cut(f"- {cut(words, room)}: {numbers}", width))
    if len(families) > most:
        yield Text(cut(f"… and {len(families) - most} more families: -v shows them", width), "dim")


def _answer(results: Results, width: int) -> Iterator[Text]:
    """As many of the first sentences as have room; the first one in any case."""
    sentences = [for_terminal(one.text, 1000) for one in answer(results)]
    if not sentences:
        return
    shown: list[Text] = []
    told = 0
    for sentence in sentences:
        lines = list(wrapped(sentence, width, _ANSWER, bullet="- "))
        if told and len(shown) + len(lines) > _ANSWER:
            break
        shown += lines
        told += 1
    yield Text("")
    more = f" (the first {told} of {len(sentences)} sentences)" if told < len(sentences) else ""
    yield _heading(f"Answer{more}", width)
    yield from shown


# ── The headline ─────────────────────────────────────────────────────────────────────────────────


def _tables(results: Results, width: int, room: int) -> Iterator[Text]:
    """The headline tables that have room, and how many have none."""
    found = headline_tables(results)
    sentences = [for_terminal(text, 500) for text in constant_scores(results)]
    for place, grid in enumerate(found):
        left = len(found) - place
        # A line is kept for counting what comes after this table.
        here = room - (left > 1)
        if here < _LEAST + 1:
            if room >= 2:
                yield Text("")
                yield Text(
                    cut(f"… and {left} more table{'s' * (left > 1)} in the report", width), "dim"
                )
            return
        lines = list(_table(grid, width, here))
        yield from lines
        room -= len(lines)
    for sentence in sentences:
        lines = list(wrapped(sentence, width, 2, "dim"))
        if len(lines) <= room:
            yield from lines
            room -= len(lines)


def _table(grid: Grid, width: int, room: int) -> Iterator[Text]:
    """An empty line, the title, the table and, where rows have no room, how many are not shown."""
    yield Text("")
    columns = _fitting(grid, width)
    dropped = len(grid.columns) - 1 - len(columns.heads)
    more = f" ({dropped} more column{'s' * (dropped > 1)} in the report)" if dropped else ""
    title = for_terminal(grid.title, 300)
    yield _heading(f"{cut(title, max(10, width - len(more)))}{more}", width)
    lines = _rendered(columns, width)
    if len(lines) > room - 2:
        kept = columns
        while kept.rows and len(lines) > room - 3:
            kept = Columns(kept.heads, kept.rows[:-1], kept.corner)
            lines = _rendered(kept, width)
        yield from lines
        yield Text(f"… and {len(columns.rows) - len(kept.rows)} more rows in the report", "dim")
    else:
        yield from lines


def _fitting(grid: Grid, width: int) -> Columns:
    """The table in one block: whole, with labels on two lines, without what can be spared, without
    intervals, or without its last columns."""
    heads = [for_terminal(str(head)) for head in grid.columns]
    rows = [[for_terminal(str("" if cell is None else cell)) for cell in row] for row in grid.rows]
    brief = [[row[0], *(_INTERVAL.sub("", cell) for cell in row[1:])] for row in rows]
    kept = len(heads) - grid.spare
    full = [
        _columns(heads[:n], [row[:n] for row in rows], label)
        for n in dict.fromkeys((len(heads), kept))
        for label in (24, 16)
    ]
    shorter = [
        _columns(heads[:n], [row[:n] for row in brief], 24) for n in range(len(heads), 1, -1)
    ]
    fit = (found for found in (*full, *shorter) if len(found.blocks(width)) == 1)
    return next(fit, shorter[-1])


def _columns(heads: Sequence[str], rows: Sequence[Sequence[str]], label: int) -> Columns:
    cells = [(Text(row[0]), [Text(cell) for cell in row[1:]]) for row in rows]
    return Columns(heads[1:], cells, heads[0], label)


def _rendered(columns: Columns, width: int) -> list[Text]:
    console = Console(width=width, color_system=None, legacy_windows=False)
    found = console.render_lines(columns, console.options.update(width=width), pad=False)
    return [Text("".join(segment.text for segment in line).rstrip()) for line in found]


# ── What is missing, and gates ───────────────────────────────────────────────────────────────────


def _missing(results: Results, width: int) -> Iterator[Text]:
    """One line about warnings, and one about what has no value."""
    if warnings := results.warnings:
        count = f"{len(warnings)} warning{'s' * (len(warnings) > 1)}: "
        yield Text(cut(count + for_terminal(warnings[0], 1000), width), "yellow")
    gone = sum(record.value is None for record in results.records)
    if gone:
        text = f"{gone:,} of {len(results.records):,} numbers are undefined: -v says why."
        yield Text(cut(text, width), "dim")


def _gates(lines: Sequence[str], width: int) -> Iterator[Text]:
    """The first gates that failed, and the line that counts them all."""
    failed, counted = lines[:-1], lines[-1:]
    shown = failed if len(failed) <= _GATES else failed[: _GATES - 1]
    for line in shown:
        yield Text(cut(for_terminal(line, 500), width), "red")
    if more := len(failed) - len(shown):
        yield Text(cut(f"… and {more} more that failed: `harness gate` lists them", width), "red")
    for line in counted:
        yield Text(cut(for_terminal(line, 500), width))


def _heading(text: str, width: int) -> Text:
    return Text(cut(text, width), "bold")
