"""The site: all pages are in its navigation, links lead somewhere, pages look as on GitHub."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
for folder in (ROOT / "docs", ROOT / "tests"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from generator import site  # noqa: E402

from website import links, outline  # noqa: E402

CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
PAGES = sorted(file.name for file in (ROOT / "docs").glob("*.md"))
PLUGIN = PurePosixPath("tests/thirdparty/acme-harness")
needs_mkdocs = pytest.mark.skipif(
    importlib.util.find_spec("material") is None, reason="mkdocs-material is not installed: [docs]"
)


def navigated(nav: Any) -> Iterator[str]:
    """The pages of a navigation, in its order."""
    for entry in nav:
        for inside in entry.values():
            yield from navigated(inside) if isinstance(inside, list) else [inside]


# ── Navigation ───────────────────────────────────────────────────────────────────────────────────


def test_every_page_is_in_the_navigation_once() -> None:
    found = list(navigated(CONFIG["nav"]))
    assert len(found) == len(set(found))
    assert not set(PAGES) - set(found), "mkdocs.yml: nav: a page of docs/ is missing"


def test_every_entry_of_the_navigation_is_there() -> None:
    assert set(navigated(CONFIG["nav"])) <= {*PAGES, *site.added(ROOT)}


# ── The site, built ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `mkdocs build --strict` writes it."""
    out = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(out)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "WARNING" not in done.stderr
    return out


@pytest.mark.slow
@needs_mkdocs
def test_links_lead_somewhere_and_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    assert not list(links.broken(built))


@pytest.mark.slow
@needs_mkdocs
def test_pages_have_the_blocks_that_github_shows(built: Path) -> None:
    """Python-Markdown ends lists and tables where CommonMark goes on; no page depends on it."""
    named = {PurePosixPath("docs") / name: name for name in PAGES}
    pages = {**named, **{source: at for at, source in site.added(ROOT).items()}}
    compared = 0
    for source, at in pages.items():
        if source.suffix == ".md":
            text = (ROOT / source).read_text(encoding="utf-8")
            shown = (built / at).with_suffix(".html").read_text(encoding="utf-8")
            assert outline.of_html(shown, "article") == outline.of_markdown(text), source
            compared += 1
    assert compared > 25


@pytest.mark.slow
@needs_mkdocs
def test_only_pages_are_in_the_site(built: Path) -> None:
    assert not [file for file in built.rglob("*") if file.suffix in (".py", ".parquet", ".pyc")]
    assert (built / "index.html").is_file()
    assert "acme_harness" in (built / "files" / PLUGIN / "index.html").read_text(encoding="utf-8")


# ── Pages ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("source", "at"),
    [
        ("docs/report.md", "report.md"),
        ("docs/report.png", "report.png"),
        ("docs/gallery/x/y.svg", "gallery/x/y.svg"),
        ("docs/notebook.ipynb", "notebook.md"),
        ("README.md", "index.md"),
        ("tasks/organism/MODEL_CARD.md", "files/tasks/organism/MODEL_CARD.md"),
        ("tasks/refusal.toml", "files/tasks/refusal.toml.md"),
        ("tasks/organism/tunes/README.md", "files/tasks/organism/tunes/readme.md"),
        ("docs/gallery", "gallery/index.md"),
        ("tasks/papers", "files/tasks/papers/index.md"),
    ],
)
def test_a_file_has_its_place(source: str, at: str) -> None:
    assert site.place(ROOT, PurePosixPath(source)) == at


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A repository with two pages, one file and one folder."""
    for name, text in {
        "README.md": "[one](docs/one.md#a-b) [task](tasks/a.toml) [all](tasks)\n",
        "docs/one.md": "# One\n\n[r](../README.md) `[x](y)` [web](https://a.b) [me](#one)\n",
        "tasks/a.toml": "text = '''\n```\n'''\n",
        "tasks/sub/CARD.md": "# Card\n\n[up](../a.toml)\n",
        "tasks/sub/.hidden": "",
        "other.md": "nobody links here\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "tasks" / "w.bin").write_bytes(b"\xff\x00")
    return tmp_path


def test_what_pages_link_to_is_added_and_nothing_else(small: Path) -> None:
    assert {at: str(source) for at, source in site.added(small).items()} == {
        "index.md": "README.md",
        "files/tasks/a.toml.md": "tasks/a.toml",
        "files/tasks/index.md": "tasks",
        "files/tasks/sub/CARD.md": "tasks/sub/CARD.md",
    }


def test_links_are_those_of_the_site(small: Path) -> None:
    assert site.page(small, PurePosixPath("README.md")) == (
        "[one](one.md#a-b) [task](files/tasks/a.toml.md) [all](files/tasks/index.md)\n"
    )
    assert site.page(small, PurePosixPath("docs/one.md")) == (
        "# One {#one}\n\n[r](index.md) `[x](y)` [web](https://a.b) [me](#one)\n"
    )
    card = site.page(small, PurePosixPath("tasks/sub/CARD.md"))
    assert card == "# Card {#card}\n\n[up](../a.toml.md)\n"


def test_a_folder_lists_its_files_and_a_file_shows_itself(small: Path) -> None:
    assert site.page(small, PurePosixPath("tasks")) == (
        "# `tasks/`\n\n- [`a.toml`](a.toml.md)\n- [`sub/CARD.md`](sub/CARD.md)\n- `w.bin`\n"
    )
    shown = site.page(small, PurePosixPath("tasks/a.toml"))
    assert shown == "# `tasks/a.toml`\n\n````toml\ntext = '''\n```\n'''\n````\n"


@pytest.mark.parametrize("link", ["nowhere.md", "../../outside.md"])
def test_a_link_to_nothing_is_said(small: Path, link: str) -> None:
    (small / "docs" / "one.md").write_text(f"[x]({link})\n", encoding="utf-8")
    with pytest.raises(ValueError, match=f"docs/one.md: a link to {link}, which is not in the"):
        site.added(small)


def test_headings_say_githubs_anchors_and_code_stays_as_it_is(small: Path) -> None:
    text = "# A `b`: c\n<!-- file: x -->\n```sh\n# no heading\n```\n\n## Same\n\n## Same\n\n# ?\n"
    assert site.rewritten(small, PurePosixPath("README.md"), text) == (
        "# A `b`: c {#a-b-c}\n```sh\n# no heading\n```\n\n## Same {#same}\n\n## Same {#same-1}\n\n"
        "# ?\n"
    )


def test_what_belongs_to_an_item_is_indented_for_python_markdown(small: Path) -> None:
    text = "- a\n  b\n\n  c\n- z\n- y\n\n1. d\n\n   e\n\nf\n  g\n"
    assert site.rewritten(small, PurePosixPath("README.md"), text) == (
        "- a\n    b\n\n    c\n\n- z\n- y\n\n1. d\n\n    e\n\nf\n  g\n"
    )


def test_code_stays_as_it_is_and_moves_with_its_item(small: Path) -> None:
    code = "````yaml\n- a\n  b\n```\n  c\n````\n"
    assert site.rewritten(small, PurePosixPath("README.md"), code) == code
    assert site.rewritten(small, PurePosixPath("README.md"), f"- x\n\n{code}") == f"- x\n\n{code}"
    inside = "- x\n\n  ```sh\n  - a\n    b\n  ```\n- y\n"
    assert site.rewritten(small, PurePosixPath("README.md"), inside) == (
        "- x\n\n    ```sh\n    - a\n      b\n    ```\n\n- y\n"
    )


def test_a_notebook_shows_its_words_its_code_and_what_that_showed(small: Path) -> None:
    def shown(**forms: str) -> dict[str, Any]:
        return {"data": {kind.replace("_", "/"): [text] for kind, text in forms.items()}}

    svg = {"data": {"image/svg+xml": ["<svg/>"], "text/plain": ["Figure"]}}
    outputs = [{"text": ["a\n", "b\n"]}, shown(text_plain="1", text_html="<p>\n\n</p>"), svg]
    cells = [
        {"cell_type": "markdown", "source": ["# T\n", "[r](../README.md)"]},
        {"cell_type": "code", "source": ["x"], "outputs": outputs},
    ]
    (small / "docs" / "n.ipynb").write_text(json.dumps({"cells": cells}), encoding="utf-8")
    assert site.page(small, PurePosixPath("docs/n.ipynb")) == (
        "# T {#t}\n[r](index.md)\n\n```python\nx\n```\n\n```text\na\nb\n```\n\n"
        "<div><p>\n</p></div>\n\n"
        "![What the cell shows](data:image/svg+xml;base64,PHN2Zy8+)\n"
    )
    assert site.added(small)["n.md"] == PurePosixPath("docs/n.ipynb")


# ── What looks at it ─────────────────────────────────────────────────────────────────────────────


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one.html").write_text(
        '<h1 id="x"></h1><a href="#x"></a><a href="../two.html#%C3%A4"></a><a href="#y"></a>'
        '<a href="https://a.b/c"></a><a href="no.html"></a><script src="https://cdn/x.js"></script>'
        '<img src="no.png"><link rel="stylesheet" href="//cdn/x.css"><img src="data:,x">'
    )
    (tmp_path / "two.html").write_text('<p id="ä"></p><a href="a/one.html#z"></a>')
    assert list(links.broken(tmp_path)) == [
        "a/one.html: loads https://cdn/x.js", "a/one.html: loads no.png",
        "a/one.html: loads //cdn/x.css", "a/one.html: #y: no such place", "a/one.html: no.html",
        "two.html: a/one.html#z: no such place",
    ]  # fmt: skip


def test_the_outline_tells_a_list_from_a_paragraph() -> None:
    assert outline.of_markdown("a\n- b\n") == {"ul": 1, "li": 1}
    assert outline.of_html("<ul></ul><article><p>a - b</p></article>", "article") == {}
