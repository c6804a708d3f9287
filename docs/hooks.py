"""What mkdocs asks while it builds the site: which pages there are, and their text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from generator import site

ROOT = Path(__file__).resolve().parents[1]


def on_config(config: Any) -> Any:
    """Leaves pages out of the navigation that are still to be written (`extra.coming`)."""
    coming = {
        name for name in config.extra.get("coming", ()) if not (ROOT / site.DOCS / name).is_file()
    }
    config.nav = _without(config.nav, coming)
    return config


def on_files(files: Any, config: Any) -> Any:
    """Adds what pages link to outside of docs/."""
    from mkdocs.structure.files import File

    for at, source in site.added(ROOT).items():
        files.append(File.generated(config, at, content=site.page(ROOT, source)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """The text of a page that lies in docs/; those that were added have theirs."""
    if page.file.generated_by is not None:
        return markdown
    return site.page(ROOT, site.DOCS / page.file.src_uri)


def _without(nav: Any, names: set[str]) -> Any:
    """A navigation without some pages: lists of pages, and of sections with such lists."""
    kept = []
    for entry in nav:
        ((title, inside),) = entry.items()
        if isinstance(inside, list):
            kept.append({title: _without(inside, names)})
        elif inside not in names:
            kept.append(entry)
    return kept
