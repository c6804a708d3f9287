"""Reads the LaTeX of this export more strictly than TeX does: what is not known is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from harness_exports.latex import escape

_TOKEN = re.compile(r"(?m)^%.*\n|\\[A-Za-z]+|\\.|[{}&$#^_~\[\]%]|[^\\{}&$#^_~\[\]%]+")
_ENVIRONMENTS = {"table", "tabular", "longtable", "minipage", "document"}
_LAYOUT = {
    "documentclass", "usepackage", "begin", "end", "section", "input", "clearpage", "centering",
    "footnotesize", "setlength", "tabcolsep", "caption", "label", "toprule", "midrule",
    "bottomrule", "par", "medskip", "begingroup", "endgroup", "endfirsthead", "endhead", "endfoot",
    "allowbreak", "smallskip", "linewidth", "noindent", "raggedright",
    "arraybackslash", "ensuremath",
}  # fmt: skip
_LETTERS = {
    word
    for text in (*escape._SPECIAL.values(), *escape._MATHS.values())
    for word in re.findall(r"\\([A-Za-z]+)", text)
} | {*escape._GREEK.values(), *(one for one in escape._ACCENTS.values() if one.isalpha())}
_SYMBOLS = {*"\\{}$&#%_|*", *(one for one in escape._ACCENTS.values() if not one.isalpha())}
_RULES = ("\\toprule", "\\midrule", "\\bottomrule", "\\endfirsthead", "\\endhead", "\\endfoot")

Rows = list[list[str]]


def read_tables(files: Mapping[str, bytes]) -> dict[str, list[Rows]]:
    """By path, the tables in each file, as rows of cells of LaTeX; a long table has its head twice.

    ValueError where braces or environments do not match, a command is none of those that the export
    writes, a character is not ASCII or has a meaning that it must not have, or a row has more or
    fewer cells than its table has columns.
    """
    found = {}
    for path, content in files.items():
        text = content.decode("ascii")
        _balanced(path, text)
        found[path] = list(_tables(path, text))
    taken = re.findall(r"\\input\{([^}]*)\}", files["all.tex"].decode("ascii"))
    if {f"{name}.tex" for name in taken} | {"all.tex"} != set(files):
        raise ValueError("all.tex does not take in every file")
    return found


def _balanced(path: str, text: str) -> None:
    open_braces: list[int] = []
    environments: list[str] = []
    tokens = [one for one in _TOKEN.findall(text) if not re.match(r"%.*\n", one)]
    if "".join(_TOKEN.findall(text)) != text or re.search(r"[^\n -~]", text):
        raise ValueError(f"{path}: has characters that are not allowed")
    maths = 0
    for place, token in enumerate(tokens):
        before = tokens[place - 1] if place else ""
        match token:
            case "{":
                open_braces.append(place)
                maths += maths > 0 or before == "\\ensuremath"
            case "}":
                if not open_braces:
                    raise ValueError(f"{path}: a brace is closed that was not opened")
                open_braces.pop()
                maths -= maths > 0
            case "\\begin" | "\\end":
                name = tokens[place + 2]
                if name not in _ENVIRONMENTS:
                    raise ValueError(f"{path}: the environment {name}")
                if token == "\\begin":
                    environments.append(name)
                elif not environments or environments.pop() != name:
                    raise ValueError(f"{path}: \\end{{{name}}} has no \\begin")
            case "^" | "_":
                if not maths:
                    raise ValueError(f"{path}: {token} outside of mathematics")
            case "$" | "#" | "%":
                raise ValueError(f"{path}: a bare {token}")
            case "&":
                if not {"tabular", "longtable"} & {*environments[-1:]} or open_braces:
                    raise ValueError(f"{path}: & outside of a row")
            case "[" if before not in ("{", "}", "\\documentclass", "\\usepackage"):
                raise ValueError(f"{path}: a bare [")
            case _ if token[0] == "\\":
                known = _LAYOUT | _LETTERS if token[1:].isalpha() else _SYMBOLS
                if token[1:] not in known:
                    raise ValueError(f"{path}: the command {token}")
    if open_braces or environments:
        raise ValueError(f"{path}: what is opened is not closed")


def _tables(path: str, text: str) -> Iterator[Rows]:
    kinds = r"\\begin\{(tabular|longtable)\}\{((?:[^{}]|\{[^{}]*\})*)\}\n(.*?)\\end\{\1\}"
    for _, setting, body in re.findall(kinds, text, re.DOTALL):
        plain = re.sub(r">\{\\raggedright\\arraybackslash\}p\{[\d.]+em\}", "l", setting)
        if not re.fullmatch("[lr]+", plain):
            raise ValueError(f"{path}: columns {setting}")
        rows = []
        for line in body.splitlines():
            if line in _RULES or line.startswith("\\caption{"):
                continue
            if not line.endswith(r" \\"):
                raise ValueError(f"{path}: a row without an end: {line[:80]}")
            cells = line.removesuffix(r" \\").split(" & ")
            if len(cells) != len(plain):
                raise ValueError(f"{path}: {len(cells)} cells in {len(plain)} columns: {line[:80]}")
            rows.append(cells)
        yield rows
