"""Puts the page together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.contract.results import Results
from harness.registry import Registry
from harness.report.blocks import prepared
from harness.report.embed import plotly_script, policy, resource
from harness.report.panels import Shown, panels, shown
from harness.report.top import top
from harness.results.headline import headline_tables
from harness.results.read import load_results
from harness.store.files import write_text
from harness.text import visible

FILE = "report.html"


def write_report(folder: Path, registry: Registry, results: Results | None = None) -> Path:
    """Writes `report.html` into a run's folder, from what lies there, and returns its path.

    Raises DataError where the folder holds no run.
    """
    found = load_results(folder) if results is None else results
    file = Path(folder) / FILE
    write_text(file, render(found, registry))
    return file


def render(results: Results, registry: Registry) -> str:
    """The whole page, as text."""
    found = panels(results, registry)
    task = results.task
    return page(
        "report.html",
        shown(found),
        top=top(results, found),
        source=visible(task.get("source") or "", 500),
        name=visible(task.get("name") or "", 200),
        facts=_facts(results),
        **_headline(results),
    )


def page(template: str, sections: Sequence[Shown], **content: Any) -> str:
    """A page with these sections, as text; `content` is what else its template names."""
    charts = any(block.block == "chart" for section in sections for block in section.blocks)
    scripts = [plotly_script(), resource("draw.js")] if charts else []
    page = _environment().get_template(template).render(
        sections=sections,
        policy=policy(scripts),
        # The one place where text is not escaped: files of ours, and plotly's.
        style=Markup(resource("report.css")),
        scripts=[Markup(script) for script in scripts],
        **content,
    )  # fmt: skip
    # What no encoding can write is not worth losing a report for.
    return page.encode("utf-8", "replace").decode("utf-8")


def fragment(results: Results) -> str:
    """Title, status and headline alone, for a notebook."""
    template = _environment().get_template("headline.html")
    return template.render(records=len(results.records), **_headline(results))


def _headline(results: Results) -> dict[str, Any]:
    """What the page and the fragment begin with."""
    task = results.task
    return {
        "title": visible(task.get("title") or task.get("name") or "A run", 500),
        "status": results.status,
        "problems": list(map(visible, results.problems)),
        "warnings": list(map(visible, results.warnings)),
        "headline": list(map(prepared, headline_tables(results))),
    }


def _facts(results: Results) -> list[str]:
    """The small print below the title."""
    facts = [f"{len(results.records)} records", f"seed {results.task.get('seed', 0)}"]
    if version := results.provenance.get("harness"):
        facts.append(f"sae-harness {version}")
    return [visible(fact, 200) for fact in facts]


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("harness.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
