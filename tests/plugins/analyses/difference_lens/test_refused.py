"""A model without a head is refused by name before anything is loaded, and so is a wrong kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

import harness
from harness.cli.main import main
from harness.errors import TaskError
from harness.testing import organism
from harness_analyses.difference_lens.options import LogitLensOptions, PatchscopeOptions

TASK = f"""
name = "refused"
[models.base]
path = "{organism()}/base"
[models.served]
backend = "openai"
server_model = "gpt-x"
server = "http://127.0.0.1:9/v1"
[views.base]
model = "base"
[data.web]
file = "{organism()}/data/web.jsonl"
limit = 20
[pairs.same]
left = "base"
right = "base"
data = "web"
skip_first = 3
[statistics.first]
method = "mean_difference"
pair = "same"
site = "mlp_out.2"
"""


def task(tmp_path: Path, more: str) -> Path:
    file = tmp_path / "task.toml"
    file.write_text(TASK + more, encoding="utf-8")
    return file


@pytest.mark.parametrize("method", ["logit_lens", "patchscope"])
def test_a_model_without_a_head_is_refused_by_name(tmp_path: Path, method: str) -> None:
    lens = f'[analyses.lens]\nmethod = "{method}"\ndifference = "first"\nmodel = "served"\n'
    with pytest.raises(TaskError) as caught:
        harness.load(task(tmp_path, lens))
    said = str(caught.value)
    assert "analyses.lens.model" in said
    assert method in said
    assert "served has none: its backend harness_openai/openai offers generation" in said
    assert "Allowed: a model whose backend offers activations, logits, edits and tokens" in said


def test_what_cannot_be_read_is_said_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scope = '[analyses.said]\nmethod = "patchscope"\ndifference = "first"\nmodel = "base"\n'
    assert main(["check", str(task(tmp_path, scope))]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "nothing will be read at mlp_out.2: patchscope replaces the residual stream" in said
    assert "positions 1, 2 will be undefined: same skips the first 3 tokens" in said


def test_another_statistic_is_said_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = f"""
[saes.mid]
path = "{organism()}/saes/resid_post.4"
model = "base"
[preflight]
data = "web"
[statistics.moments]
method = "latent_moments"
pair = "same"
sae = "mid"
[analyses.lens]
method = "logit_lens"
difference = "moments"
model = "base"
"""
    assert main(["check", str(task(tmp_path, other))]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "nothing will be read: the statistic moments keeps no mean difference" in said


def test_options_that_make_no_sense() -> None:
    given = {"difference": "d", "model": "m"}
    with pytest.raises(ValidationError, match="words names a word twice"):
        LogitLensOptions.model_validate({**given, "words": ["Wine", " wine"]})
    with pytest.raises(ValidationError, match="scales must rise"):
        PatchscopeOptions.model_validate({**given, "scales": [2, 1]})
    scales = PatchscopeOptions.model_validate(given).scales
    assert len(scales) == 30
    assert (scales[0], scales[15], scales[-1]) == (0.5, 2.0, 200.0)
