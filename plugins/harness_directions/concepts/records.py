"""Records of directions that two sets of text tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.contract import Axes, Record, Site
from harness_directions.concepts.moments import Moments


@dataclass(frozen=True)
class About:
    """What the records of one direction have in common."""

    axes: Axes
    options: Mapping[str, Any]
    n: int
    n_of: str = "prompts"
    clusters: int | None = None

    def record(
        self, id: str, value: float | None, unit: str, why: str | None, ci_why: str, **rest: Any
    ) -> Record:
        """A number without an interval; undefined, for the reason `why`, where there is one."""
        return Record(
            id, None if why else value, self.n, self.n_of, unit, options=self.options,
            clusters=self.clusters, ci_why=ci_why, undefined=why, axes=self.axes, **rest,
        )  # fmt: skip

    def norm(self, value: float | None, why: str | None) -> Record:
        """`direction.norm@1`, the length of the direction, in units of the activation."""
        because = "the length of one vector; no interval is computed for it"
        return self.record("direction.norm@1", value, "activation", why, because)


def about(view: str, site: Site, tokens: str, *sets: Moments | None) -> About:
    """What the records say of a direction that was found in these sets."""
    prompts = sum(one.prompts for one in sets if one is not None)
    return About({"view": view, "site": str(site)}, {"tokens": tokens}, prompts)


def class_rows(sets: Mapping[str, tuple[str, Moments | None]]) -> list[dict[str, Any]]:
    """The table `classes`: for each class its data, prompts, tokens and the length of its mean."""
    rows = []
    for name, (data, one) in sets.items():
        norm = None if one is None else float(np.linalg.norm(one.mean))
        rows.append(
            {
                "class": name,
                "data": data,
                "prompts": 0 if one is None else one.prompts,
                "tokens": 0 if one is None else one.tokens,
                "mean_norm": norm if norm is not None and np.isfinite(norm) else None,
            }
        )
    return rows
