"""Makes hostile text harmless for a terminal, a page or a file: what a model writes is hostile."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from textwrap import wrap

_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories that do something to a terminal, or show nothing."""


_LONGEST_PATH = 4096
"""Characters of the longest path that there is."""
LONGEST = 4000
"""Characters of a text that are shown; what a model writes may have a million on one line."""

_JOINER = "\u200d"
"""Holds emoji together and hides nothing."""


def for_terminal(text: str, longest: int = 200) -> str:
    """The text on one line, without control, formatting or bidirectional characters.

    Cuts at `longest` characters. Markup is the caller's to switch off: print with markup=False.
    """
    cut = text[: longest + 1]
    # What is printable is in no category that is hidden.
    shown = cut if cut.isprintable() else "".join(_shown(char) for char in cut)
    return shown if len(cut) <= longest else f"{shown[:longest]}…"


def shown_path(path: object) -> str:
    """A path on one line without such characters, and never cut: half a path is of no use."""
    return for_terminal(str(path), _LONGEST_PATH)


def well_formed(text: str) -> str:
    """The text with lone surrogates as U+FFFD: no tokenizer, no table and no UTF-8 takes them."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def visible(text: object, longest: int = LONGEST) -> str:
    """The text with control, formatting and bidirectional characters made visible, for a page.

    Line ends and tabs stay as they are, and markup is the page's to escape. A long text is cut,
    and says so.
    """
    whole = str(text)
    kept = whole[:longest]
    # Most texts hide nothing, and a page has a million characters.
    plain = kept.replace("\n", "").replace("\t", "").isprintable()
    shown = kept if plain else "".join(map(_pictured, kept))
    if len(whole) <= longest:
        return shown
    return f"{shown}… [cut here: {len(whole):,} characters in all]"


def _pictured(char: str) -> str:
    if char in "\n\t" or char == _JOINER:
        return char
    category = unicodedata.category(char)
    if category not in _HIDDEN:
        return char
    if ord(char) < 0x20:
        # The Unicode pictures of control characters, such as ␛.
        return chr(0x2400 + ord(char))
    return f"[U+{ord(char):04X}]"


def sheet(title: str, rows: Sequence[tuple[str, str]], width: int = 80, lines: int = 24) -> str:
    """A title with rows of a word and what it is, on one screen: how objects show themselves.

    A text may fill two lines where there is room for it, and is cut at their end; rows beyond
    `lines` lines are counted in the last one.
    """
    kept = rows if len(rows) < lines else rows[: lines - 2]
    each = 2 if 2 * len(kept) < lines else 1
    column = max((len(for_terminal(word, 30)) for word, _ in kept), default=0)
    shown = [for_terminal(title, width - 1)]
    for word, text in kept:
        written = wrap(
            for_terminal(text, 4 * width), width - column - 4, max_lines=each, placeholder=" …"
        )
        shown.append(f"  {for_terminal(word, 30):{column}}  {(written or [''])[0]}".rstrip())
        shown += [f"  {'':{column}}  {line}" for line in written[1:]]
    if len(kept) < len(rows):
        shown.append(f"  … and {len(rows) - len(kept)} more")
    return "\n".join(shown)


def sheet_html(title: str, rows: Sequence[tuple[str, str]]) -> str:
    """The same as a table of HTML, of which nothing is cut; everything in it is escaped."""
    cells = "".join(
        f'<tr><th scope="row" style="text-align:left">{_html(word)}</th>'
        f'<td style="text-align:left">{_html(text)}</td></tr>'
        for word, text in rows
    )
    return f"<div><p><strong>{_html(title)}</strong></p><table>{cells}</table></div>"


def _html(text: str) -> str:
    from html import escape

    return escape(for_terminal(text, 2000))


def _shown(char: str) -> str:
    if char in "\n\r\t":
        return " "
    return "�" if unicodedata.category(char) in _HIDDEN else char
