"""Makes text from elsewhere fit for tables. It stays hostile: whoever shows it escapes it."""

from __future__ import annotations

from harness.text import well_formed

LONGEST = 2000
"""Characters of a description that are kept."""


def tidy(text: str, longest: int = LONGEST) -> str:
    """Stripped, cut at `longest` characters, lone surrogates as U+FFFD: no table takes them."""
    return well_formed(text.strip()[:longest])
