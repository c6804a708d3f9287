"""Models whose rotary positions turn by the longest row: what one row says hangs on its batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, Phi3Config

from harness.contract import Arm, Sampling, Site, Tokens
from harness_transformers import pieces, prefixes
from harness_transformers.model import TransformersModel

from .test_architectures import _load, _tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
HERE = Site("resid_post", 1)


@pytest.fixture
def model(tmp_path: Path) -> TransformersModel:
    """A tiny Phi-3 that takes other angles from 65 tokens on."""
    torch.manual_seed(0)
    config = Phi3Config(
        vocab_size=64, hidden_size=32, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=4, intermediate_size=64, max_position_embeddings=512,
        original_max_position_embeddings=64, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        rope_parameters={
            "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 4,
            "long_factor": [4.0] * 4, "original_max_position_embeddings": 64,
        },
    )  # fmt: skip
    hf = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in hf.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    hf.save_pretrained(tmp_path)
    _tokenizer().save_pretrained(tmp_path)
    return _load(tmp_path)


def of_lengths(lengths: list[int], arms: int = 1) -> list[Tokens]:
    found = []
    for n, size in enumerate(lengths):
        ids = tuple(3 + (7 * k + n * (k > 9)) % 60 for k in range(size))
        found.append(Tokens(f"e{n}", ids, "", (0, size), n % arms))
    return found


def test_no_arm_and_an_arm_without_effect_are_one_model(model: TransformersModel) -> None:
    rows = of_lengths([20] * 60 + [33] * 9 + [300])
    plain = model.activations(rows, [HERE], logits=True)
    with model.edited([Arm("none", idle=True)]):
        edited = model.activations(rows, [HERE], logits=True)
    assert plain.logits is not None
    assert edited.logits is not None
    for n, row in enumerate(rows):
        for one, other in ((plain.logits, edited.logits), (plain.sites[HERE], edited.sites[HERE])):
            assert torch.equal(one[n, : len(row.ids)], other[n, : len(row.ids)])


def test_completions_are_those_of_a_forward_over_everything(
    model: TransformersModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prompts that begin alike, longer than the change of angles: transformers drops the cache."""
    monkeypatch.setattr(pieces, "TOGETHER", 1)
    monkeypatch.setattr(prefixes, "ENOUGH", 1)
    rows = of_lengths([90] * 12, arms=2)
    with model.edited([Arm("none", idle=True), Arm("other", idle=True)]):
        found = model.generate(rows, Sampling(max_new_tokens=4))
    again = model.generate(rows, Sampling(max_new_tokens=4))
    for row, got, other in zip(rows, found, again, strict=True):
        ids = list(row.ids)
        for _ in range(4):
            with torch.no_grad():
                out = model.hf(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
            ids.append(int(out.argmax()))
            if ids[-1] == 2:
                break
        written = [token for token in ids[len(row.ids) :] if token > 2]
        assert got.text == other.text == model.tokenizer.decode(written)
