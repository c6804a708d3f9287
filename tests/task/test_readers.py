"""A direction with readers of its own under what reads with vectors: said before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import main
from harness.testing import organism

TASK = """
name = "t"
[models.m]
path = "{organism}/base"
[views.m]
model = "m"
[data.a]
file = "{organism}/data/harmful_val.jsonl"
column = "instruction"
[directions.d]
method = "{finder}"
view = "m"
site = "resid_post.4"
positive = "a"
negative = "a"
[experiments.e]
view = "m"
data = "a"
directions = ["d"]
intervention = {intervention}
evaluators = ["substrings"]
"""


def checked(folder: Path, finder: str, intervention: str) -> int:
    text = TASK.replace("{organism}", str(organism()))
    text = text.replace("{finder}", finder).replace("{intervention}", intervention)
    (folder / "t.toml").write_text(text, encoding="utf-8")
    return main(["check", str(folder / "t.toml")])


@pytest.mark.parametrize("method", ["ablation", "projection", "affine_editing"])
def test_it_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str
) -> None:
    assert checked(tmp_path, "leace", f'{{ method = "{method}" }}') == 2
    said = capsys.readouterr().err
    assert "experiments.e.directions: d is read with other vectors than its own" in said
    assert "Allowed: concept_erasure" in said
    assert checked(tmp_path, "difference_in_means", f'{{ method = "{method}" }}') == 0


@pytest.mark.parametrize("method", ["concept_erasure", "addition", "pc_injection"])
def test_what_reads_with_readers_or_only_adds_takes_it(tmp_path: Path, method: str) -> None:
    assert checked(tmp_path, "leace", f'{{ method = "{method}" }}') == 0
