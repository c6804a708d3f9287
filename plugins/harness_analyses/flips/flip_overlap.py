"""Whether two fine-tunes, or two checkpoints, flip the same latents."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np
from scipy import stats

from harness.contract import Findings, Outcome, Record
from harness_analyses.flips.kept import kept
from harness_analyses.flips.options import FlipOverlapOptions as Options
from harness_statistics.flip_rate.arrays import Kept, Key
from harness_statistics.records import number

_CHANCE = "two random sets of latents that are ever on"


class FlipOverlap:
    """Compares the sets of most flipped latents of every two pairs, SAE by SAE.

    A, B: the `top` latents with the most flips in either pair, ties by index; fewer where fewer
    flip at all. `flip_overlap.count@1` = |A ∩ B|, in [0, top]; `flip_overlap.jaccard@1` =
    |A ∩ B| / |A ∪ B|, in [0, 1]. Nulls: of two random sets as large among the M latents that are
    on at any token of either pair, |A||B|/M is expected in common (hypergeometric), with `p` the
    chance of as many or more; for Jaccard, that number in place of |A ∩ B|.

    Axes `pair`, `against`, `sae`, `site`; checkpoints of a fine-tune are pairs like any others.
    Table `overlaps`: the same numbers in rows.
    Undefined where a pair flips nothing, and where the two counted SAEs of different widths.
    Source: METHODS sections 3 and 4.
    """

    def __init__(self, given: Options) -> None:
        self.options = given

    def run(self, findings: Findings) -> Outcome:
        """Compares every two pairs that share an SAE and a site: records and a table."""
        found = kept(findings, self.options.statistics, self.options.condition)
        places: dict[tuple[str, str], dict[Key, Kept]] = {}
        pairs = self.options.pairs or tuple(dict.fromkeys(key.pair for key in found))
        for pair in pairs:  # in the order in which the task names them
            for key, values in found.items():
                if key.pair == pair:
                    places.setdefault((key.sae, key.site), {})[key] = values
        records: list[Record] = []
        rows: list[dict[str, Any]] = []
        for of in places.values():
            for one, other in combinations(of, 2):
                both = list(self._compared(one, other, of))
                records += both
                rows.append(_row(both))
        return Outcome(tuple(records), {"overlaps": rows})

    def _compared(self, one: Key, other: Key, found: Mapping[Key, Kept]) -> Iterator[Record]:
        left, right = found[one], found[other]
        why = None
        first, second = left.most(self.options.top), right.most(self.options.top)
        if len(left.flips) != len(right.flips):
            why = f"latents of {len(left.flips)} and of {len(right.flips)} have nothing in common"
        elif not len(first) or not len(second):
            why = f"no latent flips in {one.pair if not len(first) else other.pair!r}"
        shared = len(np.intersect1d(first, second))
        together = len(first) + len(second)
        chance = jaccard = p = 0.0
        if why is None:
            alive = int(np.count_nonzero(left.support + right.support))
            chance = len(first) * len(second) / alive
            jaccard = shared / (together - shared)
            p = float(stats.hypergeom.sf(shared - 1, alive, len(first), len(second)))
        numbers = (
            ("flip_overlap.count@1", float(shared), "latents", chance),
            ("flip_overlap.jaccard@1", jaccard, "ratio", chance / max(1.0, together - chance)),
        )
        for id, value, unit, null in numbers:
            yield number(
                id,
                value,
                why,
                n=together,
                n_of="latents",
                unit=unit,
                options={"top": self.options.top},
                ci_why="flips of each latent are not kept for every draw of documents",
                null=None if why else {"kind": _CHANCE, "value": null, "p": p},
                axes={**one.axes, "against": other.pair},
            )


def _row(both: list[Record]) -> dict[str, Any]:
    count, jaccard = both
    null = count.null or {}
    return {
        **{name: count.axes[name] for name in ("pair", "against", "sae", "site")},
        "shared": None if count.value is None else int(count.value),
        "expected": null.get("value"),
        "p": null.get("p"),
        "jaccard": jaccard.value,
    }
