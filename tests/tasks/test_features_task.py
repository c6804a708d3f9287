"""Shifted features with labels, contexts and clusters: a whole task on the organism."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import harness

ORGANISM = Path(__file__).parents[2] / "tasks" / "organism"
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"

TASK = f"""
name = "features"
[models]
base = {{ path = "{ORGANISM}/base" }}
chat = {{ path = "{ORGANISM}/chat" }}
judge = {{ path = "{ORGANISM}/judge" }}
[views.base]
model = "base"
[views.chat]
model = "chat"
[saes.mid]
path = "{ORGANISM}/saes/resid_post.4"
model = "base"
[data.web]
file = "{ORGANISM}/data/web.jsonl"
limit = 60
[pairs.web]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
expect = "different"
[statistics.shift]
method = "feature_shift"
pair = "web"
sae = "mid"
delta = 5e-3
[statistics.near]
method = "contexts"
pair = "web"
sae = "mid"
[labels.truth]
method = "file"
sae = "mid"
path = "{ORGANISM}/labels.jsonl"
only = {{ sae = "resid_post.4" }}
[labels.near]
sae = "mid"
method = "contexts"
statistic = "near"
model = "base"
top = 5
[labels.evil]
method = "file"
sae = "mid"
path = "evil.jsonl"
[analyses.kinds]
method = "clusters"
sae = "mid"
taxonomy = "{ORGANISM}/taxonomy.toml"
labels = "truth"
shift = "shift"
task = ["refusal"]
[analyses.judged]
method = "clusters"
sae = "mid"
taxonomy = "{ORGANISM}/taxonomy.toml"
labels = "near"
judge = "judge"
max_tokens = 8
against = ["truth"]
"""


@pytest.mark.slow
def test_a_task_from_shift_to_report(tmp_path: Path) -> None:
    task = tmp_path / "features.toml"
    task.write_text(TASK)
    rows = [{"feature": feature, "description": f"{HOSTILE} {feature}"} for feature in range(2048)]
    (tmp_path / "evil.jsonl").write_text("\n".join(map(json.dumps, rows)))
    results = harness.run(harness.plan(harness.load(task)), tmp_path / "run")
    assert results.status == "complete"
    value = results.value("feature_shift.shifted", sae="mid", pair="web")
    assert value is not None
    assert 0 < value < 1
    shifted = results.tables["shift.features"]
    assert len(shifted) == 100
    assert len(results.tables["labels.evil"]) == 100
    assert len(results.tables["labels.near"]) == 5
    first = results.tables["labels.near"][0]
    assert first["feature"] == shifted[0]["feature"]
    assert first["contexts"][0]["tokens"]
    total = [r for r in results.records if r.id == "feature_shift.cluster@1"]
    mine = [r.value for r in total if r.axes["analysis"] == "kinds"]
    assert 0 < sum(value or 0 for value in mine) <= 1
    # The judge of refusals knows no clusters: its answers are "other", and counted.
    assert results.value("invalid_labels", analysis="judged") == 1
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Share of the shift by cluster" in page
    assert "alert(1)" in page
    assert "<script>alert" not in page
    assert "<img src" not in page
