"""Views that write one prompt for all rows, whatever they ask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import fakes
from harness.errors import InvalidRun
from harness.results.read import Results, load_results

RunTask = Callable[..., Results]

ALONE = '[experiments.e]\nview = "chat"\ndata = "web"\nevaluators = ["polite"]\n'
PAIR = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
sites = ["resid_post.2"]
[metrics.gap]
pair = "p"
"""
RIGHT = PAIR.replace("[metrics", 'render = "right"\n[metrics')
DIRECTION = '[directions.a]\nmethod = "probe"\nview = "chat"\ndata = "web"\n'


@pytest.mark.parametrize(
    ("text", "change", "view"),
    [
        (ALONE, "views.chat.prompt.template=Answer:", "chat"),
        (ALONE, "views.chat.prompt.max_tokens=1", "chat"),
        (PAIR, "views.base.prompt.template=Answer:", "base"),
        (RIGHT, "views.chat.prompt.template=Answer:", "chat"),
        (DIRECTION, "views.chat.prompt.template=Answer:", "chat"),
        (fakes.EXPERIMENT, "views.chat.prompt.template=Answer:", "chat"),
    ],
)
def test_one_prompt_for_rows_that_differ_is_an_invalid_run(
    run_task: RunTask, tmp_path: Path, text: str, change: str, view: str
) -> None:
    """CASES row 16: also a plain template without a place for the text, and one that is cut."""
    with pytest.raises(InvalidRun) as caught:
        run_task(text, change)
    said = str(caught.value)
    assert said.startswith(f"views.{view}.prompt: all {len(fakes.WEB)} rows of data.web become one")
    assert "Allowed" in said
    results = load_results(tmp_path / "run")
    assert (results.status, results.problems) == ("invalid", (said,))
    assert not fakes.LAB.generations


def test_it_is_found_behind_a_whole_chunk(run_task: RunTask, texts: Callable[..., None]) -> None:
    """All rows count, and one prompt that differs is enough."""
    texts(["same"] * 300 + ["another"])
    assert run_task(PAIR).status == "complete"
    with pytest.raises(InvalidRun, match="all 301 rows"):
        run_task(PAIR, "views.base.prompt.template=Answer:", fresh=True)


@pytest.mark.parametrize("rows", [["one"], ["one"] * 8])
def test_equal_rows_may_have_one_prompt(
    run_task: RunTask, texts: Callable[..., None], rows: list[str]
) -> None:
    """CASES row 12: copies of one prompt are one cluster, and no fault of the template."""
    texts(rows)
    assert run_task(PAIR + ALONE).status == "complete"
