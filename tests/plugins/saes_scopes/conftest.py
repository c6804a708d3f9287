"""Files in the exact layouts of the scopes, with random weights, and sae_lens' own loaders."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

LOADERS = "sae_lens.loading.pretrained_sae_loaders"
SHAPES = ((8, 32), (24, 100), (40, 24))
"""d_in, d_sae: an ordinary one, an odd width, and one that is narrower than its input."""


@pytest.fixture(scope="session", autouse=True)
def _sae_lens() -> None:
    """Imports sae_lens, whose own imports warn of each other's deprecations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module("sae_lens")


@pytest.fixture(params=SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def shape(request: pytest.FixtureRequest) -> tuple[int, int]:
    found: tuple[int, int] = request.param
    return found


@pytest.fixture
def weights() -> Callable[..., dict[str, torch.Tensor]]:
    """Random canonical weights of a JumpReLU SAE or a transcoder, as 1/√n as trained ones are."""

    def make(
        d_in: int, d_sae: int, dtype: str = "float32", d_out: int | None = None
    ) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(d_in * d_sae)

        def random(*size: int) -> torch.Tensor:
            return torch.randn(*size, generator=generator)

        d_out = d_out or d_in
        found = {
            "W_enc": random(d_in, d_sae) * d_in**-0.5,
            "W_dec": random(d_sae, d_out) * d_out**-0.5,
            "b_enc": random(d_sae) * 0.3,
            "b_dec": random(d_out) * 0.3,
            "threshold": random(d_sae).abs() * 0.5,
            "skip": random(d_in, d_out) * d_in**-0.5,
        }
        return {name: tensor.to(getattr(torch, dtype)) for name, tensor in found.items()}

    return make


@pytest.fixture
def activations() -> Callable[..., torch.Tensor]:
    def make(d_in: int, tokens: int = 60, scale: float = 2.0) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        return torch.randn(tokens, d_in, generator=generator) * scale + 0.3

    return make


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    """Writes a safetensors file, and a JSON object beside or above it."""

    def write(
        file: str, tensors: Mapping[str, torch.Tensor], config: str = "", **keys: Any
    ) -> Path:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
        if config:
            (tmp_path / config).write_text(json.dumps(keys))
        return path

    return write


@pytest.fixture
def sae_lens_loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """An SAE by sae_lens' own converter, which downloads from `tmp_path / <repository>`."""
    loaders = importlib.import_module(LOADERS)

    def download(repo_id: str, filename: str, subfolder: str = "", **_: Any) -> str:
        from huggingface_hub.errors import EntryNotFoundError

        file = tmp_path / repo_id / subfolder / filename
        if not file.exists():
            raise EntryNotFoundError(f"{file} is not there")
        return str(file)

    def shapes(repo_id: str, filename: str) -> dict[str, list[int]]:
        from safetensors import safe_open

        with safe_open(tmp_path / repo_id / filename, framework="np") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118

    monkeypatch.setattr(loaders, "hf_hub_download", download)
    monkeypatch.setattr(loaders, "get_safetensors_tensor_shapes", shapes)

    def load(loader: str, repository: str, folder: str, **overrides: Any) -> Any:
        from sae_lens.registry import get_sae_class

        config, state, _ = getattr(loaders, loader)(
            repo_id=repository,
            folder_name=folder,
            device="cpu",
            cfg_overrides={"dtype": "float32", **overrides},
        )
        config = loaders.handle_config_defaulting(config)
        sae_class, config_class = get_sae_class(config["architecture"])
        sae = sae_class(config_class.from_dict(config))
        sae.process_state_dict_for_loading(state)
        sae.load_state_dict(state)
        sae.turn_off_forward_pass_hook_z_reshaping()
        return sae

    return load


@pytest.fixture
def assert_same() -> Callable[..., None]:
    """Same support, and values that differ by rounding alone."""

    def check(ours: Any, theirs: Any, x: torch.Tensor, rtol: float = 1e-5) -> None:
        with torch.no_grad():
            z = theirs.encode(x)
            expected = theirs.forward(x)
        latents = ours.encode(x)
        dense = latents.dense()
        assert torch.equal(dense != 0, z != 0)
        assert z.count_nonzero() > len(x), "a test of latents needs some"
        assert (dense - z).abs().max() <= rtol * z.abs().max()
        found = ours.reconstruct(latents)
        assert (found - expected).abs().max() <= rtol * expected.abs().max()

    return check


@pytest.fixture
def jumprelu() -> Callable[..., Any]:
    """The formula once more, in float64: `a > θ`, no b_dec before the encoder, `+ x A`."""

    def of(tensors: Mapping[str, torch.Tensor], skip: bool = False) -> Any:
        w = {name: tensor.double().numpy() for name, tensor in tensors.items()}

        def reference(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            z = np.zeros((len(x), len(w["b_enc"])))
            for t, row in enumerate(x):
                for j in range(z.shape[1]):
                    a = row @ w["W_enc"][:, j] + w["b_enc"][j]
                    z[t, j] = a if a > w["threshold"][j] else 0
            out = z @ w["W_dec"] + w["b_dec"]
            return z, out + x @ w["skip"] if skip else out

        return reference

    return of
