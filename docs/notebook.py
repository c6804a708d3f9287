"""Runs docs/notebook.ipynb and writes what its cells show: `python docs/notebook.py`.

It runs in this process: no Jupyter is needed. A cell is run as Jupyter runs it: what its last line
is, is shown, as a table where it has one, a figure as a picture.
"""

from __future__ import annotations

import ast
import contextlib
import copy
import io
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_suffix(".ipynb")


def executed(notebook: dict[str, Any]) -> dict[str, Any]:
    """A notebook whose cells were run in order, in the working folder, with what they show.

    What a cell raises is raised: a notebook is whole or is none.
    """
    found = copy.deepcopy(notebook)
    names: dict[str, Any] = {"__name__": "__main__"}
    count = 0
    for cell in found["cells"]:
        if cell["cell_type"] == "code":
            count += 1
            cell["execution_count"] = count
            cell["outputs"] = _outputs("".join(cell["source"]), names, count)
    return found


def shown(value: object) -> dict[str, list[str]]:
    """How Jupyter would show a value, by kind of text; a figure of plotly as the picture of it."""
    forms = {"text/plain": repr(value)}
    if hasattr(value, "to_plotly_json"):
        from harness.contract import Figure
        from harness.drawing import svg

        drawn = json.loads(value.to_json())
        title = drawn["layout"].get("title", {}).get("text", "")
        figure = Figure(title, "", drawn["data"], drawn["layout"])
        forms = {"text/plain": "Figure", "image/svg+xml": svg(figure, ())}
    elif html := getattr(value, "_repr_html_", None):
        forms["text/html"] = html()
    return {kind: text.splitlines(keepends=True) for kind, text in forms.items()}


def _outputs(code: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    body = ast.parse(code).body
    last = body.pop() if body and isinstance(body[-1], ast.Expr) else None
    printed, value = io.StringIO(), None
    with contextlib.redirect_stdout(printed):
        exec(compile(ast.Module(body, []), "<cell>", "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)
    found: list[dict[str, Any]] = []
    if text := printed.getvalue():
        lines = text.splitlines(keepends=True)
        found.append({"output_type": "stream", "name": "stdout", "text": lines})
    if value is not None:
        found.append({"output_type": "execute_result", "execution_count": count, "metadata": {},
                      "data": shown(value)})  # fmt: skip
    return found


def main() -> None:
    """Runs it in an empty folder, and writes it anew."""
    notebook = json.loads(FILE.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        text = json.dumps(executed(notebook), indent=1, ensure_ascii=False)
    # Where this repository lies on this machine is nobody's business.
    FILE.write_text(text.replace(f"{FILE.parents[1]}/", "") + "\n", encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")


if __name__ == "__main__":
    main()
