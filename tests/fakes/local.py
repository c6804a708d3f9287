"""A metric in a file of its own, as a task's author writes one, and what leaves a witness."""

from __future__ import annotations

from pathlib import Path

MINE = """\
import numpy as np
from harness.contract import Component, MetricOptions, MetricValue, hookimpl
class Options(MetricOptions):
    on_sae = False
class Growth:
    values = (MetricValue("growth@1", "ratio", "tokens", "nothing was measured"),)
    def __init__(self, options, target):
        self.site = target.site
    def sums(self, batch, side):
        x = [one.x(self.site)[batch.selected].norm(dim=1) for one in (batch.left, batch.right)]
        left, right = map(batch.by_document, x)
        return {"n": batch.by_document(), "l": left, "r": right}
    def value(self, sums):
        return [sums["r"] / np.where(sums["l"] > 0, sums["l"], np.nan)]
@hookimpl
def harness_components():
    where = "my_metric:Growth", "my_metric:Options"
    return [Component("metric", "growth", "how much longer", *where)]
"""
SECTION = """\
from harness.contract import Component, Panel, Prose, SectionOptions, hookimpl
class Mine:
    def __init__(self, options): ...
    def panel(self, results):
        return Panel("Shown by a file", (Prose("as it says"),))
@hookimpl
def harness_components():
    where = "shows:Mine", "harness.contract:SectionOptions"
    return [Component("section", "mine", "a section", *where)]
"""
PAIR = """
[pairs.both]
left = "base"
right = "chat"
data = "web"
sites = ["resid_post.1"]
[metrics.gap]
pair = "both"
"""
GROWTH = """
[metrics.growth]
pair = "both"
"""


def witness(folder: Path) -> str:
    """Code that leaves a file where it runs."""
    return f"open({str(folder / 'it_ran')!r}, 'a').close()\n"


def ran(task: Path) -> bool:
    """Whether the plugin beside a task has run since the last time that this was asked."""
    found = task.parent / "it_ran"
    there = found.exists()
    found.unlink(missing_ok=True)
    return there
