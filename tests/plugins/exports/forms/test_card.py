"""The drift card: what stands in it, and that hostile text is text on a renderer."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import example, given, strategies as st

from fakes.handmade_run import HOSTILE, SECRET, bare, exported
from harness.contract import ExportedRun, Record, Results
from harness.errors import DataError
from harness_exports.card.export import DriftCard
from harness_exports.card.front_matter import front_matter
from harness_exports.card.markdown import fenced, name, table, text
from harness_exports.card.options import DriftCardOptions

markdown = pytest.importorskip("markdown_it", exc_type=ImportError)


def card(run: ExportedRun, **options: object) -> str:
    ((path, content),) = exported(DriftCard(DriftCardOptions.model_validate(options)), run)[
        0
    ].items()
    assert path == "drift-card.md"
    assert isinstance(content, str)
    return content


def section(whole: str, title: str) -> str:
    """From a heading to the next one of its depth or above."""
    found = re.search(rf"^(#+) {re.escape(title)}.*?$", whole, re.MULTILINE)
    assert found, title
    rest = whole[found.end() :]
    end = re.search(rf"^#{{1,{len(found[1])}}} ", rest, re.MULTILINE)
    return rest[: end.start()] if end else rest


class Seen(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def rendered(source: str) -> Seen:
    """As GitHub and Hugging Face render it: tables, strikethrough, bare links, and HTML let in."""
    made = markdown.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    seen = Seen()
    seen.feed(made.render(source))
    return seen


def test_it_answers_each_question(run: ExportedRun) -> None:
    whole = card(run)
    heads = re.findall(r"^## (.*)$", whole, re.MULTILINE)
    assert heads == [
        "What was compared",
        "What changed",
        "Does it cause the behaviour?",
        "What was expected",
        "Discoveries",
        "Limits",
        "How to get it again",
    ]
    compared = section(whole, "What was compared")
    assert (
        "| `tuned` | `local/tuned` (adapter lora) | after | `cccccccccccccccc` | float32 |"
        in compared
    )
    assert "| `mid` | `4` | `resid_post.4` | `base` | `dddddddddddddddd` |" in compared
    assert "`org/harmful` at `def`" in compared
    changed = section(whole, "What changed")
    assert r"0.87 \[0.86, 0.88\] | 1,000 tokens | 1.00 (identical) |" in changed
    assert "undefined: no token is below the threshold" in changed
    assert "sae mid, tokens with cosine_below=0.9 | undefined" in changed
    assert "every weight is 0" in section(whole, "Limits")
    assert "877094ae" in section(whole, "How to get it again")


def test_what_was_edited_stands_apart_with_its_receipt(run: ExportedRun) -> None:
    caused = section(card(run), "Does it cause the behaviour?")
    plain, _, edited = caused.partition("**Under interventions (ablation mode=strict).**")
    assert "The model as it is:" in plain
    assert "ablation" not in plain
    assert "none of the model" in edited
    rows = [line for line in edited.split("\n") if line.startswith("| ")][1:]
    assert [row.split(" | ")[0] for row in rows] == [
        "| refusal",
        "| rebuilt k=2",
        "| rebuilt k=4",
    ]
    assert re.search(
        r"relative 0\.47; share of the direction left 4e-08; vectors [0-9a-f]{12} \|", rows[0]
    )
    assert "undefined: every weight is 0" in rows[2]
    # No score of an edited model stands anywhere but there and under the claims.
    others = card(run).replace(caused, "").replace(section(card(run), "What was expected"), "")
    for record in run.results.records:
        if record.axes.get("direction") not in (None, "none") and record.ci:
            assert f"[{record.ci[0]:.2f}, {record.ci[1]:.2f}" not in others.replace("\\", "")


def test_a_pair_with_an_edited_side_says_nothing_of_the_fine_tune(run: ExportedRun) -> None:
    edit = {"method": "addition", "coefficient": -1.0, "direction": "rebuilt", "at": {"k": 2}}
    task = run.results.task
    task = {
        **task,
        "views": {**task["views"], "cut": {"model": "tuned", "edit": edit}},
        "pairs": {**task["pairs"], "cut_vs_tuned": {"left": "tuned", "right": "cut"}},
    }
    (plain,) = [r for r in run.results.records if r.id == "cosine.raw@1"][:1]
    axes = {**plain.axes, "pair": "cut_vs_tuned"}
    records = (*run.results.records, replace(plain, value=0.4321, ci=None, ci_why="x", axes=axes))
    whole = card(replace(run, results=replace(run.results, task=task, records=records)))
    assert "0.43" not in section(whole, "What changed")
    assert "nothing was edited" in section(whole, "What changed")
    apart = section(whole, "Measured under edits")
    assert "0.43" in apart
    assert "nothing of what fine-tuning changed" in apart
    assert "| `cut_vs_tuned` | addition(rebuilt, k=2, coefficient=-1.0) |" in apart
    assert "`tuned`, edited: addition(rebuilt" in section(whole, "What was compared")
    assert "Measured under edits" not in card(run)


def test_draws_are_one_row(run: ExportedRun) -> None:
    axes = {"experiment": "bypass", "view": "tuned", "data": "harmful", "evaluator": "phrases"}
    drawn = tuple(
        Record("refusal_score@1", 0.2 * k, 24, "prompts", "share",
               axes={**axes, "direction": "random", "draw": k})
        for k in range(5)
    )  # fmt: skip
    more = tuple(
        Record("edit.relative@1", 0.1 * k, 24, "edited tokens", "ratio",
               axes={**axes, "direction": "random", "draw": k})
        for k in range(5)
    )  # fmt: skip
    changed = replace(run.results, records=(*run.results.records, *drawn, *more))
    caused = section(card(replace(run, results=changed)), "Does it cause the behaviour?")
    (row,) = [line for line in caused.split("\n") if "random" in line]
    assert row.startswith("| random, 5 draws | 0.40 (0 to 0.80) |")
    assert row.endswith("| relative 0.40 |")


def test_numbers_beyond_the_limit_are_counted(run: ExportedRun) -> None:
    first, *rest = run.results.records
    many = tuple(replace(first, axes={**first.axes, "site": f"resid_post.{k}"}) for k in range(12))
    more = replace(run, results=replace(run.results, records=(*many, *rest)))
    changed = section(card(more, numbers=5), "What changed")
    assert changed.count("| `cosine.raw@1` |") == 5
    assert "And 8 more numbers of pairs" in changed


def test_an_invalid_run_says_so_first(run: ExportedRun) -> None:
    invalid = replace(run.results, status="invalid", problems=(f"wrong site {HOSTILE}",))
    whole = card(replace(run, results=invalid))
    assert whole.index("This run is invalid") < whole.index("## What was compared")
    assert "wrong site" in whole


def test_the_front_matter_says_only_what_is_true(run: ExportedRun) -> None:
    assert front_matter(run.results)[:3] == ["---", 'base_model: "google/gemma-2-2b"', "tags:"]
    assert card(run).startswith("---\n")
    assert not card(run, front_matter=False).startswith("---")
    task = {**run.results.task, "models": {"base": {"path": "/x/base"}, "tuned": {"path": "a/b"}}}
    assert "base_model" not in "\n".join(front_matter(replace(run.results, task=task)))
    same = {**run.results.task, "pairs": {"p": {"left": "base", "right": "base"}}}
    assert "base_model" not in "\n".join(front_matter(replace(run.results, task=same)))
    several = {**run.results.task, "pairs": {**run.results.task["pairs"],
                                             "q": {"left": "other", "right": "tuned"}}}  # fmt: skip
    assert "base_model" not in "\n".join(front_matter(replace(run.results, task=several)))
    yaml = pytest.importorskip("yaml")
    told = yaml.safe_load("\n".join(front_matter(run.results)).strip("-\n"))
    assert told == {"base_model": "google/gemma-2-2b", "tags": ["sae-harness", "model-diffing"]}


def test_hostile_text_is_text_when_it_is_rendered(run: ExportedRun) -> None:
    whole = card(run)
    seen = rendered(whole.partition("\n---\n")[2])
    assert not set(seen.tags) & {"script", "a", "img", "s", "h4", "h5", "iframe"}
    assert "".join(seen.words).count("<script>alert(1)</script>") >= 4
    assert "\x1b" not in whole
    assert "\u202e" not in whole
    assert seen.tags.count("details") == 1
    assert seen.tags.count("pre") == 2


def test_paths_stay_where_they_are(run: ExportedRun) -> None:
    assert SECRET not in card(run)
    command = f"harness eval {SECRET}/t.toml --set models.a.path={SECRET}/m --out '/a b/c'"
    told = replace(run.results, provenance={**run.results.provenance, "command": command})
    line = "harness eval t.toml --set models.a.path=m --out c"
    assert f"```sh\n{line}\n```" in card(replace(run, results=told))


def test_the_task_may_be_left_out(run: ExportedRun) -> None:
    assert "[experiments.bypass]" in card(run)
    assert "[experiments.bypass]" not in card(run, task=False)


def test_the_same_run_gives_the_same_card(run: ExportedRun) -> None:
    assert card(run) == card(run)


def test_a_run_without_numbers_is_said_in_one_line(run: ExportedRun, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no numbers, which a card is made of\. Allowed: "):
        card(bare(run, tmp_path, records=()))
    only = Results("complete", {"name": "x"}, {}, run.results.records[:1])
    assert "## What changed" in card(ExportedRun(only, tmp_path, ()))


_MARKS = st.text(st.sampled_from("ab1 .-_*`[]()<>&|\\~$#+!=:/@{}w'\"\n\t\u202e\x1b"), max_size=40)


@pytest.mark.slow
@given(_MARKS)
@example("1. a")
@example("- a")
@example("# a")
@example("www.a.b http://a.b a@b.c")
@example("a_b_c _a_ *a* **a** ~~a~~ `a` <b>a</b> [a](b) ![a](b) a|b \\| $a$ &lt; a\\")
def test_any_text_comes_out_as_it_is(written: str) -> None:
    """In a cell, an item and a paragraph, what a reader sees is the text and no tag of its own."""
    shown = " ".join(written.replace("\u202e", "[U+202E]").replace("\x1b", "␛").split())
    inside = text(written)
    item = rendered(f"- {inside}\n")
    assert set(item.tags) <= {"ul", "li"}
    assert "".join(item.words).strip() == shown
    cells = rendered("\n".join(table(("a", "b"), [(inside, "end")])))
    assert set(cells.tags) <= {"table", "thead", "tbody", "tr", "th", "td"}
    assert cells.tags.count("td") == 2
    assert "://" not in inside
    assert "@" not in inside
    assert "www." not in inside


@given(st.text(st.sampled_from("a`~\n "), max_size=60))
def test_a_block_of_code_ends_where_it_should(content: str) -> None:
    seen = rendered("\n".join([*fenced(content, "toml"), "", "after"]))
    assert seen.tags == ["pre", "code", "p"]
    assert seen.words[-2].strip() == "after" or seen.words[-1].strip() == "after"


def test_names_are_code_and_other_things_text() -> None:
    assert name("resid_post.4") == "`resid_post.4`"
    assert name("a`b") == r"a\`b"
    assert name("a|b") == r"a\|b"
