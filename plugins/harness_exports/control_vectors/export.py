"""The export `gguf`: a control vector for each direction of a run that can be one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from gguf import GGUFWriter

from harness.contract import ExportedRun, ExportFile, LeftOut
from harness.errors import DataError, unknown
from harness.text import shown_path, visible
from harness_exports.arms.arms import arm_label
from harness_exports.arms.file_names import FileNames
from harness_exports.arms.identity import run_hash
from harness_exports.arms.kept_directions import KeptDirection, kept_directions
from harness_exports.arms.subjects import subject
from harness_exports.arms.tables import table
from harness_exports.control_vectors.layer import layer_of
from harness_exports.control_vectors.options import ControlVectorsOptions

_ARCHITECTURE = "controlvector"
_LONGEST = 400
"""Characters of a text in a file; llama.cpp writes them to a terminal."""
_SIGN = "added as found: a positive strength leads where the direction points"


class ControlVectors:
    """One file for each direction: the tensor `direction.N`, float32, 1-D, and what it is of.

    llama.cpp adds strength times the tensor to the output of block N at every position, prompt and
    answer, which is what `addition` does at `resid_post.N`. A direction that other interventions
    use is exported all the same: it can be added, and nothing else. Files of several layers, or of
    one, add up when llama.cpp is given all of them.
    Source: repeng `ControlVector.export_gguf`; llama.cpp `common_control_vector_load_one`.
    """

    def __init__(self, options: ControlVectorsOptions) -> None:
        self.options = options

    def files(self, run: ExportedRun) -> Iterator[ExportFile | LeftOut]:
        """The control vectors, and the directions that cannot be one."""
        names = FileNames(".gguf")
        hashed = run_hash(run.results)
        made, why = 0, ""
        for direction in self._chosen(run):
            label = arm_label({"direction": direction.name, **direction.axes})
            try:
                layer, vector = layer_of(direction), self._vector(direction)
            except ValueError as error:
                why = why or f"{label}: {error}"
                yield LeftOut(label, str(error))
                continue
            made += 1
            hint, facts = self._facts(run, direction, hashed)
            yield ExportFile(names.name(label), control_vector(layer, vector, hint, facts))
        if not made:
            raise DataError(
                f"{shown_path(run.folder)}: none of its directions can be a control vector "
                f"({why}). Allowed: one vector at the output of a block. Export a run that found "
                "such a direction."
            )

    def _chosen(self, run: ExportedRun) -> list[KeptDirection]:
        found = kept_directions(run.folder)
        if not found and table(run.results.task, "directions"):
            raise DataError(
                f"{shown_path(run.folder / 'directions')}: is not there or empty, though the task "
                "finds directions. Allowed: the files that the run has written there. Put them "
                "back, or run the task again into another folder."
            )
        if not found:
            raise DataError(
                f"{shown_path(run.folder)}: has no directions, which control vectors are made of. "
                "Allowed: a run that found some. Add [directions] to the task."
            )
        there = list(dict.fromkeys(one.name for one in found))
        for name in self.options.directions:
            if name not in there:
                raise DataError(f"directions: {unknown('direction', name, there)}")
        return [one for one in found if one.name in (self.options.directions or there)]

    def _vector(self, direction: KeptDirection) -> np.ndarray:
        found = direction.vectors[0]
        if self.options.scale == "unit":
            found = found / np.linalg.norm(found)
        with np.errstate(over="ignore"):
            vector: np.ndarray = np.asarray(found, np.float32)
        if not (np.isfinite(vector).all() and vector.any()):
            raise ValueError(
                "its numbers are beyond what float32 holds, and llama.cpp has no other"
            )
        return vector

    def _facts(
        self, run: ExportedRun, direction: KeptDirection, hashed: str
    ) -> tuple[str, dict[str, str | float]]:
        """Whom it is for, and what the file says of the direction."""
        model = model_of_direction(run.results.task, direction.name)
        found_in = "unknown" if model is None else subject(run.results, model).id
        facts: dict[str, str | float] = {
            "direction": direction.name,
            "variant": json.dumps(dict(direction.axes), sort_keys=True),
            "site": direction.site,
            "method": str(table(run.results.task, "directions", direction.name).get("method")),
            "model": found_in,
            "sign": _SIGN,
            "scale": self.options.scale,
            "norm_as_found": float(np.linalg.norm(direction.vectors[0])),
            "direction_sha256": direction.sha256,
            "run_sha256": hashed,
            "run_status": run.results.status,
        }
        return self.options.model_hint or found_in, facts


def control_vector(
    layer: int, vector: np.ndarray, hint: str, facts: Mapping[str, str | float]
) -> bytes:
    """A GGUF file with one tensor, `direction.<layer>`; facts are keys `sae_harness.…`."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "vector.gguf"
        writer = GGUFWriter(file, _ARCHITECTURE)
        writer.add_string(f"{_ARCHITECTURE}.model_hint", visible(hint, _LONGEST))
        writer.add_uint32(f"{_ARCHITECTURE}.layer_count", 1)
        for key, value in facts.items():
            if isinstance(value, str):
                writer.add_string(f"sae_harness.{key}", visible(value, _LONGEST))
            else:
                writer.add_float64(f"sae_harness.{key}", value)
        writer.add_tensor(f"direction.{layer}", np.ascontiguousarray(vector, np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return file.read_bytes()


def model_of_direction(task: Mapping[str, Any], name: str) -> str | None:
    """The model that a direction was found in, by its name in the task; None where it is not said.

    That of its view, or of the right side of its pair; of what rebuilds or imitates another one
    and names neither, that of the other.
    """
    seen: set[str] = set()
    while name not in seen:
        seen.add(name)
        spec = table(task, "directions", name)
        view = spec.get("view") or table(task, "pairs", str(spec.get("pair"))).get("right")
        if view:
            return str(table(task, "views", str(view)).get("model", view))
        other = spec.get("target") or spec.get("like")
        if not isinstance(other, str):
            return None
        name = other
    return None
