"""Control vectors: what llama.cpp's and repeng's readers get, to the bit, and what fits none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fakes.handmade_run import HOSTILE, SECRET, bare, directions, exported
from harness.contract import Direction, ExportedRun, Found, Site
from harness.errors import DataError
from harness.results.write import write_directions

gguf = pytest.importorskip("gguf", exc_type=ImportError)

from harness_exports.arms.kept_directions import KeptDirection  # noqa: E402
from harness_exports.control_vectors.export import (  # noqa: E402
    ControlVectors,
    model_of_direction,
)
from harness_exports.control_vectors.layer import layer_of  # noqa: E402
from harness_exports.control_vectors.options import ControlVectorsOptions  # noqa: E402


def llama_cpp(file: Path, n_layer: int, strength: float = 1.0) -> list[np.ndarray | None]:
    """What llama.cpp adds to the output of each block, by its own rules, written down from
    `common_control_vector_load_one` and `llama_adapter_cvec::apply`."""
    width, data = -1, np.zeros(0, np.float32)
    for tensor in gguf.GGUFReader(file).tensors:
        stem, _, number = tensor.name.partition(".")
        layer = int(number) if stem == "direction" else -1
        assert layer > 0, "invalid direction tensor layer index"
        assert tensor.tensor_type == gguf.GGMLQuantizationType.F32, "non-F32"
        assert len(tensor.shape) == 1, "non-1D"
        width = int(tensor.shape[0]) if width < 0 else width
        assert width == int(tensor.shape[0])
        if width * layer > len(data):
            data = np.concatenate([data, np.zeros(width * layer - len(data), np.float32)])
        data[width * (layer - 1) : width * layer] += tensor.data * np.float32(strength)
    added: list[np.ndarray | None] = [None] * n_layer
    for il in range(1, n_layer):
        offset = width * (il - 1)
        if offset + width <= len(data):
            added[il] = data[offset : offset + width]
    return added


def repeng(file: Path) -> tuple[str, dict[int, np.ndarray]]:
    """`ControlVector.import_gguf`: the hint, and the directions by layer."""
    reader = gguf.GGUFReader(file)
    fields = {key: reader.get_field(key) for key in ("general.architecture",)}
    assert str(bytes(fields["general.architecture"].parts[-1]), "utf-8") == "controlvector"
    hint = str(bytes(reader.get_field("controlvector.model_hint").parts[-1]), "utf-8")
    return hint, {int(one.name.split(".")[1]): one.data for one in reader.tensors}


def written(content: str | bytes, folder: Path) -> Path:
    assert isinstance(content, bytes)
    (folder / "vector.gguf").write_bytes(content)
    return folder / "vector.gguf"


def kept(site: Site, rank: int = 1) -> KeptDirection:
    return KeptDirection("d", {}, str(site), np.ones((rank, 4)), "", ())


@pytest.mark.parametrize("layer", [1, 4, 11])
def test_it_acts_on_the_output_of_its_own_block(layer: int, tmp_path: Path) -> None:
    """Not on the block before or behind it: adding there is `addition` at resid_post."""
    (tmp_path / "directions").mkdir()
    vectors = np.random.default_rng(layer).normal(size=(1, 6))
    write_directions(tmp_path, {"d": [Found(Direction(Site("resid_post", layer), vectors))]})
    run = ExportedRun(_results(), tmp_path, ())
    ((_, content),) = exported(ControlVectors(ControlVectorsOptions()), run)[0].items()
    added = llama_cpp(written(content, tmp_path), n_layer=12)
    for block, vector in enumerate(added):
        if block == layer:
            assert vector is not None
            assert vector.tobytes() == vectors[0].astype(np.float32).tobytes()
        else:
            assert vector is None or not vector.any()


def _results() -> Any:
    from harness.contract import Results

    return Results("complete", {"name": "x"}, {}, ())


def test_every_direction_comes_back_to_the_bit(run: ExportedRun, tmp_path: Path) -> None:
    files, _ = exported(ControlVectors(ControlVectorsOptions()), run)
    found = {
        "refusal.gguf": ("refusal", 0, 4),
        "rebuilt-k-2.gguf": ("rebuilt", 0, 4),
        "entering.gguf": ("entering", 0, 2),
        "pcs-site-resid_post.4-pc-1.gguf": ("pcs", 1, 4),
        "pcs-site-resid_post.5-pc-1.gguf": ("pcs", 2, 5),
    }
    assert set(files) == set(found)
    for path, (name, which, layer) in found.items():
        direction = directions()[name][which].direction
        assert isinstance(direction, Direction)
        file = written(files[path], tmp_path)
        hint, read = repeng(file)
        assert list(read) == [layer]
        assert read[layer].tobytes() == direction.vectors[0].astype(np.float32).tobytes()
        assert hint in ("local/tuned", "unknown")
        norm = gguf.GGUFReader(file).get_field("sae_harness.norm_as_found").contents()
        assert norm == pytest.approx(np.linalg.norm(direction.vectors[0]), rel=1e-15)


def test_several_files_add_up_over_layers(run: ExportedRun, tmp_path: Path) -> None:
    """A direction over several layers is a file for each: llama.cpp takes all of them."""
    files, _ = exported(ControlVectors(ControlVectorsOptions(directions=("pcs",))), run)
    acts = []
    for content in files.values():
        added = llama_cpp(written(content, tmp_path), n_layer=8)
        acts.append([il for il, one in enumerate(added) if one is not None and one.any()])
    assert acts == [[4], [5]]


def test_what_is_no_control_vector_is_left_out_and_why(run: ExportedRun) -> None:
    _, out = exported(ControlVectors(ControlVectorsOptions()), run)
    assert out == {
        "pcs site=resid_post.4": "it has 3 vectors, and a control vector is one for each layer",
        "first": "it lives at resid_post.0, before the second block, where llama.cpp adds nothing",
        "mlp": "it lives at mlp_out.4, and llama.cpp adds to the outputs of blocks alone",
        "words": "it lives at embed, before the second block, where llama.cpp adds nothing",
        "far": "its numbers are beyond what float32 holds, and llama.cpp has no other",
    }


@pytest.mark.parametrize("layer", range(1, 5))
def test_what_enters_a_block_is_what_the_one_before_it_gives(layer: int) -> None:
    leaves, enters = Site("resid_post", layer), Site("resid_pre", layer + 1)
    assert leaves.same_place(enters)
    assert layer_of(kept(leaves)) == layer_of(kept(enters)) == layer


@pytest.mark.parametrize(
    "site", ["resid_pre.0", "resid_pre.1", "attn_out.3", "attn_z.3", "mlp_in.3", "model.norm"]
)
def test_other_places_are_refused(site: str) -> None:
    with pytest.raises(ValueError, match="it lives at"):
        layer_of(replace(kept(Site("embed")), site=site))


def test_scale_unit_makes_the_strength_the_length(run: ExportedRun, tmp_path: Path) -> None:
    options = ControlVectorsOptions(scale="unit", directions=("refusal",), model_hint="gemma2")
    ((_, content),) = exported(ControlVectors(options), run)[0].items()
    hint, read = repeng(written(content, tmp_path))
    vector = directions()["refusal"][0].direction.vectors[0]  # type: ignore[union-attr]
    assert hint == "gemma2"
    expected = (vector / np.sqrt(np.sum(vector**2))).astype(np.float32)
    assert np.array_equal(read[4], expected)


def test_the_file_says_what_it_is_of(run: ExportedRun, tmp_path: Path) -> None:
    files, _ = exported(ControlVectors(ControlVectorsOptions(directions=("refusal",))), run)
    reader = gguf.GGUFReader(written(files["refusal.gguf"], tmp_path))
    facts = {key: field.contents() for key, field in reader.fields.items()}
    assert facts["general.architecture"] == "controlvector"
    assert facts["controlvector.layer_count"] == 1
    assert facts["sae_harness.site"] == "resid_post.4"
    assert facts["sae_harness.method"] == "difference_in_means"
    assert "positive strength" in facts["sae_harness.sign"]
    assert len(facts["sae_harness.direction_sha256"]) == 64
    assert SECRET not in repr(facts)


def test_what_it_says_is_harmless_for_a_terminal(run: ExportedRun, tmp_path: Path) -> None:
    task = {**run.results.task, "directions": {"refusal": {"method": f"\ud800{HOSTILE}"}}}
    hostile = replace(run, results=replace(run.results, task=task))
    files, _ = exported(ControlVectors(ControlVectorsOptions(directions=("refusal",))), hostile)
    reader = gguf.GGUFReader(written(files["refusal.gguf"], tmp_path))
    method = reader.get_field("sae_harness.method").contents()
    assert "<script>alert(1)</script>" in method
    assert not set(method) & {"\x1b", "\u202e", "\ud800"}


def test_the_same_run_gives_the_same_bytes(run: ExportedRun) -> None:
    first, again = (exported(ControlVectors(ControlVectorsOptions()), run)[0] for _ in range(2))
    assert first == again


def test_a_direction_belongs_to_the_model_that_it_was_found_in() -> None:
    task = {
        "views": {"chat": {"model": "tuned"}, "plain": {"model": "base"}},
        "pairs": {"both": {"left": "plain", "right": "chat"}},
        "directions": {
            "of_view": {"view": "plain"},
            "of_pair": {"pair": "both"},
            "like": {"like": "target"},
            "target": {"target": "of_view"},
            "circle": {"like": "circle"},
            "nobody": {},
        },
    }
    found = {name: model_of_direction(task, name) for name in task["directions"]}
    assert found == {
        "of_view": "base",
        "of_pair": "tuned",
        "like": "base",
        "target": "base",
        "circle": None,
        "nobody": None,
    }


def test_what_is_missing_is_said_in_one_line(run: ExportedRun, tmp_path: Path) -> None:
    nothing = bare(run, tmp_path)
    with pytest.raises(DataError, match=r"directions: is not there or empty, though .* Put them"):
        exported(ControlVectors(ControlVectorsOptions()), nothing)
    task = {key: value for key, value in run.results.task.items() if key != "directions"}
    never = replace(nothing, results=replace(nothing.results, task=task))
    with pytest.raises(DataError, match=r"has no directions, .* Add \[directions\]"):
        exported(ControlVectors(ControlVectorsOptions()), never)
    with pytest.raises(DataError, match=r"unknown direction 'refusla'\. Allowed: .*refusal"):
        exported(ControlVectors(ControlVectorsOptions(directions=("refusla",))), run)
    with pytest.raises(DataError, match=r"none of its directions .*mlp_out\.4"):
        exported(ControlVectors(ControlVectorsOptions(directions=("mlp", "words"))), run)
