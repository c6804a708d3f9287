"""What mkdocs asks while it builds the site: which pages there are, and their text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from generator import site

ROOT = Path(__file__).resolve().parents[1]


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
