"""Files of torch.save: what their pickle says without being run, and what is refused."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import zipfile
from collections import OrderedDict

import pytest
import torch
from torch import nn

from harness.errors import ModelError
from harness_saes.core.stored import Stored
from harness_saes.files.pt_file import load_pt, read_pt

NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "ae.pt"


@pytest.mark.parametrize("protocol", [2, 3])
def test_equals_what_torch_loads(file, protocol):
    state = OrderedDict(nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2)).state_dict())
    state["parameter"] = nn.Parameter(torch.randn(4))
    state["scalar"] = torch.tensor(3, dtype=torch.int32)
    state["empty"] = torch.zeros(0, 7)
    state["turned"] = torch.randn(3, 4).T
    state["part"] = torch.randn(10, 4)[2:5]
    state["settings"] = {"k": 32, "rate": 0.5, "name": "TopK", "none": None, "yes": True}
    state["settings"]["sizes"] = [1, 2, 3]
    state["inner"] = {"x": torch.randn(2), "deeper": {"y": torch.randn(1)}}
    torch.save(state, file, pickle_protocol=protocol)
    found, read = load_pt(file, "SAE"), read_pt(file)
    assert found.keys() == read.tensors.keys() | read.plain.keys()
    for name, value in found.items():
        if isinstance(value, torch.Tensor):
            assert read.tensors[name] == Stored(NAMES[value.dtype], tuple(value.shape))
        else:
            assert read.plain[name] == value
    assert torch.equal(found["turned"], state["turned"])
    assert torch.equal(found["inner.deeper.y"], state["inner"]["deeper"]["y"])
    assert read.plain["settings.sizes"] == [1, 2, 3]
    assert read.plain["settings.yes"] is True
    assert read.plain["settings.none"] is None


@pytest.mark.parametrize("dtype", NAMES, ids=str)
def test_every_type_of_number(file, dtype):
    torch.save({"x": torch.zeros(2, 3, dtype=dtype)}, file)
    assert read_pt(file).tensors == {"x": Stored(NAMES[dtype], (2, 3))}


@pytest.mark.slow
def test_the_header_needs_no_torch(file):
    torch.save({"x": torch.zeros(2)}, file)
    code = (
        "import sys; from pathlib import Path\n"
        "from harness_saes.files.pt_file import read_pt\n"
        f"assert read_pt(Path({str(file)!r})).tensors['x'].shape == (2,)\n"
        "assert not {'torch', 'numpy'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def refused(file, message):
    for read in (read_pt, lambda file: load_pt(file, "SAE")):
        with pytest.raises(ModelError, match=message) as error:
            read(file)
        assert "\n" not in str(error.value)
        assert str(file) in str(error.value)


@pytest.mark.parametrize("protocol", [2, 3])
def test_a_pickle_that_would_run_code_is_not_run(file, tmp_path, protocol):
    proof = tmp_path / "it ran".replace(" ", "_")
    torch.save({"x": torch.zeros(2), "y": Hostile(proof)}, file, pickle_protocol=protocol)
    refused(file, r"calls (posix|nt)\.system, which would run code. It was not run")
    assert not proof.exists()


@pytest.mark.parametrize("protocol", [4, 5])
def test_protocols_that_torch_does_not_read(file, tmp_path, protocol):
    torch.save({"x": torch.zeros(2)}, file, pickle_protocol=protocol)
    refused(file, f"protocol {protocol}, where torch.save writes 2")
    proof = tmp_path / "it_ran"
    torch.save({"y": Hostile(proof)}, file, pickle_protocol=protocol)
    refused(file, f"protocol {protocol}")
    assert not proof.exists()


def test_a_call_of_a_name_that_is_fetched_is_not_run_either(file, tmp_path):
    """Protocol 0 has other opcodes for the same: none of them is known here."""
    proof = tmp_path / "it_ran"
    torch.save({"x": torch.zeros(2)}, file)
    hostile = f"(dS'x'\ncposix\nsystem\n(S'touch {proof}'\ntRs.".encode()
    replace_pickle(file, hostile)
    refused(file, "Expected a whole file of torch.save|would run code")
    assert not proof.exists()


def replace_pickle(file, pickled):
    with zipfile.ZipFile(file) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(file, "w") as new:
        for name, data in entries.items():
            new.writestr(name, pickled if name.endswith("data.pkl") else data)


def test_a_bare_pickle_is_not_run(file, tmp_path):
    proof = tmp_path / "it_ran"
    file.write_bytes(pickle.dumps({"x": Hostile(proof)}))
    refused(file, "is a pickle without the zip that torch.save puts around it")
    assert not proof.exists()


def test_the_form_before_torch_1_6(file):
    torch.save({"x": torch.zeros(2)}, file, _use_new_zipfile_serialization=False)
    refused(file, "save it anew")


@pytest.mark.parametrize("kept", [0, 3, 200, -1, -30])
def test_a_file_cut_off(file, kept):
    torch.save({"x": torch.zeros(50)}, file)
    file.write_bytes(file.read_bytes()[:kept])
    refused(file, "Expected a whole file of torch.save")


def test_every_byte_of_the_pickle_may_be_wrong(file):
    """Whatever is damaged is refused in one sentence, or still reads as names and shapes."""
    torch.save({"x": torch.zeros(2, 3), "k": 3}, file)
    whole = file.read_bytes()
    start = whole.index(b"\x80\x02")
    for place in range(start, start + 120):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        with contextlib.suppress(ModelError):
            read_pt(file)


def test_a_record_of_another_length(file):
    torch.save({"x": torch.zeros(4)}, file)
    with zipfile.ZipFile(file) as old:
        entries = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(file, "w") as new:
        for name, data in entries.items():
            new.writestr(name, data[:-4] if "/data/" in name else data)
    refused(file, "x has 12 bytes where 4 numbers of F32 are due")


def test_a_record_that_is_missing(file):
    torch.save({"x": torch.zeros(4)}, file)
    with zipfile.ZipFile(file) as old:
        entries = {name: old.read(name) for name in old.namelist() if "/data/" not in name}
    with zipfile.ZipFile(file, "w") as new:
        for name, data in entries.items():
            new.writestr(name, data)
    refused(file, "x has no data where 4 numbers of F32 are due")


def test_records_that_are_compressed(file):
    """Mapped from disk, the compressed bytes would be the numbers: wrong ones, without a word."""
    torch.save({"x": torch.zeros(100)}, file)
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refused(file, "its weights are compressed, which torch.save never does")


def test_a_dictionary_inside_itself(file):
    inside: dict = {"x": torch.zeros(2)}
    inside["again"] = inside
    torch.save(inside, file)
    refused(file, "describes no tensors by name")


@pytest.mark.parametrize("what", [torch.zeros(2), [torch.zeros(2)], "text", 3])
def test_something_else_than_a_dictionary(file, what):
    torch.save(what, file)
    refused(file, "describes no tensors by name")


def test_something_else_than_torch_wrote(file):
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    refused(file, "does not begin like one")
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", "x")
    refused(file, "without the one data.pkl")


def test_no_file(file):
    refused(file, "cannot be read")


def test_what_torch_alone_refuses(file, monkeypatch):
    """A second wall behind ours: torch's own refusal is one sentence too."""
    torch.save({"x": torch.zeros(2)}, file)

    def refuse(*_, **__):
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(ModelError, match=r"^SAE a: ae.pt cannot be read \(first line\)"):
        load_pt(file, "SAE a")

    def advise(*_, **__):
        raise pickle.UnpicklingError("set weights_only to False")

    monkeypatch.setattr(torch, "load", advise)
    with pytest.raises(ModelError, match=r"cannot be read \(torch refuses its pickle too\)"):
        load_pt(file, "SAE a")
