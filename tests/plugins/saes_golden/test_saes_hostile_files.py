"""Files that are small and cost much: nested, repeated, or of sizes that no file has."""

from __future__ import annotations

import json
import struct
import time
import zipfile

import pytest

from harness.errors import ModelError
from harness_saes.core.checks import refuse_unknown, wrong
from harness_saes.files.configuration import read_json
from harness_saes.files.header import read_header
from harness_saes.files.pt_file import read_pt
from harness_transformers.files import count_parameters, read_json as read_model_json
from pace import slower


@pytest.mark.parametrize("nested", ["[" * 200_000 + "]" * 200_000, '{"a":' * 100_000 + "1"])
@pytest.mark.parametrize("read", [read_json, lambda file: read_model_json(file, "model x")])
def test_a_configuration_of_nested_lists(tmp_path, nested, read):
    """CASES row 23: 400 kB of nested lists were a RecursionError."""
    file = tmp_path / "cfg.json"
    file.write_text(nested)
    with pytest.raises(ModelError, match=r"cfg\.json") as caught:
        read(file)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("read", [read_json, lambda file: read_model_json(file, "model x")])
def test_a_key_that_comes_twice(tmp_path, read):
    """Whose value counts, readers do not agree on."""
    file = tmp_path / "cfg.json"
    file.write_text('{"a": {"k": 1, "k": 1}}')
    assert read(file) == {"a": {"k": 1}}
    file.write_text('{"a": {"k": 1, "k": 2}}')
    with pytest.raises(ModelError, match=r"cfg\.json.*the key .k. comes twice, with two values"):
        read(file)


def safetensors(file, header):
    written = header if isinstance(header, bytes) else header.encode()
    file.write_bytes(struct.pack("<Q", len(written)) + written + bytes(16))
    return file


ENTRY = '{"W": {"dtype": %s, "shape": %s, "data_offsets": %s}}'


@pytest.mark.parametrize(
    ("dtype", "shape", "offsets"),
    [
        ('"F32"', "[1e999, 2]", "[0, 16]"),
        ('"F32"', "[-1e999, 2]", "[0, 16]"),
        ('"F32"', "[NaN, 2]", "[0, 16]"),
        ('"F32"', "[2.5, 2]", "[0, 16]"),
        ('"F32"', "[-2, -2]", "[0, 16]"),
        ('"F32"', '["2", 2]', "[0, 16]"),
        ('"F32"', "[true, 4]", "[0, 16]"),
        ('"F32"', "[2, 2]", "[0, 1e999]"),
        ('"F32"', f"[{'1, ' * 9999}4]", "[0, 16]"),
        ('"F32"', f"[{'9' * 4000}]", "[0, 16]"),
        (f'"{"F" * 99999}"', "[4]", "[0, 16]"),
        ('["F32"]', "[4]", "[0, 16]"),
    ],
)
def test_a_header_with_sizes_that_no_file_has(tmp_path, dtype, shape, offsets):
    """CASES row 23: a shape of [1e999, 2] was an OverflowError."""
    file = safetensors(tmp_path / "sae_weights.safetensors", ENTRY % (dtype, shape, offsets))
    with pytest.raises(ModelError, match="safetensors") as caught:
        read_header(file)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("shape", ["[1e999, 2]", "[2.5, 2]", "[-2, -2]", "3"])
def test_the_same_header_of_a_model(tmp_path, shape):
    """The kind of CASES row 23: a model's parameters are counted from such headers."""
    file = safetensors(tmp_path / "model.safetensors", ENTRY % ('"F32"', shape, "[0, 16]"))
    with pytest.raises(ModelError, match="no whole safetensors file"):
        count_parameters([file], "model x")


@pytest.mark.parametrize(
    "header", [b"[" * 200_000, b'{"a":' * 100_000, json.dumps({"n" * 10**6: {}}).encode()]
)
def test_a_header_that_is_nested_or_has_long_names(tmp_path, header):
    file = safetensors(tmp_path / "sae_weights.safetensors", header)
    with pytest.raises(ModelError, match="header") as caught:
        read_header(file)
    assert len(str(caught.value)) < 500
    if header[-1:] != b"}":
        with pytest.raises(ModelError, match="no whole safetensors file"):
            count_parameters([file], "model x")


def pt(file, operations):
    """A file of torch.save with this pickle, packed as zip packs it."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("ae/data.pkl", b"\x80\x02" + operations + b".")
    return file


def word(text):
    return b"X" + struct.pack("<I", len(text)) + text


def repeated(one, two, name):
    """{name: a value in which each level holds the level below it twice}, forty levels deep."""
    levels = b"".join(
        one + b"(" + b"h" + bytes([n]) + b"h" + bytes([n]) + two + b"q" + bytes([n + 1]) + b"0"
        for n in range(40)
    )
    return word(b"leaf") + b"q\0" + b"0" + levels + b"}" + name


HOSTILE = {
    "ten million operations": b"}" + b"N0" * 5_000_000,
    "a million operations that stay": b"}" + b"N" * 1_000_000,
    "a list nested through the memo": repeated(b"]", b"e", b"X\1\0\0\0k") + b"h\x28s",
    "a tuple nested through the memo": repeated(b"", b"t", b"X\1\0\0\0k") + b"h\x28s",
    "such a tuple as name": repeated(b"", b"t", b"") + b"h\x28Ns",
    "such a tuple as storage": repeated(b"", b"t", b"") + word(b"k") + b"h\x28Qs",
    "such a tuple as tag of a storage": repeated(b"", b"t", b"")
    + word(b"k")
    + b"(h\x28ctorch\nFloatStorage\n"
    + word(b"0")
    + word(b"cpu")
    + b"K\1tQs",
    "such a tuple as key of a storage": repeated(b"", b"t", b"")
    + word(b"k")
    + b"("
    + word(b"storage")
    + b"ctorch\nFloatStorage\nh\x28"
    + word(b"cpu")
    + b"K\1tQs",
    "a list within itself": b"}" + word(b"k") + b"]q\0h\0as",
    "names of names of names": b"}" + (word(b"n" * 100) + b"}") * 900 + b"s" * 900,
    "a long name": b"}" + word(b"n" * 9_000_000) + b"Ns",
    "a long name to call": b"}" + word(b"k") + b"c" + b"m" * 9_000_000 + b"\nname\n" + b"s",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_small_file_that_costs_much(tmp_path, name):
    """CASES row 25: a minute and 900 MB for a 10 kB file; a message of 42 MB."""
    file = pt(tmp_path / "ae.pt", HOSTILE[name])
    assert file.stat().st_size < 100_000
    begin = time.process_time()
    with pytest.raises(ModelError) as caught:
        read_pt(file)
    assert time.process_time() - begin < 2 * slower()
    assert len(str(caught.value)) < 600
    assert str(caught.value).isprintable()


def test_messages_show_values_in_part():
    """The kind of CASES row 25: what a file says is quoted as far as a reader takes it in."""
    value = [["x" * 10**6] * 1000] * 1000
    assert len(str(wrong("cfg.json", "k", value, "a number"))) < 6000
    assert "k is 3. Allowed" in str(wrong("cfg.json", "k", 3, "text"))
    with pytest.raises(ModelError, match="unknown key") as caught:
        refuse_unknown({"y" * 10**6: 1}, frozenset({"k"}), frozenset(), "cfg.json")
    assert len(str(caught.value)) < 600
