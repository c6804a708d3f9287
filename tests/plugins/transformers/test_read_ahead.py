"""Weights of a model are hashed once a file, by whoever comes first, and are pages of the file."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.store import known_files
from harness.store.cache import Cache
from harness.store.known_files import KnownFiles, knowing
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions

from .conftest import load


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["llama"], tmp_path / "model"))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all files that were read to be hashed; small ones count as large, and all as
    written ten seconds ago."""
    found: list[str] = []
    now, slow = known_files.time.time_ns, known_files._read

    def counted(file: Path) -> str:
        found.append(file.name)
        return slow(file)

    monkeypatch.setattr(known_files, "SMALLEST", 0)
    monkeypatch.setattr(known_files.time, "time_ns", lambda: now() + 10**10)
    monkeypatch.setattr(known_files, "_read", counted)
    return found


def _another(cache: Path) -> Any:
    """As another process, which knows what is in the cache."""
    return knowing(KnownFiles(Cache(cache, 10**9)))


def test_later_loads_hash_no_file(folder: Path, tmp_path: Path, reads: list[str]) -> None:
    plain = load(folder).fingerprint
    reads.clear()
    with _another(tmp_path / "cache"):
        assert load(folder).fingerprint == plain
    assert "model.safetensors" in reads
    reads.clear()
    with _another(tmp_path / "cache"):
        assert load(folder).fingerprint == plain
    assert not reads


def test_what_was_read_ahead_is_not_read_again(
    folder: Path, tmp_path: Path, reads: list[str]
) -> None:
    backend = TransformersBackend(TransformersOptions(path=str(folder), device="cpu"))
    with _another(tmp_path / "cache"):
        before = torch.get_default_dtype()
        backend.read_ahead()
        assert torch.get_default_dtype() == before
        assert reads == ["model.safetensors"]
        backend.load()
    assert reads.count("model.safetensors") == 1


def test_without_files_nothing_is_read_ahead(tmp_path: Path, reads: list[str]) -> None:
    backend = TransformersBackend(TransformersOptions(path="nobody/nothing", device="cpu"))
    backend.read_ahead()
    assert not reads


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks at Linux' maps")
def test_weights_in_the_dtype_of_the_file_are_its_pages(folder: Path) -> None:
    model = load(folder, dtype="float32")
    weight = next(iter(model.hf.parameters()))
    spans = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith("model.safetensors"):
            spans.append([int(one, 16) for one in line.split()[0].split("-")])
    assert any(start <= weight.data_ptr() < end for start, end in spans)
