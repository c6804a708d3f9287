"""A model without a head is refused by name before anything is loaded, and so is a wrong kind."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers
from pydantic import ValidationError
from transformers import LlamaConfig

import harness
from harness.cli.main import main
from harness.errors import ModelError, TaskError
from harness.testing import organism
from harness_analyses.difference_lens.options import LogitLensOptions, PatchscopeOptions
from harness_transformers.options import TransformersOptions

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


@pytest.mark.parametrize(
    ("kind", "tied", "refused"),
    [("LlamaModel", False, True), ("LlamaModel", True, False), ("LlamaForCausalLM", False, False),
     ("LlamaForSequenceClassification", False, True)],
)  # fmt: skip
def test_files_without_a_head_are_refused_before_anything_is_loaded(
    tmp_path: Path, kind: str, tied: bool, refused: bool
) -> None:
    """Told from config.json and the names of tensors; a head that is the embedding is one."""
    config = LlamaConfig(
        vocab_size=2048, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=4, tie_word_embeddings=tied,
    )  # fmt: skip
    getattr(transformers, kind)(config).save_pretrained(tmp_path / "bare")
    options = TransformersOptions(path=str(tmp_path / "bare"))
    if not refused:
        options.check()
        return
    with pytest.raises(ModelError, match=f"of a {kind}, which has no language-model head"):
        options.check()
