"""What `tasks/smollm2` ships: small files in half precision that are read without its inputs."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import SaelensOptions

ROOT = Path(__file__).parents[2]
SMOLLM2 = ROOT / "tasks" / "smollm2"
SAES = sorted((SMOLLM2 / "saes").glob("*/"))
ADAPTERS = sorted(file.parent for file in (SMOLLM2 / "tunes").rglob("adapter_config.json"))
PROJECTIONS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def dtypes(file: Path) -> set[str]:
    """The types of a file's tensors."""
    with safe_open(file, "pt") as opened:
        return {opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118


def test_at_most_sixty_megabytes_in_half_precision() -> None:
    """Weights alone: no tokenizer, no optimizer, nothing in float32."""
    files = [f for part in ("saes", "tunes") for f in (SMOLLM2 / part).rglob("*") if f.is_file()]
    assert sum(file.stat().st_size for file in files) <= 60_000_000
    names = {"cfg.json", "sae_weights.safetensors"}
    names |= {"adapter_config.json", "adapter_model.safetensors"}
    assert {file.name for file in files} == names
    assert all(dtypes(file) == {"F16"} for file in files if file.suffix == ".safetensors")


@pytest.mark.parametrize("folder", SAES, ids=lambda folder: folder.name)
def test_our_loader_reads_the_saes(folder: Path) -> None:
    """4,096 latents or more, at most 64 at a token, unit rows, at the site of the folder's name."""
    options = SaelensOptions(path=str(folder))
    sae = Saelens(options).load("cpu")
    generator = torch.Generator().manual_seed(0)
    latents = sae.encode(torch.randn(5, 576, generator=generator) * 8)
    reconstructed = sae.reconstruct(latents)
    assert reconstructed.shape == (5, 576)
    assert torch.isfinite(reconstructed).all()
    config = json.loads((folder / "cfg.json").read_text(encoding="utf-8"))
    assert config["d_sae"] >= 4096
    assert config["k"] <= 64
    assert config["metadata"]["hook_name"] == f"blocks.{folder.name.split('.')[1]}.hook_resid_post"
    lengths = sae.rows(torch.arange(64)).norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(64), atol=2e-3, rtol=2e-3)


def test_an_early_a_middle_and_a_late_sae() -> None:
    """Three blocks of thirty, one in each third."""
    layers = [int(folder.name.split(".")[1]) for folder in SAES]
    assert sorted(layer // 10 for layer in layers) == [0, 1, 2]


@pytest.mark.parametrize("folder", ADAPTERS, ids=lambda folder: folder.name)
def test_the_adapters_are_light(folder: Path) -> None:
    """Rank 8 at most, on all seven projections, of the model whose hub id they name."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["r"] <= 8
    assert set(config["target_modules"]) == PROJECTIONS
    assert config["base_model_name_or_path"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_the_domain_lora_has_four_checkpoints() -> None:
    """The narrow fine-tune on its way."""
    names = {str(folder.relative_to(SMOLLM2 / "tunes")) for folder in ADAPTERS}
    checkpoints = {name for name in names if "/checkpoint-" in name}
    assert names - checkpoints == {"safety", "python"}
    assert len(checkpoints) == 4
    assert all(name.startswith("python/") for name in checkpoints)


def test_the_wheel_leaves_them_out() -> None:
    """Every built-in task but these and the league's is in the wheel; no weights, no inputs."""
    with (ROOT / "pyproject.toml").open("rb") as opened:
        targets = tomllib.load(opened)["tool"]["hatch"]["build"]["targets"]
    included = set(targets["wheel"]["force-include"])
    tasks = {f"tasks/{file.name}" for file in (ROOT / "tasks").iterdir()}
    # Of the organism there are its parts, and not what builds it.
    tops = {"/".join(name.split("/")[:2]) for name in included}
    assert tops == tasks - {"tasks/smollm2", "tasks/league"}
    assert {f"/tasks/smollm2/{name}" for name in ("inputs", "saes", "tunes")} <= set(
        targets["sdist"]["exclude"]
    )
