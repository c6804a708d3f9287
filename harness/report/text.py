"""Makes hostile text readable in HTML. Escaping is jinja2's; this shows what would hide."""

from __future__ import annotations

import unicodedata

LONGEST = 4000
"""Characters of a text that are shown; what a model writes may have a million on one line."""

_JOINER = "\u200d"
"""Holds emoji together and hides nothing."""


def visible(text: object, longest: int = LONGEST) -> str:
    """The text with control, formatting and bidirectional characters made visible.

    Line ends and tabs stay as they are. A long text is cut, and says so.
    """
    whole = str(text)
    shown = "".join(map(_shown, whole[:longest]))
    if len(whole) <= longest:
        return shown
    return f"{shown}… [cut here: {len(whole):,} characters in all]"


def _shown(char: str) -> str:
    if char in "\n\t" or char == _JOINER:
        return char
    category = unicodedata.category(char)
    if category not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
        return char
    if ord(char) < 0x20:
        # The Unicode pictures of control characters, such as ␛.
        return chr(0x2400 + ord(char))
    return f"[U+{ord(char):04X}]"
