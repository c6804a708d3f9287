"""Item 6 of the issue: models in bfloat16 and float16 on a CPU give what their dtype carries."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from harness.planning.planner import plan
from harness.registry import Registry, discover
from harness.results.read import Results
from harness.running.runner import run
from harness.task.file import read_source
from harness.task.resolve import resolve

ORGANISM = Path(__file__).parents[2] / "tasks" / "organism"
TASK = f"""
name = "dtypes"
title = "What does a dtype change?"
[models.base]
path = "{ORGANISM}/base"
[models.chat]
path = "{ORGANISM}/chat"
[views.base]
model = "base"
[views.chat]
model = "chat"
[saes.mid]
format = "saelens"
path = "{ORGANISM}/saes/resid_post.4"
site = "resid_post.4"
model = "base"
[data.web]
file = "{ORGANISM}/data/web.jsonl"
limit = 6
[data.asked]
file = "{ORGANISM}/data/harmful_test.jsonl"
column = "instruction"
limit = 3
[preflight]
data = "web"
fvu_max = 0.2
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
expect = "different"
[metrics.fvu]
view = "chat"
data = "web"
saes = ["mid"]
[metrics.cosine]
pair = "p"
[directions.d]
method = "difference_in_means"
view = "chat"
site = "resid_post.4"
positive = "asked"
negative = "web"
tokens = "all"
[evaluators.substrings]
[experiments.e]
view = "chat"
data = "asked"
directions = ["d"]
evaluators = ["substrings"]
intervention = {{ method = "ablation" }}
generation = {{ max_new_tokens = 8 }}
"""
STEP = {"bfloat16": 2**-8, "float16": 2**-11}
"""The rounding of one number, as a share of it."""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    root = tmp_path_factory.mktemp("dtypes")
    (root / "task.toml").write_text(TASK)
    registry: Registry = discover()
    found = {}
    for dtype in ("float32", *STEP):
        both = [f"models.{name}.dtype={dtype}" for name in ("base", "chat")]
        task = resolve(read_source(root / "task.toml", both), registry)
        found[dtype] = run(plan(task), registry, root / dtype)
    return found


def values(results: Results) -> dict[tuple[str, str], float | None]:
    return {(r.id, repr(sorted(r.axes.items()))): r.value for r in results.records}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", STEP)
def test_records_are_those_of_float32_within_what_the_dtype_carries(
    live: dict[str, Results], dtype: str
) -> None:
    wanted, found = values(live["float32"]), values(live[dtype])
    assert live[dtype].status == "complete"
    assert {m["dtype"] for m in live[dtype].provenance["models"].values()} == {dtype}
    assert found.keys() == wanted.keys()
    for key, value in found.items():
        exact = wanted[key]
        assert (value is None) == (exact is None), key
        if value is None or exact is None:
            continue
        assert math.isfinite(value), key
        if key[0].startswith(("fvu.", "cosine.raw@", "cosine.latent@")):
            # Both sides are rounded, and the model computes in the dtype: a few steps.
            assert abs(value - exact) <= 4 * STEP[dtype] * abs(exact), key


@pytest.mark.slow
@pytest.mark.parametrize("dtype", STEP)
def test_edits_keep_their_promise_in_the_dtype(live: dict[str, Results], dtype: str) -> None:
    """What is left of an ablated direction is rounding, and the receipt allows for it."""
    checks = [r for r in live[dtype].records if r.id == "edit.check@1"]
    assert checks
    for record in checks:
        assert record.value is not None
        assert record.value <= 8 * STEP[dtype]
    assert not live[dtype].problems
