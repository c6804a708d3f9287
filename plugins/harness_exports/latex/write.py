"""Tables as LaTeX, with the rules of booktabs, and a document that holds all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness_exports.latex.escape import comment, escaped
from harness_exports.latex.layout import ROWS, Column, columns, lines, parts

_WORD, _CELL = 20, 12
"""Characters of a word in a caption, and in a column that wraps, beyond which it may be broken."""
_TITLE, _NOTE = 400, 2000
"""Characters of a sentence of a caption, which TeX holds on one line to measure it, and below."""
PACKAGES = ("booktabs", "array", "longtable")
"""What a document that takes a table in must load."""


@dataclass(frozen=True)
class Table:
    """A table of the report, ready to be set."""

    name: str
    """The name of its file without suffix; its label is `tab:NAME`."""
    caption: Sequence[str]
    """Sentences, as plain text: what it is, and of which run."""
    notes: Sequence[str]
    """Sentences below it, as plain text."""
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    """The cells, as plain text."""


def table(one: Table, page: int) -> str:
    """The file of one table. One that is wider than `page` characters is in parts below each other,
    each with the first column; a long one runs over several pages."""
    found = columns(one.heads, one.rows)
    groups = parts(found, page)
    long = lines(found, one.rows) * len(groups) > ROWS
    head = [
        comment(f"Made by sae-harness: harness export RUN --to latex. {one.caption[0]}"),
        comment("In the preamble: " + "".join(rf"\usepackage{{{name}}}" for name in PACKAGES)),
    ]
    body = _over_pages(one, groups) if long else _on_one_page(one, groups)
    return "\n".join([*head, *body]) + "\n"


def _on_one_page(one: Table, groups: Sequence[Sequence[Column]]) -> Iterator[str]:
    yield r"\begin{table}[htbp]"
    yield r"\centering\footnotesize\setlength{\tabcolsep}{4pt}"
    yield _caption(one)
    for number, group in enumerate(groups):
        if number:
            yield r"\par\medskip"
        yield rf"\begin{{tabular}}{{{_settings(group)}}}"
        yield from (r"\toprule", _row(one.heads, group), r"\midrule")
        yield from (_row(row, group) for row in one.rows)
        yield from (r"\bottomrule", r"\end{tabular}")
    if one.notes:
        yield r"\par\smallskip"
        yield rf"\begin{{minipage}}{{\linewidth}}\raggedright {_notes(one)}\end{{minipage}}"
    yield r"\end{table}"


def _over_pages(one: Table, groups: Sequence[Sequence[Column]]) -> Iterator[str]:
    yield r"\begingroup\footnotesize\setlength{\tabcolsep}{4pt}"
    for number, group in enumerate(groups):
        heads = [r"\toprule", _row(one.heads, group), r"\midrule"]
        yield rf"\begin{{longtable}}{{{_settings(group)}}}"
        if not number:
            yield rf"{_caption(one)} \\"
        yield from (*heads, r"\endfirsthead", *heads, r"\endhead", r"\bottomrule", r"\endfoot")
        yield from (_row(row, group) for row in one.rows)
        yield r"\end{longtable}"
    if one.notes:
        yield rf"{{\raggedright\noindent {_notes(one)}\par}}\medskip"
    yield r"\endgroup"


def _caption(one: Table) -> str:
    said = " ".join(escaped(text, _TITLE, _WORD) for text in one.caption)
    return rf"\caption{{{said}}}\label{{tab:{one.name}}}"


def _notes(one: Table) -> str:
    return " ".join(escaped(text, _NOTE, _WORD) for text in one.notes)


def _settings(group: Sequence[Column]) -> str:
    return "".join(column.setting for column in group)


def _row(cells: Sequence[str], group: Sequence[Column]) -> str:
    texts = (
        escaped(cells[column.place], breaks=_CELL if column.wraps else None) for column in group
    )
    return " & ".join(texts) + r" \\"


def document(title: str, names: Sequence[str]) -> str:
    """A document with all tables, in their order; it takes in their files, beside it."""
    head = [
        r"\documentclass[a4paper]{article}",
        r"\usepackage[margin=2.2cm]{geometry}",
        *(rf"\usepackage{{{name}}}" for name in PACKAGES),
        r"\begin{document}",
        rf"\section*{{{escaped(title)}}}",
    ]
    body = []
    for number, name in enumerate(names, start=1):
        body.append(rf"\input{{{name}}}")
        if number % 6 == 0:  # TeX holds back few tables at once
            body.append(r"\clearpage")
    return "\n".join([*head, *body, r"\end{document}"]) + "\n"
