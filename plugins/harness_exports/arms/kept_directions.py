"""The directions that a run has kept, read from `directions/*.safetensors` of its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract import Axes
from harness.errors import DataError
from harness.text import shown_path

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, eq=False)
class KeptDirection:
    """One direction of a run, as its file has it."""

    name: str
    """Its name in the task."""
    axes: Axes
    """Which of its variants it is."""
    site: str
    """Where its vectors live."""
    vectors: np.ndarray
    """Float64 `[rank, d_site]`."""
    sae: str
    """The SAE whose features it is made of; empty without one."""
    features: tuple[int, ...]
    """Those features."""

    @property
    def sha256(self) -> str:
        """A hash of the site and the vectors as float64, little end first: of what acts, and not of
        the file around it."""
        import numpy as np

        found = hashlib.sha256(f"{self.site}\n{self.vectors.shape}\n".encode())
        found.update(np.ascontiguousarray(self.vectors, "<f8").tobytes())
        return found.hexdigest()


def kept_directions(folder: Path) -> list[KeptDirection]:
    """All directions in a run's folder, in the order of their files' names.

    Raises DataError for a file that is no direction.
    """
    return [_read(file) for file in sorted((folder / "directions").glob("*.safetensors"))]


def kept_direction(found: Sequence[KeptDirection], axes: Axes) -> KeptDirection | None:
    """The direction of an arm with these axes; None where the run kept none.

    An arm may have more axes than its direction, so the one with the most of them is it.
    """
    name = axes.get("direction")
    mine = [
        one
        for one in found
        if one.name == name and all(axes.get(key) == one.axes[key] for key in one.axes)
    ]
    return max(mine, key=lambda one: len(one.axes), default=None)


def _read(file: Path) -> KeptDirection:
    import numpy as np
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as content:
            metadata = content.metadata() or {}
            vectors = np.asarray(content.get_tensor("vectors"), np.float64)
        axes, features = _json(metadata, "axes", "{}"), _json(metadata, "features", "[]")
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ValueError("its vectors are no finite matrix")
        if not isinstance(axes, dict) or not isinstance(features, list):
            raise ValueError("its axes are no object, or its features no list")
        return KeptDirection(
            _name(file),
            axes,
            metadata["site"],
            vectors,
            metadata.get("sae", ""),
            tuple(map(int, features)),
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise DataError(
            f"{shown_path(file)}: is no direction of a run: {error}. Allowed: the files that a run "
            "has written there. Remove it, or run the task again."
        ) from None


def _json(metadata: Mapping[str, str], key: str, default: str) -> Any:
    return json.loads(metadata.get(key, default))


def _name(file: Path) -> str:
    """The name in the task, which has no bracket: `chat_features` of `chat_features[k=8]`."""
    return file.name.removesuffix(".safetensors").partition("[")[0]
