"""Finite checks and hashes of tensors: exact, the same as before, and found once a file."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from safetensors.torch import save_file
from torch import Tensor

from harness.errors import ModelError
from harness.store import known_files as states
from harness.store.known_files import SMALLEST, KnownFiles, knowing
from harness_saes.core import numbers
from harness_saes.core.config import Config
from harness_saes.core.linear import LinearSae, fingerprint, finite_on
from harness_saes.core.numbers import finite, hash_of
from harness_saes.core.origin import on_device, origin_of
from harness_saes.files.header import load_safetensors
from harness_saes.files.npz import load_npz
from harness_saes.files.pt_file import load_pt
from harness_saes.files.slices import load_slice

D, N = 256, 2048
FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
EIGHTH = (
    torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz,
)  # fmt: skip


def _slow_hash(told: str, tensors: dict[str, Tensor]) -> str:
    """As it was written when the first keys of caches were made."""
    digest = hashlib.sha256(told.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous().cpu()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _weights(seed: int = 0, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=draw).to(dtype)

    return {"W_enc": normal(D, N), "W_dec": normal(N, D), "b_enc": normal(N), "b_dec": normal(D)}


@pytest.fixture(autouse=True)
def _long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of the test count as written ten seconds ago."""
    now = states.time.time_ns
    monkeypatch.setattr(states.time, "time_ns", lambda: now() + 10 * 10**9)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of all tensors that were hashed."""
    found: list[int] = []
    slow = numbers._hashed

    def counted(told: str, tensors: dict[str, Tensor]) -> str:
        found.extend(one.numel() for one in tensors.values())
        return slow(told, tensors)

    monkeypatch.setattr(numbers, "_hashed", counted)
    return found


# ── Finite ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_number_is_enough(dtype: torch.dtype, bad: float, monkeypatch) -> None:
    monkeypatch.setattr(numbers, "_CHUNK", 64)
    draw = np.random.default_rng(3)
    for shape in [(), (7,), (5, 9), (40, 33), (3, 4, 5)]:
        tensor = torch.zeros(shape, dtype=dtype)
        assert finite(tensor)
        tensor.view(-1)[int(draw.integers(tensor.numel()))] = bad
        assert not finite(tensor)
        assert not finite(tensor.permute(list(range(tensor.ndim))[::-1]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_sums_that_overflow_are_looked_at(dtype: torch.dtype) -> None:
    most = torch.full((64, 64), torch.finfo(dtype).max, dtype=dtype)
    assert finite(most)
    assert finite(torch.cat([most, -most]))
    most[3, 5] = float("inf")
    assert not finite(most)


@pytest.mark.parametrize("dtype", EIGHTH)
def test_numbers_of_one_byte(dtype: torch.dtype) -> None:
    """torch adds them, and of most does not know whether they are finite."""
    held = torch.ones(9, 5).to(dtype)
    assert finite(held)
    assert finite_on("cpu", {"W_dec": held}, "w")["W_dec"] is held
    held.view(torch.uint8)[2, 3] = torch.tensor(float("nan")).to(dtype).view(torch.uint8)
    assert not finite(held)
    with pytest.raises(ModelError, match="W_dec has 1 values that are not finite, of 45"):
        finite_on("cpu", {"W_dec": held}, "w")


def test_opposite_infinities_do_not_cancel() -> None:
    assert not finite(torch.tensor([float("inf"), -float("inf")]))


def test_whole_numbers_and_nothing_are_finite() -> None:
    assert finite(torch.tensor([2**62, -(2**62)]))
    assert finite(torch.zeros(0, 4))
    assert finite(torch.tensor([True]))


def test_a_bad_tensor_is_named_each_time(tmp_path: Path) -> None:
    weights = _weights()
    weights["W_dec"][3, 4] = float("nan")
    save_file(weights, tmp_path / "w.safetensors")
    with knowing(KnownFiles()):
        for _ in range(2):
            with pytest.raises(ModelError, match="W_dec has 1 values that are not finite"):
                finite_on("cpu", load_safetensors(tmp_path / "w.safetensors"), "w")


# ── Hashes ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("dtype", FLOATS)
def test_hashes_are_those_of_before(dtype: torch.dtype, tmp_path: Path) -> None:
    weights = _weights(1, dtype)
    save_file(weights, tmp_path / "w.safetensors")
    torch.save(weights, tmp_path / "w.pt")
    held = [weights, load_safetensors(tmp_path / "w.safetensors")]
    held.append(load_pt(tmp_path / "w.pt", "w"))
    if dtype != torch.bfloat16:
        np.savez(tmp_path / "w.npz", **{name: one.numpy() for name, one in weights.items()})
        held.append(load_npz(tmp_path / "w.npz"))
    with knowing(KnownFiles()):
        for tensors in held:
            for _ in range(2):
                assert hash_of("told", tensors) == _slow_hash("told", weights)
                turned = {**tensors, "W_enc": tensors["W_dec"].T}
                assert hash_of("told", turned) == _slow_hash("told", turned)
                halves = {**tensors, "b_enc": tensors["b_enc"][N // 2 :]}
                assert hash_of("told", halves) == _slow_hash("told", halves)


def test_the_fingerprint_of_an_sae_is_that_of_before() -> None:
    """Made by the version of commit 9e1bff8: keys of caches hang on it."""
    tensors = {
        "W_enc": torch.arange(6.0).reshape(2, 3),
        "W_dec": torch.arange(6.0).reshape(3, 2),
        "b_enc": torch.zeros(3),
        "b_dec": torch.ones(2),
    }
    found = fingerprint(Config("topk", 2, 3, k=1), tensors, torch.float32)
    assert found == "7d0ea2f3f22fce45669eb48646c79be7ccafea7c81de44cbd1f1b2c708403c1c"


@pytest.mark.parametrize("kind", ["safetensors", "npz", "pt"])
def test_a_file_is_hashed_once(kind: str, tmp_path: Path, hashed: list[int]) -> None:
    file, weights = tmp_path / f"w.{kind}", _weights()
    with knowing(KnownFiles()):
        first = hash_of("told", _written(file, weights))
        assert sum(hashed) == sum(one.numel() for one in weights.values())
        hashed.clear()
        again = _load(file)
        assert hash_of("told", again) == first
        assert sum(hashed) == 0
        assert hash_of("else", again) != first, "the configuration counts"
        swapped = {**again, "W_dec": again["W_enc"], "W_enc": again["W_dec"]}
        assert hash_of("told", swapped) == _slow_hash("told", swapped), "and which is which"
        half = {**again, "W_dec": again["W_dec"][: N // 2]}
        assert hash_of("told", half) == _slow_hash("told", half), "and what part of it"


def test_other_numbers_are_hashed(tmp_path: Path, hashed: list[int]) -> None:
    """What is made from a file's numbers, and a small tensor beside them."""
    with knowing(KnownFiles()):
        held = _written(tmp_path / "w.safetensors", _weights())
        for factor in (1.0, 2.0):
            made = {**held, "W_enc": held["W_enc"] * factor, "W_dec": held["W_dec"] * factor}
            assert hash_of("told", made) == _slow_hash("told", made)
            small = {**held, "threshold": torch.full((N,), factor)}
            assert hash_of("told", small) == _slow_hash("told", small)
        hashed.clear()
        hash_of("told", {**held, "threshold": torch.full((N,), 2.0)})
        assert sum(hashed) == N


def test_a_changed_file_is_hashed_again(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    with knowing(KnownFiles()):
        first = hash_of("told", _written(file, _weights(1)))
        before = file.stat()
        second = _written(file, _weights(2))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert file.stat().st_size == before.st_size
        assert hash_of("told", _load(file)) == hash_of("told", second) != first


def test_numbers_changed_in_memory_have_no_origin(tmp_path: Path) -> None:
    held = _written(tmp_path / "w.safetensors", _weights())
    assert origin_of(held["b_enc"]) is not None
    with knowing(KnownFiles()):
        first = hash_of("told", held)
        held["b_enc"][0] += 1
        assert origin_of(held["b_enc"]) is None
        assert hash_of("told", held) == _slow_hash("told", held) != first


def test_what_is_copied_has_no_origin(tmp_path: Path) -> None:
    held = _written(tmp_path / "w.safetensors", _weights())["W_enc"]
    views = [held.T, held[:3], held.to(torch.float32), held.contiguous(), on_device(held, "cpu")]
    assert all(origin_of(one) is not None for one in views)
    assert len({origin_of(one) for one in views[:3]}) == 3
    for other in (held.clone(), held * 1, held.T.contiguous(), held.double()):
        assert origin_of(other) is None
    with torch.inference_mode():
        assert origin_of(_load(tmp_path / "w.safetensors")["W_enc"]) is None


def test_young_files_leave_no_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "w.safetensors"
    save_file(_weights(), file)
    born = file.stat().st_ctime_ns
    monkeypatch.setattr(states.time, "time_ns", lambda: born + 10**9)
    assert origin_of(load_safetensors(file)["W_enc"]) is None


@pytest.mark.parametrize("turned", ["while it is read", "later"])
def test_a_link_that_is_turned_leaves_no_origin(turned: str, tmp_path: Path, monkeypatch) -> None:
    """What was read through a link may be of the file that it pointed to before, or of the next."""
    one, other, link = (tmp_path / f"{name}.safetensors" for name in ("one", "other", "link"))
    expected = [_written(file, _weights(seed)) for file, seed in ((one, 1), (other, 2))]
    link.symlink_to(one)

    def turn() -> None:
        link.unlink()
        link.symlink_to(other)

    if turned == "while it is read":
        load = safetensors.torch.load_file
        monkeypatch.setattr(safetensors.torch, "load_file", lambda file: (turn(), load(file))[1])
    held = load_safetensors(link)
    if turned == "later":
        turn()
    with knowing(KnownFiles()):
        of = expected[1 if turned == "while it is read" else 0]
        assert hash_of("told", held) == _slow_hash("told", of)
        assert hash_of("told", load_safetensors(one)) == _slow_hash("told", expected[0])


def test_parts_of_a_tensor_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_file({"w": torch.randn(3, SMALLEST)}, file)
    with knowing(KnownFiles()):
        for _ in range(2):
            for index in ((0,), (1,), (2,), (None, 5), ()):
                part = {"w": load_slice(file, "w", index)}
                assert hash_of("told", part) == _slow_hash("told", part), index


# ── Memory ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks at Linux' maps")
def test_weights_as_stored_are_the_pages_of_the_file(tmp_path: Path) -> None:
    """No private copy of the two matrices: workers share the pages of the system."""
    file = tmp_path / "w.safetensors"
    held = _written(file, _weights())
    sae = LinearSae(Config("topk", D, N, k=4), finite_on("cpu", held, "w"))
    sae.reconstruct(sae.encode(torch.randn(3, D)))
    for matrix in (sae._w_enc, sae._w_dec):
        assert _mapped(matrix) == str(file)
    assert _mapped(sae._w_enc * 1) != str(file)


def _mapped(tensor: Tensor) -> str:
    """The file whose pages a tensor lies in."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, *about = line.split()
        start, end = (int(one, 16) for one in span.split("-"))
        if start <= tensor.data_ptr() < end:
            return about[-1]
    return ""


def _written(file: Path, weights: dict[str, Tensor]) -> dict[str, Any]:
    """The weights of a file of any form that was just written."""
    new = file.with_name(f"new{file.suffix}")
    if file.suffix == ".npz":
        np.savez(new, **{name: one.numpy() for name, one in weights.items()})
    elif file.suffix == ".pt":
        torch.save(weights, new)
    else:
        save_file(weights, new)
    new.replace(file)  # what is mapped is never written to
    return _load(file)


def _load(file: Path) -> dict[str, Any]:
    if file.suffix == ".npz":
        return load_npz(file)
    return load_pt(file, "w") if file.suffix == ".pt" else load_safetensors(file)
