"""Results to make pages of, and a reader of pages that trusts nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from harness.contract import Record
from harness.registry import Registry, discover
from harness.results import Results

TAGS = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "h2", "h3", "p", "div",
    "strong", "ul", "li", "nav", "main", "section", "figure", "script", "details", "summary",
    "span", "table", "caption", "thead", "tbody", "tr", "th", "td", "footer",
    "button", "label", "select", "input", "kbd", "ol",
    "svg", "rect", "text", "path", "line", "circle",
}  # fmt: skip
PAGES = re.compile(r"https://www\.neuronpedia\.org/[A-Za-z0-9_][\w.-]*/[A-Za-z0-9_][\w.-]*/\d+")
"""The only addresses outside that a page of ours leads to."""


class Page(HTMLParser):
    """What a browser would make of a page, as far as it matters here."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self.title = ""
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif self._inside == "title":
            self.title += data
        elif self._inside != "style":
            self.text += data

    @property
    def values(self) -> list[tuple[str, str]]:
        """Every attribute of the page."""
        return [(k, v or "") for _, attrs in self.tags for k, v in attrs.items()]

    @property
    def policy(self) -> str:
        (found,) = [
            attrs["content"] for tag, attrs in self.tags
            if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
        ]  # fmt: skip
        return found or ""

    @property
    def executable(self) -> list[str]:
        return [text for attrs, text in self.scripts if attrs.get("type") != "application/json"]

    @property
    def data(self) -> list[str]:
        return [text for attrs, text in self.scripts if attrs.get("type") == "application/json"]


def assert_harmless(page: Page, marker: str = "EVIL") -> None:
    """Nothing of the page runs or loads but our own scripts, and no attribute holds data."""
    assert {tag for tag, _ in page.tags} <= TAGS
    for name, value in page.values:
        assert not name.startswith("on"), name
        assert name not in ("src", "srcdoc", "action", "formaction", "data", "style")
        assert marker not in name + value
        if name == "href":
            ours = value.startswith("#") or value == "results.json"
            assert ours or PAGES.fullmatch(value, re.ASCII)
    directives = dict(part.strip().partition(" ")[::2] for part in page.policy.split(";"))
    assert directives["default-src"] == "'none'"
    assert directives["base-uri"] == directives["form-action"] == "'none'"
    allowed = re.findall(r"'sha256-([^']+)'", directives["script-src"])
    found = [base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()
             for t in page.executable]  # fmt: skip
    assert found == allowed
    assert "unsafe" not in directives["script-src"]
    assert not any(marker in text for text in page.executable)
    for attrs, _ in page.scripts:
        assert attrs in ({}, {"type": "application/json"})


def record(id: str, value: float | None, **axes: Any) -> Record:
    more = {"ci": (max(0.0, value - 0.1), min(1.0, value + 0.1))} if value is not None else {}
    why = {"undefined": "every weight is 0"} if value is None else {}
    return Record(f"{id}@1", value, 100, "prompts", "share", axes=axes, **more, **why)


def make_results(**more: Any) -> Results:
    """A small run with a sweep, a single arm, draws, completions and everything else."""
    at = {"experiment": "bypass", "view": "chat", "data": "harmful", "evaluator": "words"}
    records = [record("score", 1.0, **at, direction="none"),
               record("score", 0.02, **at, direction="truth")]  # fmt: skip
    for k, value in ((1, None), (8, 0.5), (64, 0.1)):
        records.append(record("score", value, **at, direction="rebuilt", k=k))
        records.append(record("quality", value, direction="rebuilt", k=k, view="chat"))
    records += [record("score", 0.9 + d / 100, **at, direction="chance", draw=d) for d in range(5)]
    records += [record("edit.changed", 0.9, **at, direction="truth"),
                record("fvu.pooled", 0.1, model="base", data="web", site="resid_post.2"),
                record("cosine.raw", 0.8, pair="p", data="web")]  # fmt: skip
    rows = [
        {"experiment": "bypass", "direction": name, **axes, "example": str(n),
         "text": f"prompt {n}", "prompt": "x", "completion": f"answer of {name}",
         "tokens": 3, "stopped": True,
         "verdicts": {"words": {"refusal": name == "none", "note": "n"}}}
        for name, axes in (("none", {}), ("rebuilt", {"k": 8}), ("rebuilt", {"k": 64}))
        for n in range(5)
    ]  # fmt: skip
    task = {"name": "tiny", "title": "A title", "source": "A source", "seed": 0,
            "experiments": {"bypass": {"view": "chat"}}}  # fmt: skip
    origin = {"harness": "0.1.0", "models": {"chat": {"fingerprint": "abc", "dtype": "float32"}}}
    return Results(**{"status": "complete", "task": task, "provenance": origin,
                      "records": tuple(records), "tables": {"completions": rows},
                      **more})  # fmt: skip


@pytest.fixture(scope="session")
def sections() -> Registry:
    """The installed sections alone."""
    name = "harness_sections"
    return discover(candidates=[EntryPoint(name, f"{name}.plugin", "harness")])


@pytest.fixture(scope="session")
def results() -> Callable[..., Results]:
    return make_results


@pytest.fixture(scope="session")
def parse() -> type[Page]:
    return Page


@pytest.fixture(scope="session")
def harmless() -> Callable[..., None]:
    return assert_harmless
