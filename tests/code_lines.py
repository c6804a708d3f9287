"""How many lines of code there are, without docstrings, comments and blank lines.

Run it: `python tests/code_lines.py [FOLDER…]` (`harness` and `plugins` unless told otherwise).
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import Counter
from pathlib import Path

_LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(text: str) -> int:
    """Lines of a module on which code stands; a string that is a statement is documentation."""
    documentation = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    code: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _LAYOUT:
            code.update(range(token.start[0], token.end[0] + 1))
    return len(code - documentation)


def main(folders: list[str]) -> None:
    """Prints the lines of each package, and of all."""
    found: Counter[str] = Counter()
    for folder in folders:
        for file in sorted(Path(folder).rglob("*.py")):
            if file.name != "samples.py" and "templates" not in file.parts:
                room = "/".join(file.parts[: 2 if len(file.parts) < 4 else 3])
                found[room] += code_lines(file.read_text(encoding="utf-8"))
    for room, lines in sorted(found.items()):
        print(f"{lines:6} {room}")
    print(f"{sum(found.values()):6} in all")


if __name__ == "__main__":
    main(sys.argv[1:] or ["harness", "plugins"])
