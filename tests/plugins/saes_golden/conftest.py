"""Files of SAE libraries: golden ones that the libraries wrote, and random ones in their layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
SHAPES = ((8, 32, 4), (24, 100, 7), (40, 24, 24))
"""d_in, latents, k: an ordinary one, an odd width, and one that is narrower than its input."""


@dataclass(frozen=True)
class Golden:
    """An SAE that its library wrote, and what the library computed with it."""

    root: Path
    place: Path
    """The SAE's folder, or its file where it is only that."""
    x: torch.Tensor
    latents: torch.Tensor
    reconstruction: torch.Tensor

    def check(self, sae: Any) -> None:
        """Equal to 1e-5 of the largest number, with the same support."""
        found = sae.encode(self.x)
        assert torch.equal(found.dense() != 0, self.latents != 0)
        assert 0 < self.latents.count_nonzero() < self.latents.numel()
        difference = (found.dense() - self.latents).abs().max()
        assert difference <= 1e-5 * self.latents.abs().max()
        difference = (sae.reconstruct(found) - self.reconstruction).abs().max()
        assert difference <= 1e-5 * self.reconstruction.abs().max()


def cases(name: str) -> list[str]:
    """The golden cases of a format."""
    return sorted(file.stem for file in (HERE / name).glob("*.safetensors"))


@pytest.fixture
def golden() -> Callable[[str, str], Golden]:
    """`golden("sparsify", "skip")`."""

    def find(name: str, case: str) -> Golden:
        root = HERE / name / case
        files = [file for file in root.rglob("*") if file.is_file()]
        place = files[0] if len(files) == 1 else files[0].parent
        return Golden(root, place, **load_file(HERE / name / f"{case}.safetensors"))

    return find


@pytest.fixture
def random() -> Callable[..., torch.Tensor]:
    """Random tensors, different ones at each call, the same ones in each test."""
    generator = torch.Generator().manual_seed(0)

    def make(*shape: int, dtype: torch.dtype = torch.float32, shift: float = 0.0) -> torch.Tensor:
        scale = shape[-1] ** -0.5 if len(shape) == 2 else 0.3
        return (torch.randn(*shape, generator=generator) * scale + shift).to(dtype)

    return make


@pytest.fixture(params=SHAPES, ids=lambda shape: "x".join(map(str, shape)))
def shape(request: pytest.FixtureRequest) -> tuple[int, int, int]:
    found: tuple[int, int, int] = request.param
    return found


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def stored(request: pytest.FixtureRequest) -> torch.dtype:
    """The type that weights are stored in."""
    found: torch.dtype = request.param
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`case` runs over the golden cases of the format that the test's module is named after."""
    if "case" in metafunc.fixturenames:
        name = metafunc.module.__name__.rpartition("test_saes_")[2]
        found = cases(name)
        assert found, f"no golden files of {name}"
        metafunc.parametrize("case", found)
