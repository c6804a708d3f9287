"""Loading: what is refused and how, dtypes, adapters, fingerprints."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Gemma3Config, LlamaConfig

from harness.contract import Arm, Edit, Example, Prompt, Sampling, Site
from harness.errors import ModelError
from harness_transformers.adapter import MERGE
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions

from .conftest import CONFIGS, LAYERS, WIDTH, load, make_tokenizer, save_model
from .test_edits import logits

# peft asks transformers for something by its old name.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["llama"], tmp_path / "model"))


def _weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    return apply


def test_weights_that_run_code_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"It holds pytorch_model.bin, which can run code"):
        load(folder)


@pytest.mark.parametrize("path", ["/no/such/folder", "./nowhere", "a/b/c"])
def test_no_such_folder(path: str) -> None:
    with pytest.raises(ModelError, match=r"no such folder\. Allowed: a folder, or a hub id"):
        TransformersBackend(TransformersOptions(path=path)).load()


def test_a_hub_id_that_is_not_cached(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    backend = TransformersBackend(TransformersOptions(path="acme/no-such-model"))
    with pytest.raises(ModelError, match=r"model acme/no-such-model: not in the local cache"):
        backend.load()
    with pytest.raises(ModelError, match=r"adapter acme/adapter: not in the local cache"):
        load(folder, adapter="acme/adapter")


def test_a_cached_hub_id(monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path) -> None:
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    repo = cache / "models--acme--tiny"
    shutil.copytree(folder, repo / "snapshots" / "abc123")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("abc123")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    options = TransformersOptions(path="acme/tiny")
    assert options.describe().layers == LAYERS
    assert TransformersOptions(path="acme/tiny", revision="dev").describe().layers is None
    model = TransformersBackend(options).load()
    assert model.fingerprint == load(folder).fingerprint


def test_dtypes(folder: Path, folders: dict[str, Path]) -> None:
    assert load(folder).dtype == "float32"
    half = load(folder, dtype="bfloat16")
    assert half.dtype == "bfloat16"
    half.hf.save_pretrained(folder)
    assert load(folder).dtype == "float32"  # on a CPU, whatever is stored
    assert load(folder, device="cpu").device == "cpu"
    with pytest.raises(ModelError, match=r"device 'cuda:7' cannot be used|CUDA"):
        load(folder, device="cuda:7")


def test_shards_are_one_model(folder: Path, folders: dict[str, Path]) -> None:
    whole = load(folder)
    whole.hf.save_pretrained(folder, max_shard_size="60KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    assert len(list(folder.glob("*.safetensors"))) > 2
    assert load(folder).facts == whole.facts


def test_fingerprints(folder: Path, tmp_path: Path) -> None:
    first = load(folder).fingerprint
    moved = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    assert load(moved).fingerprint == first
    seen = {first, load(folder, dtype="bfloat16").fingerprint}
    (folder / "chat_template.jinja").write_text("{{ 1 }}")
    seen.add(load(folder).fingerprint)
    _weights(lambda w: w["model.norm.weight"].add_(1))(folder)
    seen.add(load(folder).fingerprint)
    make_tokenizer().save_pretrained(tmp_path / "tokenizer")
    seen.add(load(folder, tokenizer=str(tmp_path / "tokenizer")).fingerprint)
    assert len(seen) == 5


def test_the_model_is_frozen(folder: Path) -> None:
    hf = load(folder).hf
    assert not hf.training
    assert not any(p.requires_grad for p in hf.parameters())


def test_a_subfolder(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "root" / "inner")
    model = load(tmp_path / "root", subfolder="inner")
    assert model.facts.layers == LAYERS
    with pytest.raises(ModelError, match="no subfolder 'outer'"):
        load(tmp_path / "root", subfolder="outer")


def test_the_text_part_of_a_model_for_images(tmp_path: Path, examples: list[Example]) -> None:
    text = CONFIGS["gemma3"].to_dict()
    vision = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": LAYERS,
              "num_attention_heads": 2, "image_size": 28, "patch_size": 14}  # fmt: skip
    ids = {"image_token_index": 310, "boi_token_index": 311, "eoi_token_index": 312}
    config = Gemma3Config(text_config=text, vision_config=vision, mm_tokens_per_image=1, **ids)
    model = load(save_model(tmp_path / "multi", config))
    assert (model.facts.layers, model.facts.d_model) == (LAYERS, WIDTH)
    assert all("language_model" in path for path in model._layout.blocks)
    tokens = model.render(examples, Prompt())
    assert model.activations(tokens, [Site("attn_out", 1)]).sites


# ── Adapters ─────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def adapter(folder: Path, tmp_path: Path) -> Path:
    torch.manual_seed(1)
    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), config)
    wrapped.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@torch.no_grad()
def test_an_adapter_is_merged(folder: Path, adapter: Path, examples: list[Example]) -> None:
    base, tuned = load(folder), load(folder, adapter=str(adapter))
    tokens = base.render(examples[:1], Prompt())
    unmerged = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder), adapter)
    expected = unmerged.eval()(torch.tensor([tokens[0].ids])).logits
    got = logits(tuned, tokens)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
    assert (got - logits(base, tokens)).abs().max() > 0.1
    assert tuned.fingerprint != base.fingerprint
    assert not any("lora" in name for name, _ in tuned.hf.named_modules())
    assert tuned._layout.place(Site("attn_z", 0)).path == "model.layers.0.self_attn.o_proj"


def test_an_adapter_is_merged_in_float32(folder: Path, adapter: Path) -> None:
    exact = load(folder, adapter=str(adapter))
    load(folder, dtype="bfloat16").hf.save_pretrained(folder)
    half = load(folder, adapter=str(adapter), dtype="bfloat16")
    assert half.dtype == "bfloat16"
    stored = load_file(folder / "model.safetensors")
    name = "model.layers.0.mlp.down_proj.weight"
    lora = load_file(adapter / "adapter_model.safetensors")
    a, b = (lora[f"base_model.model.{name[:-7]}.lora_{x}.weight"] for x in "AB")
    merged = (stored[name].float() + 8 / 4 * b @ a).bfloat16()
    assert torch.equal(half.hf.get_parameter(name), merged)
    assert exact.dtype == "float32"


@pytest.mark.slow
def test_settings_that_peft_does_not_know_are_said(folder: Path, adapter: Path) -> None:
    """peft leaves them out with a warning of its own, which nobody sees."""
    file = adapter / "adapter_config.json"
    told = json.loads(file.read_text())
    assert not load(folder, adapter=str(adapter)).notes
    file.write_text(json.dumps({**told, "use_novelty": True, "novelty_config": None}))
    (note,) = load(folder, adapter=str(adapter)).notes
    assert "keys that peft" in note
    assert "(use_novelty)" in note


@pytest.mark.slow
def test_adapters_that_do_not_fit(folder: Path, adapter: Path, tmp_path: Path) -> None:
    def refused(says: str) -> None:
        with pytest.raises(ModelError, match=says) as error:
            load(folder, adapter=str(adapter))
        assert f"adapter {adapter}" in str(error.value)

    settings = json.loads((adapter / "adapter_config.json").read_text())
    for target, says in (
        (["no_such"], "it does not fit the model"),
        (["q_proj"], "weights do not fit the model's modules"),
        (["q_proj", "down_proj", "up_proj"], "weights do not fit the model's modules"),
    ):
        (adapter / "adapter_config.json").write_text(
            json.dumps({**settings, "target_modules": target})
        )
        refused(says)
    (adapter / "adapter_config.json").write_text(json.dumps({**settings, "r": [2]}))
    refused(r"it does not fit the model .*Allowed: an adapter of this model, as peft saves it")
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    weights = load_file(adapter / "adapter_model.safetensors")
    whole = {name: weight.long() if "down" in name else weight for name, weight in weights.items()}
    save_file(whole, adapter / "adapter_model.safetensors")
    refused(r"6 of its weights are stored as whole numbers .*Allowed: floating point")
    save_file(weights, adapter / "adapter_model.safetensors")
    other = save_model(tmp_path / "wide", LlamaConfig(**{**CONFIGS["llama"].to_dict(),
                       "intermediate_size": 48}))  # fmt: skip
    with pytest.raises(ModelError, match="it does not fit the model"):
        load(other, adapter=str(adapter))
    soft = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    wrapped = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), soft)
    wrapped.save_pretrained(tmp_path / "soft")
    with pytest.raises(ModelError, match="a PROMPT_TUNING adapter cannot be merged"):
        load(folder, adapter=str(tmp_path / "soft"))
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    refused("has no adapter_model.safetensors")
    (adapter / "adapter_config.json").unlink()
    refused("adapter_config.json is missing")


# ── What lies beside the weights ─────────────────────────────────────────────────────────────────


@pytest.mark.slow
@torch.no_grad()
def test_an_adapter_beside_merged_weights_is_left_out(
    folder: Path, adapter: Path, tmp_path: Path, examples: list[Example]
) -> None:
    """CASES row 2: the right logits are those of the folder's weights, read into a bare model."""
    own = AutoModelForCausalLM.from_pretrained(folder)
    merged = PeftModel.from_pretrained(own, adapter).merge_and_unload()
    merged.save_pretrained(folder)
    for file in adapter.glob("adapter_*"):
        shutil.copy(file, folder)
    bare = AutoModelForCausalLM.from_config(CONFIGS["llama"]).eval()
    bare.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    model = load(folder)
    tokens = model.render(examples[:1], Prompt())
    expected = bare(torch.tensor([tokens[0].ids])).logits
    torch.testing.assert_close(logits(model, tokens), expected, rtol=0, atol=1e-6)
    assert not any("lora" in name for name, _ in model.hf.named_modules())
    (note,) = model.notes
    assert re.search(
        r"also holds an adapter .*\. It is left out: an adapter counts only where", note
    )
    (folder / "adapter_config.json").unlink()
    assert load(folder).notes == ()


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_how_an_adapter_is_merged_is_part_of_the_fingerprint(
    folder: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch, dtype: str
) -> None:
    """Issue 13, 6: numbers with adapters changed with row 1, so what was remembered is left."""
    assert MERGE > 1
    tuned, bare = (load(folder, dtype=dtype, adapter=given) for given in (str(adapter), None))
    monkeypatch.setattr("harness_transformers.backend.MERGE", 1)
    assert load(folder, dtype=dtype, adapter=str(adapter)).fingerprint != tuned.fingerprint
    assert load(folder, dtype=dtype).fingerprint == bare.fingerprint


def test_weights_of_an_adapter_that_was_never_merged_are_named(folder: Path) -> None:
    """Issue 13, 5: such a checkpoint loads as its base, and says so."""
    name = "model.layers.0.self_attn.q_proj"
    _weights(
        lambda w: w.update(
            {
                f"{name}.lora_A.weight": torch.ones(4, WIDTH),
                f"{name}.lora_B.weight": torch.ones(32, 4),
            }
        )
    )(folder)
    (note,) = load(folder).notes
    assert re.search(r"2 weights of an adapter that was never merged \(.*q_proj\.lora_A", note)
    assert "this is the model without its fine-tuning" in note
    _weights(lambda w: w.update({"other.weight": torch.ones(3)}))(folder)
    assert "hold 1 weights that" in load(folder).notes[1]


@pytest.mark.parametrize("config", [True, False])
def test_an_adapter_as_path(folder: Path, adapter: Path, config: bool) -> None:
    """Issue 13, 5: the message points to `adapter`, before the run, too."""
    if config:
        shutil.copy(folder / "config.json", adapter)
    says = r"holds an adapter .*, not a model\. .*as path, and this as adapter = "
    with pytest.raises(ModelError, match=says) as error:
        load(adapter)
    assert str(folder) in str(error.value)
    with pytest.raises(ModelError, match=says):
        TransformersOptions(path=str(adapter)).describe()
    with pytest.raises(ModelError, match=r"adapter_config\.json is missing .* An adapter's folder"):
        load(folder, adapter=str(folder))


# ── Links, and numbers that overflow ─────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_linked_files_are_the_files(folder: Path, tmp_path: Path) -> None:
    """Issue 13, 6: what counts is what a link leads to, also where a name looks like a hash."""
    linked = tmp_path / "linked"
    linked.mkdir()
    for file in folder.iterdir():
        (linked / file.name).symlink_to(file)
    first = load(folder).fingerprint
    assert load(linked).fingerprint == first
    blob = tmp_path / "blobs" / ("a" * 64)
    blob.parent.mkdir()
    shutil.copy(folder / "model.safetensors", blob)
    (linked / "model.safetensors").unlink()
    (linked / "model.safetensors").symlink_to(blob)
    assert load(linked).fingerprint == first
    before = (folder / "model.safetensors").stat()
    _weights(lambda w: w["model.norm.weight"].add_(1))(folder)
    os.utime(folder / "model.safetensors", ns=(before.st_atime_ns, before.st_mtime_ns))
    shutil.copy2(folder / "model.safetensors", blob)
    changed = load(linked).fingerprint
    assert changed != first
    assert load(folder).fingerprint == changed


@pytest.mark.parametrize("target", ["/no/such/place", "model.safetensors"])
def test_a_link_that_leads_nowhere(folder: Path, target: str) -> None:
    """Issue 13, 6."""
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(target)
    says = rf"model\.safetensors in {folder} is a link to {target}, where no file is\. Put the file"
    with pytest.raises(ModelError, match=says):
        load(folder)


def test_numbers_that_overflow(folder: Path, examples: list[Example]) -> None:
    """Issue 13, 6: finite weights, whose largest logit is NaN, which is still a token."""
    _weights(lambda w: w["lm_head.weight"].sign_().mul_(3e38))(folder)
    model = load(folder)  # the weights are finite, though their sum is not
    tokens = model.render(examples, Prompt())
    with torch.no_grad():
        expected = model.hf(input_ids=torch.tensor([tokens[0].ids])).logits
    assert not expected.isfinite().all()
    with pytest.raises(ModelError, match=r"example e0: its logits are not finite.*dtype = "):
        model.generate(tokens, Sampling(max_new_tokens=4))


def test_an_edit_after_which_numbers_overflow(folder: Path, examples: list[Example]) -> None:
    """Issue 13, 6: the receipt of the arm says so, and only of that arm."""
    model = load(folder)
    tokens = model.render(examples[:1], Prompt())
    site = Site("resid_post", 1)
    large = Edit(site, lambda x, p: x * 0 + 3e38, {"v": torch.ones(WIDTH)})
    with model.edited([Arm("plain"), Arm("large", (large,))]) as receipts:
        model.generate([tokens[0], replace(tokens[0], arm=1)], Sampling(max_new_tokens=4))
    assert "non-finite" not in receipts[0].broken
    assert "non-finite" in receipts[1].broken
