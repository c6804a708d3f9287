"""LaTeX: what stands in a table is what the report has, and no text is more than text.

The files are read by `strict`, which knows no command but ours, and turned back into texts by
`plain_text`, which was written from what LaTeX says of each command.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from harness.contract import ExportedRun, ExportFile, Grid, LeftOut, Panel, Prose
from harness.errors import DataError
from harness.results import Results, headline_units
from harness.testing import small_run
from harness.testing.support.changed_runs import HOSTILE, hostile_run, invalid_run
from harness_exports.figures.export import Figures
from harness_exports.figures.options import FiguresOptions
from harness_exports.latex.escape import escaped
from harness_exports.latex.export import Latex
from harness_exports.latex.layout import columns, parts, width
from harness_exports.latex.options import LatexOptions
from harness_exports.latex.strict import read_tables

NAMED = {
    "textbackslash": "\\", "textasciicircum": "^", "textasciitilde": "~", "textless": "<",
    "textgreater": ">", "textbar": "|", "textasciigrave": "`", "char34": '"', "textendash": "–",
    "textemdash": "—", "ldots": "…", "textperiodcentered": "·", "textquotedblleft": "“",
    "textquotedblright": "”", "textquoteleft": "‘", "textquoteright": "’", "textbullet": "•",
    "S": "§", "copyright": "©", "ss": "ß", "o": "ø", "O": "Ø", "ae": "æ", "AE": "Æ", "oe": "œ",
    "OE": "Œ", "l": "ł", "L": "Ł", "i": "ı", "allowbreak": "",
}  # fmt: skip
MATHS = {
    "-": "−", "times": "×", "div": "÷", "pm": "±", "le": "≤", "ge": "≥", "ne": "≠", "approx": "≈",
    "rightarrow": "→", "leftarrow": "←", "leftrightarrow": "↔", "infty": "∞", "surd": "√",
    "sum": "∑", "in": "∈", "|": "‖", "^circ": "°", "^2": "²", "^3": "³", "^1": "¹", "_0": "₀",
    "_1": "₁", "_2": "₂", "frac12": "½", "varepsilon": "ε", "varphi": "φ",
}  # fmt: skip
ACCENTS = {
    "`": "\u0300", "'": "\u0301", "^": "\u0302", "~": "\u0303", '"': "\u0308", "=": "\u0304",
    "u": "\u0306", ".": "\u0307", "r": "\u030a", "H": "\u030b", "v": "\u030c", "c": "\u0327",
}  # fmt: skip


def plain_text(tex: str) -> str:
    """The text that LaTeX shows."""

    def maths(found: re.Match[str]) -> str:
        inside = found[1].replace("\\", "")
        return MATHS.get(inside) or unicodedata.lookup(
            f"GREEK {'CAPITAL' if inside[0].isupper() else 'SMALL'} LETTER "
            f"{inside.upper().replace('LAMBDA', 'LAMDA')}"
        )

    def accent(found: re.Match[str]) -> str:
        return unicodedata.normalize("NFC", found[2] + ACCENTS[found[1]])

    tex = re.sub(r"\\ensuremath\{([^}]*)\}", maths, tex)
    tex = re.sub(r"\\([`'^~\"=.urHvc])\{([A-Za-z])\}", accent, tex)
    tex = re.sub(r"(?<!\\)~", "\u00a0", tex)
    tex = re.sub(r"\\([A-Za-z]+\d*)\{\}", lambda found: NAMED[found[1]], tex)
    tex = re.sub(r"\{([\[\]*])\}", r"\1", tex)
    tex = re.sub(r"(?<!\\)\{\}", "", tex)
    return re.sub(r"\\([{}$&#%_])", r"\1", tex)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ExportedRun:
    return small_run(tmp_path_factory.mktemp("small"))


def made(run: ExportedRun, **options: Any) -> dict[str, str]:
    files = Latex(LatexOptions(**options)).files(run)
    return {one.path: str(one.content) for one in files if isinstance(one, ExportFile)}


def read(files: dict[str, str]) -> dict[str, list[list[list[str]]]]:
    return read_tables({path: text.encode("ascii") for path, text in files.items()})


def with_grid(run: ExportedRun, *grids: Grid) -> ExportedRun:
    return replace(run, panels=[Panel("Own", grids)], results=replace(run.results, records=()))


# ── Text ─────────────────────────────────────────────────────────────────────────────────────────

SHOWN = st.text(
    st.characters(min_codepoint=32, max_codepoint=126)
    | st.sampled_from("éàêñöåçčőāăżÏßøÆłœ–—…·“”‘’−×±≤≥≠→²α∆ΔΩλ‖ \u00a0"),
    max_size=60,
).map(lambda text: text.replace("\\", "/").replace("∆", "Δ"))


@given(SHOWN, st.sampled_from([None, 6, 12]))
def test_what_latex_shows_is_the_text(text: str, breaks: int | None) -> None:
    words = " ".join(text.split())
    expected = unicodedata.normalize("NFC", words)
    assert plain_text(escaped(text, breaks=breaks)) == expected


@pytest.mark.slow
@given(st.text(max_size=80) | st.sampled_from(HOSTILE), st.sampled_from([None, 12]))
def test_any_text_is_text(text: str, breaks: int | None) -> None:
    """Balanced, in ASCII, on one line, without a command that is none of ours."""
    tex = escaped(text, breaks=breaks)
    table = f"\\begin{{tabular}}{{l}}\n{tex} \\\\\n\\end{{tabular}}\n"
    found = read_tables({"x.tex": table.encode("ascii"), "all.tex": b"\\input{x}\n"})
    assert found["x.tex"] == [[[tex]]]
    assert not tex.startswith(("[", "*"))  # either would belong to the end of the row before


def test_a_backslash_and_what_has_no_letter() -> None:
    assert escaped(r"\input{/etc/passwd}") == r"\textbackslash{}input\{/etc/passwd\}"
    assert escaped("中\x1b\u202e") == "{[}U+4E2D{]}{[}U+241B{]}{[}U+202E{]}"
    assert escaped("a--b ''") == "a-{}-b '{}'"
    assert escaped("x" * 5000).count("x") == 400


@given(st.text("a./_-", min_size=30, max_size=200))
def test_a_long_word_may_break_everywhere(word: str) -> None:
    pieces = plain_text(escaped(word, breaks=12).replace(r"\allowbreak{}", "\n")).split("\n")
    assert "".join(pieces) == word
    assert max(map(len, pieces)) <= 12


# ── Tables ───────────────────────────────────────────────────────────────────────────────────────


def cells(tables: Sequence[list[list[str]]]) -> list[list[str]]:
    """The rows of all parts of a table beside each other, the first column and the head once."""
    joined: list[list[str]] = []
    for number, part in enumerate(tables):
        rows = [[plain_text(cell) for cell in row] for row in part]
        rows = rows[1:] if rows[:1] == rows[1:2] else rows  # a long one has its head twice
        if number:
            joined = [[*left, *right[1:]] for left, right in zip(joined, rows, strict=True)]
        else:
            joined = rows
    return joined


def test_the_tables_of_the_report_are_in_the_files(run: ExportedRun) -> None:
    files = made(run)
    tables = read(files)
    (mine,) = (path for path in tables if path.startswith("scores-and-cosines"))
    (grid,) = (block for block in run.panels[0].blocks if isinstance(block, Grid))
    assert cells(tables[mine]) == [list(grid.columns), *map(list, grid.rows)]
    assert "0.75 [0.30, 0.95]" in cells(tables[mine])[1]
    (top,) = (path for path in tables if path.startswith("experiment-bypass"))
    assert cells(tables[top])[0][:2] == ["direction", "refusal_score"]
    assert {row[0] for row in cells(tables[top])[1:]} == {"none (not edited)", "refusal"}
    assert "Units: share (refusal\\_score)." in files[top]
    assert "\\toprule" in files[top]


def test_sections_that_could_not_be_shown_are_left_out_and_said(run: ExportedRun) -> None:
    """Else fewer tables, without a word, would look like all that there are."""
    lost = Panel("Not shown", (Prose("A table is lost. Nothing else is.", tone="warning"),))
    note = Panel("Scores", (Prose("A warning beside a table", tone="warning"),
                            Grid("g", ["a"], [["b"]])))  # fmt: skip
    changed = replace(run, panels=(*run.panels, lost, note))
    for export in (Latex(LatexOptions()), Figures(FiguresOptions())):
        told = [(one.what, one.why) for one in export.files(changed) if isinstance(one, LeftOut)]
        assert [one for one in told if one not in list(_left_out(export, run))] == [
            ("a part of the report (Not shown)", "A table is lost. Nothing else is")
        ]


def _left_out(export: Latex | Figures, run: ExportedRun) -> Iterator[tuple[str, str]]:
    yield from ((one.what, one.why) for one in export.files(run) if isinstance(one, LeftOut))


def test_units_of_what_the_report_has_words_for(results: Results, tmp_path: Path) -> None:
    assert headline_units(results)["refusal_score"] == "share"
    pairs = replace(results, records=tuple(r for r in results.records if "pair" in r.axes))
    files = made(ExportedRun(pairs, tmp_path, ()))
    (text,) = (text for path, text in files.items() if path.startswith("pair-web"))
    assert "Units: cosine (cosine of activations); ratio (overlap of latents)." in text


@pytest.mark.parametrize("page", [40, 110])
def test_a_wide_table_loses_no_column(run: ExportedRun, page: int) -> None:
    heads = [f"head {number}" for number in range(30)]
    rows = [[f"{row}.{number}" for number in range(30)] for row in range(5)]
    tables = read(made(with_grid(run, Grid("wide", heads, rows)), page=page))["own-wide.tex"]
    assert len(tables) > 2
    assert cells(tables) == [heads, *rows]
    assert all(part[0][0] == "head 0" for part in tables)


@pytest.mark.parametrize("count", [39, 41, 200])
def test_a_long_table_runs_over_pages(run: ExportedRun, count: int) -> None:
    rows = [[f"row {number}", number] for number in range(count)]
    text = made(with_grid(run, Grid("long", ["what", "n"], rows)))["own-long.tex"]
    long = count > 40
    assert ("longtable" in text.split("\n", 2)[2]) == long
    assert ("\\begin{table}" in text) != long
    ((*found,),) = read({"own-long.tex": text, "all.tex": "\\input{own-long}"})["own-long.tex"]
    assert found == [["what", "n"]] * (1 + long) + [[f"row {n}", f"{n}"] for n in range(count)]


@pytest.mark.slow
@given(st.lists(st.lists(st.text("ab. 0", max_size=70), min_size=3, max_size=3), max_size=6),
       st.integers(40, 200))  # fmt: skip
def test_parts_fit_and_have_every_column(rows: list[list[str]], page: int) -> None:
    found = columns(["a", "b", "c"], rows)
    groups = parts(found, page)
    assert sorted({column.place for group in groups for column in group}) == [0, 1, 2]
    for group in groups:
        assert width(group) <= page or len(group) <= 2
        assert group[0].place == 0


def test_long_texts_wrap_and_numbers_stand_at_the_right(run: ExportedRun) -> None:
    rows = [["a text " * 20, 0.123456, None, True], ["b", -3, "4,502", False]]
    text = made(with_grid(run, Grid("mixed", ["text", "x", "n", "yes"], rows)))["own-mixed.tex"]
    assert r"{>{\raggedright\arraybackslash}p{14em}rrl}" in text
    (table,) = read({"own-mixed.tex": text, "all.tex": "\\input{own-mixed}"})["own-mixed.tex"]
    assert [row[1:] for row in table[1:]] == [["0.12", "", "yes"], ["-3", "4,502", "no"]]


def test_the_caption_says_which_run_and_whether_it_is_invalid(run: ExportedRun) -> None:
    grid = Grid("small", ["a"], [["b"]], note="Of four prompts.")
    text = made(with_grid(run, grid))["own-small.tex"]
    assert "\\caption{Own: small. Run small, sae-harness 0.1.0.}\\label{tab:own-small}" in text
    assert "Of four prompts." in text
    invalid = made(invalid_run(with_grid(run, grid)))
    assert "This run is invalid: its numbers must not be used." in invalid["own-small.tex"]
    assert "(invalid run)" in invalid["all.tex"]


def test_a_caption_is_short_enough_for_tex(run: ExportedRun) -> None:
    """TeX measures a caption on one line, and no line is longer than 16,383 points."""
    odd = with_grid(run, Grid("W" * 5000, ["a"], [["b"]]), Grid("中" * 5000, ["a"], [["b"]]))
    named = replace(odd, results=replace(odd.results, task={"name": "W" * 5000}))
    for path, text in made(named).items():
        for caption in re.findall(r"\\caption\{(.*)\}\\label", text):
            assert len(plain_text(caption)) * 10.3 < 16_383, path


def test_two_tables_of_one_title_and_a_table_of_nothing(run: ExportedRun) -> None:
    one, empty = Grid("a", ["x"], [["1"]]), Grid("empty", ["x"], [])
    assert [*made(with_grid(run, one, empty, one))] == ["own-a.tex", "own-a-2.tex", "all.tex"]


def test_closed_tables_are_left_out_unless_asked_for(run: ExportedRun) -> None:
    closed = with_grid(run, Grid("a", ["x"], [["1"]]), Grid("b", ["x"], [["1"]], folded=True))
    found = list(Latex(LatexOptions()).files(closed))
    assert [one.what for one in found if isinstance(one, LeftOut)] == ["1 table"]
    assert [*made(closed, folded=True)] == ["own-a.tex", "own-b.tex", "all.tex"]
    only = with_grid(run, Grid("b", ["x"], [["1"]], folded=True))
    with pytest.raises(DataError, match="no table that is open: set folded=true"):
        made(only)
    with pytest.raises(DataError, match=r"no table\. Export a run"):
        made(replace(with_grid(run), panels=[Panel("p", [Prose("x")])]))


# ── The reader itself, and TeX ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "broken",
    [
        "a & b \\\\", "a", "{a \\\\", "a} \\\\", "a_b \\\\", "5% \\\\", "$x$ \\\\", "#1 \\\\",
        "[a] \\\\", "\\input{x} \\end{tabular} \\\\", "\\write18{x} \\\\", "é \\\\", "a^^M \\\\",
        "\\begin{verbatim} \\\\", "\\def{} \\\\", "\\( \\\\",
    ],
)  # fmt: skip
def test_the_reader_refuses_what_is_broken(broken: str) -> None:
    table = f"\\begin{{tabular}}{{l}}\n{broken}\n\\end{{tabular}}\n"
    with pytest.raises(ValueError, match=r"^x\.tex: |ascii"):
        read_tables({"x.tex": table.encode(), "all.tex": b"\\input{x}\n"})


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="there is no pdflatex here")
def test_tex_makes_a_document_of_it(run: ExportedRun, tmp_path: Path) -> None:
    wide = Grid("wide", [f"c{n}" for n in range(30)], [["x"] * 30] * 50)
    evil = hostile_run(replace(run, panels=[*run.panels, Panel("more", [wide])]))
    for path, text in made(evil).items():
        (tmp_path / path).write_text(text)
    command = ["pdflatex", "-draftmode", "-interaction=nonstopmode", "-halt-on-error", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
