"""Makes hostile text harmless for a terminal or a file. What a model writes is hostile text."""

from __future__ import annotations

import unicodedata

_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories that do something to a terminal, or show nothing."""


def for_terminal(text: str, longest: int = 200) -> str:
    """The text on one line, without control, formatting or bidirectional characters.

    Cuts at `longest` characters. Markup is the caller's to switch off: print with markup=False.
    """
    cut = text[: longest + 1]
    shown = "".join(_shown(char) for char in cut)
    return shown if len(cut) <= longest else f"{shown[:longest]}…"


def well_formed(text: str) -> str:
    """The text with lone surrogates as U+FFFD: no tokenizer, no table and no UTF-8 takes them."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _shown(char: str) -> str:
    if char in "\n\r\t":
        return " "
    return "�" if unicodedata.category(char) in _HIDDEN else char
