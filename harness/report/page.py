"""Puts the page together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.contract.results import Results
from harness.drawing import source
from harness.registry import Registry
from harness.report.blocks import Block, Browser, Chart, Table, prepared
from harness.report.completions import completions_of
from harness.report.embed import plotly_script, policy, resource
from harness.report.panels import Shown, damaged, panels, shown
from harness.report.top import top
from harness.results.headline import headline_tables
from harness.results.read import load_results
from harness.results.tables import without_damaged
from harness.store.files import write_text
from harness.text import visible

FILE = "report.html"
MOST = 2_000_000
"""Bytes of a page. Without plotly, only its completions are that many."""
LEAST = 200_000
"""Characters that completions get in any case."""
_ALL, _BESIDE = "All completions", 40
"""The heading of what can be looked through, and its place: where sections show completions."""
_PLACE = "<!-- completions -->"
"""Stands in the page where they come. Nothing else can write it: all that is shown is escaped."""


def write_report(folder: Path, registry: Registry, results: Results | None = None) -> Path:
    """Writes `report.html` into a run's folder, from what lies there, and returns its path.

    Raises DataError where the folder holds no run.
    """
    found = load_results(folder) if results is None else results
    file = Path(folder) / FILE
    write_text(file, render(found, registry))
    return file


def render(results: Results, registry: Registry) -> str:
    """The whole page, as text. Tables that are damaged have a note in their place."""
    results, lost = without_damaged(results)
    found = sorted([*panels(results, registry), *damaged(lost)], key=lambda panel: panel.order)
    task = results.task
    run = source(results)
    sections = shown(found, run)
    if (written := completions_of(results)) is not None:
        browser = Browser(cast(Table, prepared(written.first())), written)
        sections.append(Shown(_ALL, (browser,), _BESIDE))
    return page(
        "report.html",
        sorted(sections, key=lambda section: section.order),
        top=top(results, found, run),
        source=visible(task.get("source") or "", 500),
        name=visible(task.get("name") or "", 200),
        facts=_facts(results),
        **_headline(results),
    )


def page(template: str, sections: Sequence[Shown], **content: Any) -> str:
    """A page with these sections, as text; `content` is what else its template names.

    Completions get the room that all else leaves of `MOST`, and at least `LEAST`.
    """
    above = content["top"].figures if "top" in content else ()
    blocks = [*above, *(block for section in sections for block in section.blocks)]
    scripts = list(_scripts(blocks)) if sections else []
    text = _environment().get_template(template).render(
        sections=sections,
        policy=policy(scripts),
        # The one place where text is not escaped: files of ours, and plotly's.
        style=Markup(resource("report.css")),
        scripts=[Markup(script) for script in scripts],
        place=Markup(_PLACE),
        **content,
    )  # fmt: skip
    # What no encoding can write is not worth losing a report for.
    text = text.encode("utf-8", "replace").decode("utf-8")
    written = next((block for block in blocks if isinstance(block, Browser)), None)
    if written is None:
        return text
    before, after = text.split(_PLACE)
    room = max(MOST - len(text.encode("utf-8")), LEAST)
    # Not `+`: it would escape what stands beside markup.
    return "".join((before, written.completions.packed(room), after))


def _scripts(blocks: Sequence[Block]) -> Iterator[str]:
    """The scripts that these blocks need."""
    charts = [block for block in blocks if isinstance(block, Chart)]
    yield resource("page.js")
    if charts:
        yield resource("figures.js")
    if any(chart.plotly is not None for chart in charts):
        yield plotly_script()
        yield resource("draw.js")
    if any(isinstance(block, Browser) for block in blocks):
        yield resource("browser.js")


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
