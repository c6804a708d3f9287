"""Any text as LaTeX that shows it and does nothing else: ASCII that every engine reads alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from harness.text import visible

LONGEST = 400
"""Characters of a cell or a title that are kept."""
_SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "%": r"\%", "_": r"\_", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}",
    '"': r"\char34{}", "[": "{[}", "]": "{]}", "*": "{*}",
    "–": r"\textendash{}", "—": r"\textemdash{}", "…": r"\ldots{}", "·": r"\textperiodcentered{}",
    "“": r"\textquotedblleft{}", "”": r"\textquotedblright{}", "‘": r"\textquoteleft{}",
    "’": r"\textquoteright{}", "•": r"\textbullet{}", "§": r"\S{}", "©": r"\copyright{}",
    "\u00a0": "~", "ß": r"\ss{}", "ø": r"\o{}", "Ø": r"\O{}", "æ": r"\ae{}", "Æ": r"\AE{}",
    "œ": r"\oe{}", "Œ": r"\OE{}", "ł": r"\l{}", "Ł": r"\L{}", "ı": r"\i{}",
}  # fmt: skip
"""Brackets and the asterisk are special after the end of a row of a table."""
_MATHS = {
    "−": "-", "×": r"\times", "÷": r"\div", "±": r"\pm", "≤": r"\le", "≥": r"\ge", "≠": r"\ne",
    "≈": r"\approx", "→": r"\rightarrow", "←": r"\leftarrow", "↔": r"\leftrightarrow",
    "∞": r"\infty", "√": r"\surd", "∑": r"\sum", "∈": r"\in", "‖": r"\|", "°": r"^\circ",
    "²": "^2", "³": "^3", "¹": "^1", "₀": "_0", "₁": "_1", "₂": "_2", "½": r"\frac12",
    "µ": r"\mu", "∆": r"\Delta", "✓": r"\surd",
}  # fmt: skip
_GREEK = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "varepsilon", "ζ": "zeta",
    "η": "eta", "θ": "theta", "κ": "kappa", "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi",
    "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "varphi", "χ": "chi", "ψ": "psi",
    "ω": "omega", "Γ": "Gamma", "Δ": "Delta", "Θ": "Theta", "Λ": "Lambda", "Ξ": "Xi", "Π": "Pi",
    "Σ": "Sigma", "Φ": "Phi", "Ψ": "Psi", "Ω": "Omega",
}  # fmt: skip
_ACCENTS = {
    "\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0308": '"', "\u0304": "=",
    "\u0306": "u", "\u0307": ".", "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c",
}  # fmt: skip
_LIGATURES = re.compile(r"(?<=[-,'])(?=[-,'])|(?<=[?!])(?=\\textasciigrave)")
"""Where two characters would become one: `--` is a dash."""


def escaped(text: object, longest: int = LONGEST, breaks: int | None = None) -> str:
    """The text on one line, as LaTeX. What has no letter in LaTeX is named: `[U+4E2D]`.

    Inside a word that is longer than `breaks` characters a line may break, after punctuation or
    else after so many: then nothing sticks out of a column.
    """
    named = "".join(char if _letter(char) else f"[U+{ord(char):04X}]" for char in visible(text))
    line = " ".join(visible(named, longest).split())
    words = ["".join(_letters(word, breaks or len(word))) for word in line.split(" ")]
    return _LIGATURES.sub("{}", " ".join(words))


def _letters(word: str, breaks: int) -> Iterator[str]:
    """The letters of a word, with places where a line may break if it is long."""
    since = 0
    for place, char in enumerate(word):
        if place and since >= breaks:
            yield r"\allowbreak{}"
            since = 0
        yield _letter(char)
        since += 1
        if len(word) > breaks and char in "./_,;:=@-" and since > 3:
            since = breaks


def _letter(char: str) -> str:
    """One character as LaTeX; empty where LaTeX has no letter for it."""
    if (known := _SPECIAL.get(char)) is not None:
        return known
    if maths := _MATHS.get(char) or (char in _GREEK and f"\\{_GREEK[char]}"):
        return rf"\ensuremath{{{maths}}}"
    if char.isascii() and (char.isprintable() or char in "\n\t"):
        return char
    parts = unicodedata.normalize("NFD", char)
    if len(parts) == 2 and parts[0].isascii() and parts[0].isalpha() and parts[1] in _ACCENTS:
        return rf"\{_ACCENTS[parts[1]]}{{{parts[0]}}}"
    return ""


def comment(text: object) -> str:
    """The text as a comment of one line."""
    line = " ".join(visible(text, LONGEST).split())
    return f"% {line.encode('ascii', 'replace').decode('ascii')}"
