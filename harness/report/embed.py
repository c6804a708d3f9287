"""Puts figures and scripts into the page so that nothing in them can become anything else."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from harness.results.write import strict_json
from harness.text import visible

_LABEL = 300
"""Characters of one text in a figure that are shown."""

_LAYOUT: dict[str, Any] = {
    "font": {"family": "system-ui, sans-serif", "size": 13, "color": "#6b7280"},
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "margin": {"l": 52, "r": 12, "t": 8, "b": 44},
    "height": 380,
    "autosize": True,
    "hovermode": "closest",
    "dragmode": False,
    "hoverlabel": {"namelength": -1},
    "legend": {
        "orientation": "h",
        "yref": "container",
        "y": 0,
        "yanchor": "bottom",
        "x": 0,
        "xanchor": "left",
    },
    "xaxis": {"zeroline": False, "gridcolor": "rgba(128,128,128,0.25)", "automargin": True},
    "yaxis": {"zeroline": False, "gridcolor": "rgba(128,128,128,0.25)", "automargin": True},
}


def neutral(value: Any) -> Any:
    """Plain JSON whose texts plotly shows as they are: it reads a little HTML in them.

    Numbers that are not finite become null.
    """
    return strict_json(value, lambda text: escape(visible(text, _LABEL), quote=False))


def plotly_figure(data: Iterable[Mapping[str, Any]], layout: Mapping[str, Any]) -> dict[str, Any]:
    """A figure as plotly takes it: harmless, in the looks of the report."""
    return {
        "data": [neutral(dict(trace)) for trace in data],
        "layout": _merged(_LAYOUT, neutral(dict(layout))),
    }


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(base)
    for key, value in over.items():
        inner = both.get(key)
        nested = isinstance(inner, Mapping) and isinstance(value, Mapping)
        both[key] = _merged(inner, value) if nested else value  # type: ignore[arg-type]
    return both


def script_json(value: Any) -> Markup:
    """JSON that stays inside its `<script>`, whatever it holds. ASCII alone: no U+2028."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True)
    for char in "<>&":
        text = text.replace(char, f"\\u{ord(char):04x}")
    # Entities mean nothing inside a script: escaping is done, and jinja2 must not do it again.
    return Markup(text)


def resource(name: str) -> str:
    """A file of the templates."""
    return (files("harness.report") / "templates" / name).read_text(encoding="utf-8")


def plotly_script() -> str:
    """Plotly's own script, as the package ships it."""
    from plotly.offline import get_plotlyjs

    script = str(get_plotlyjs())
    # Browsers turn CR LF into LF before they hash; none of these may end our element.
    if "\r" in script or "</script" in script.lower() or "<!--" in script:
        raise AssertionError("plotly's script cannot stand inside an HTML page")
    return script


def policy(scripts: Iterable[str]) -> str:
    """The Content-Security-Policy under which exactly these inline scripts run."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes or chr(39) + 'none' + chr(39)}; "
        "style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )
