"""The pages of several runs: offline, harmless, and every row opens its own report."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from rich.console import Console

from harness.contract import ClaimOutcome, Record, Results
from harness.registry import Registry
from harness.report.embed import resource
from harness.several import gather
from harness.several.links import relative_link
from harness.several.listing import list_runs
from harness.several.page import write_listing, write_several
from harness.several.terminal import show_listing, show_several
from harness.testing.section import HOSTILE

Make = Callable[..., Results]
Made = Callable[..., Record]
Write = Callable[..., Path]
NAMES = ["plain", "javascript:alert(1)", 'a"b', "<img src=x onerror=alert(1)>", "a b", "#x", "?q",
         "100%", "%2e%2e", "&amp;", "ü", "\u202egnp", "-x", "https:", ".hidden"]  # fmt: skip


class Page(HTMLParser):
    def __init__(self, file: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.hrefs: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self.scripts: list[str] = []
        self.text = ""
        self._in = ""
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(key, value or "") for key, value in attrs]
        self.hrefs += [value or "" for key, value in attrs if key == "href"]
        self._in = tag if tag in ("script", "style") and not attrs else ""
        if tag == "script" and not attrs:
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    def handle_data(self, data: str) -> None:
        if self._in == "script":
            self.scripts[-1] += data
        elif not self._in:
            self.text += data


def harmless(page: Page) -> None:
    """No resource, no script but ours under the policy, and links that stay beside the page."""
    assert not page.tags & {"img", "iframe", "object", "embed", "link", "base", "form"}
    assert not page.tags & {"foreignobject", "use", "image", "animate", "set"}
    for key, value in page.attributes:
        assert not key.startswith("on")
        assert key not in ("src", "srcdoc", "action", "style")
        assert "http://" not in value
        assert "https://" not in value
    for href in page.hrefs:
        assert href.startswith("#") or re.fullmatch(r"\./[A-Za-z0-9_.~/%-]+", href), href
    (policy,) = [v for k, v in page.attributes if k == "content" and "default-src" in v]
    assert "default-src 'none'" in policy
    told = re.findall(r"'sha256-([^']+)'", policy)
    made = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in page.scripts]
    assert told == made


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("beside", ["page.html", "pages/deep/page.html"])
def test_a_link_leads_to_the_file_and_nowhere_else(tmp_path: Path, name: str, beside: str) -> None:
    target, page = tmp_path / name / "report.html", tmp_path / beside
    target.parent.mkdir()
    target.write_text("x")
    page.parent.mkdir(parents=True, exist_ok=True)
    link = relative_link(target, page)
    assert re.fullmatch(r"\./[A-Za-z0-9_.~/%-]+", link)
    assert (page.parent / unquote(link)).resolve() == target.resolve()


def test_names_that_are_no_text_have_links(tmp_path: Path) -> None:
    link = relative_link(Path(tmp_path / "\udcff" / "report.html"), tmp_path / "x.html")
    assert link == "./%FF/report.html"


@pytest.fixture
def hostile(write: Write, run: Make, record: Made) -> list[Path]:
    """Runs under hostile names, with hostile text wherever text may stand."""
    text = HOSTILE[:300].replace("\ud800", "")
    folders = []
    for n, name in enumerate(NAMES):
        claims = (ClaimOutcome(text, text, text, "supported", 0.5, (0.4, 0.6)),)
        records = [record("x", n, pair=text, sae=text, site=f"resid_post.{n}"),
                   record("fvu.pooled", 0.1, pair=text, sae=text, view=text, site="embed"),
                   record("explained_ratio.ratio_of_means", 0.5, pair=text, sae=text, site=text),
                   record("sts.act", 1.0, domain=text, analysis=text)]  # fmt: skip
        results = run(
            records,
            model=f"{text}{n}",
            claims=claims,
            task={"name": text, "title": text, text: text, "k": f"{text}{n}"},
        )
        folders.append(write(name, results))
    return folders


def test_the_report_of_hostile_runs_is_harmless(
    hostile: list[Path], sections: Registry, tmp_path: Path
) -> None:
    found = gather([*hostile, tmp_path / f"no{HOSTILE[:50]}where"])
    page = Page(write_several(found, sections, tmp_path / "out" / "several.html"))
    harmless(page)
    links = [href for href in page.hrefs if not href.startswith("#")]
    opened = {(tmp_path / "out" / unquote(href)).resolve() for href in links}
    assert opened == {(folder / "report.html").resolve() for folder in hostile}
    assert "could not be shown" not in page.text
    assert "\u202e" not in page.text


def test_the_list_of_hostile_runs_is_harmless(hostile: list[Path], tmp_path: Path) -> None:
    (hostile[0] / "report.html").unlink()
    page = Page(write_listing(list_runs(tmp_path), tmp_path / "list.html"))
    harmless(page)
    links = [href for href in page.hrefs if not href.startswith("#")]
    # A hidden folder is not looked through; one run has no report, and says so.
    assert len(links) == len(NAMES) - 2
    assert "plain: has no report.html, so its row opens nothing." in page.text
    assert page.scripts == [resource("page.js")]


def test_the_terminal_of_hostile_runs_is_harmless(hostile: list[Path], tmp_path: Path) -> None:
    for show, found in ((show_several, gather(hostile)), (show_listing, list_runs(tmp_path))):
        out = io.StringIO()
        show(found, Console(file=out, width=100))  # type: ignore[operator]
        text = out.getvalue()
        bad = [c for c in text if c != "\n" and unicodedata.category(c)[0] == "C"]
        assert not bad


def test_the_page_says_what_counts_and_what_does_not(
    grid: Callable[..., list[Path]], write: Write, run: Make, sections: Registry, tmp_path: Path
) -> None:
    folders = grid({("a", 0): {"x": 1.0}, ("a", 1): {"x": 3.0}, ("b", 0): {"x": 9.0}})
    bad = write("bad", run(model="c", status="invalid", problems=("no adapter",)))
    found = gather([*folders, bad])
    page = Page(write_several(found, sections, tmp_path / "several.html"))
    harmless(page)
    assert "3 runs, 1 left out · 2 by models.chat.path · 2 seeds" in page.text
    assert "the run is invalid, so its numbers do not count: no adapter" in page.text
    assert "2 ± 1.41 (2 seeds)" in page.text.replace("2.00", "2")
    assert "5.50 (of 2)" in page.text
    again = gather([bad, *folders[::-1]])
    same = write_several(again, sections, tmp_path / "again.html")
    assert same.read_text() == (tmp_path / "several.html").read_text()


def test_a_section_that_knows_of_one_run_alone_is_not_asked(
    grid: Callable[..., list[Path]], sections: Registry
) -> None:
    from harness.report.panels import panels_of_runs

    found = gather(grid({("a", 0): {"x": 1.0}, ("b", 0): {"x": 2.0}}))
    titles = [panel.title for panel in panels_of_runs(found.runs, sections)]
    assert titles == ["What differs most, and every number"]


def test_a_list_of_nothing_is_said(tmp_path: Path) -> None:
    out = io.StringIO()
    show_listing(list_runs(tmp_path), Console(file=out))
    assert out.getvalue().replace("\n", "") == f"No runs in {tmp_path}."
    assert "0 runs" in Page(write_listing(list_runs(tmp_path), tmp_path / "l.html")).text


def test_four_runs_in_an_order_say_what_goes_with_it(
    write: Write, run: Make, record: Made, sections: Registry, tmp_path: Path
) -> None:
    """SAE as a Crystal Ball, C.7: correlations at five sparsities, one run each."""
    folders = [
        write(f"run-{l0}", run([record("r", value), record("same", 0.5)],
                               task={"saes": {"late": {"id": f"width_131k/average_l0_{l0}"}}}))
        for l0, value in zip((13, 22, 37, 63, 109), (0.78, 0.77, 0.72, 0.75, 0.65), strict=True)
    ]  # fmt: skip
    page = Page(write_several(gather(folders), sections, tmp_path / "out" / "several.html"))
    harmless(page)
    assert (
        "saes.late.id puts the 5 runs in an order. Numbers that differ between them: 1;"
        in page.text
    )
    assert "With saes.late.id" in page.text
    few = Page(write_several(gather(folders[:3]), sections, tmp_path / "few.html"))
    assert "in an order" not in few.text
