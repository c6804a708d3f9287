"""The directions that a run has found, and the arrays of its statistics."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from harness.contract import Arrays, Axes, Direction, Found, Outcome, Undefined
from harness.task.task import Instance


class Directions:
    """Keeps what direction finders and statistics yield, and finds it again by name and axes."""

    def __init__(self) -> None:
        self.found: dict[str, list[Found]] = {}
        """By the name of the direction in the task: its variants, each with all of its axes."""
        self.arrays: list[Arrays] = []

    def keep(self, instance: Instance, outcome: Outcome, layers: int | None) -> None:
        """Keeps the directions and the arrays of an outcome, under the axes of its sweep.

        `layers` is the number of blocks of the model that was read; with it, a site given as a
        fraction of depth becomes that of a block.
        """
        self.keep_arrays(instance, outcome, instance.axes)
        for found in outcome.directions:
            direction = found.direction
            if isinstance(direction, Direction) and layers:
                direction = replace(direction, site=direction.site.at(layers))
            axes = {**instance.axes, **found.axes}
            kept = replace(found, direction=direction, axes=axes)
            self.found.setdefault(instance.entry, []).append(kept)

    def keep_arrays(self, instance: Instance, outcome: Outcome, axes: Axes) -> None:
        """Keeps the arrays of an outcome, if it has any, under these axes."""
        if outcome.arrays:
            self.arrays.append(Arrays(instance.entry, dict(axes), dict(outcome.arrays)))

    def __contains__(self, name: str) -> bool:
        return name in self.found

    def direction(self, name: str, axes: Mapping[str, object]) -> Direction | Undefined:
        """The variant of a direction with these axes, or its only variant, whatever its axes.

        Undefined where it has several and none of these axes. Raises KeyError where no such
        direction has been found yet.
        """
        variants = self.found[name]
        if len(variants) == 1:
            return variants[0].direction
        return self._with_axes(name, axes) or Undefined(f"{name} has no variant with {dict(axes)}")

    def variant(self, name: str, axes: Axes) -> Direction | Undefined:
        """The variant of a direction with exactly these axes; Undefined where there is none."""
        found = self._with_axes(name, axes)
        return found or Undefined(f"{name} did not yield a direction for {dict(axes)}")

    def _with_axes(self, name: str, axes: Mapping[str, object]) -> Direction | Undefined | None:
        variants = self.found.get(name, ())
        return next((found.direction for found in variants if found.axes == axes), None)


def direction_hash(direction: Direction | Undefined, sae: str = "") -> str:
    """A hash of all that an edit may take from a direction: its fields, but for `missing`.

    `sae` stands for the SAE of its features, in the place of what the task calls that.
    """
    if isinstance(direction, Undefined):
        return f"undefined: {direction.reason}"
    others = {**vars(direction), "site": str(direction.site), "vectors": direction.vectors.shape}
    del others["missing"], others["origin"], others["readers"]
    others["sae"] = None if direction.sae is None else sae
    digest = hashlib.sha256(direction.vectors.astype("<f8").tobytes())
    if direction.origin is not None:
        digest.update(b"origin" + direction.origin.astype("<f8").tobytes())
    if direction.readers is not None:
        digest.update(b"readers" + direction.readers.astype("<f8").tobytes())
    digest.update(repr(sorted(others.items())).encode())
    return digest.hexdigest()
