"""What the tests of transcoders of several layers share: a hub that is a folder, and messages."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.errors import ModelError
from harness_saes.plugin import harness_components

Change = Callable[[Path, Mapping[str, Tensor | None]], None]


@pytest.fixture
def change() -> Change:
    """Puts other tensors into a file; None takes one out."""

    def of(file: Path, changes: Mapping[str, Tensor | None]) -> None:
        found = {**load_file(file), **changes}
        kept = {name: tensor.contiguous() for name, tensor in found.items() if tensor is not None}
        save_file(kept, file)

    return of


@pytest.fixture
def library() -> Callable[..., ModuleType]:
    """A module of the library that wrote a format, where it is installed; its imports may warn."""

    def of(name: str) -> ModuleType:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return importlib.import_module(name)
            except ImportError as error:
                pytest.skip(f"{name} is not installed ({error})")

    return of


@pytest.fixture
def claiming() -> Callable[[Path], list[str]]:
    """The formats that say a place is theirs."""

    def of(path: Path) -> list[str]:
        found = []
        for component in harness_components():
            module, _, name = component.options.partition(":")
            if getattr(importlib.import_module(module), name).claims(str(path)):
                found.append(component.name)
        return found

    return of


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """The folder of a repository in an empty cache of the hub."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))

    def of(repository: str) -> Path:
        root = tmp_path / "cache" / f"models--{repository.replace('/', '--')}"
        (root / "refs").mkdir(parents=True, exist_ok=True)
        (root / "refs" / "main").write_text("c0ffee")
        folder = root / "snapshots" / "c0ffee"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    return of


@pytest.fixture
def activations() -> Tensor:
    """Forty tokens of width 8, not centred."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(40, 8, generator=generator) * 2 + 0.3


@pytest.fixture
def message() -> Callable[..., str]:
    """The one message of something that must fail; it names no traceback and no other error."""

    def of(does: Callable[..., object], *given: object) -> str:
        with pytest.raises(ModelError) as caught:
            does(*given)
        text = str(caught.value)
        assert "Traceback" not in text
        assert "\n" not in text
        return text

    return of
