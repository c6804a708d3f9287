"""What the many p values of a comparison say together."""

from __future__ import annotations

from collections.abc import Sequence

from harness.results.paired import Difference

RATE = 0.05
"""The rate of false discoveries that is told."""


def together(differences: Sequence[Difference]) -> str:
    """How many are discoveries, beside how many p are small by chance; empty below two p.

    Of all p values of the comparison, those with Benjamini and Hochberg's q up to `RATE`; numbers
    that are the same in all runs count, too.
    """
    ps = [one.p for one in differences if one.p is not None]
    if len(ps) < 2:
        return ""
    import numpy as np

    from harness.results.adjust import adjusted, discovered

    found = discovered(adjusted(np.array(ps)), RATE)
    small, chance, rate = sum(p <= RATE for p in ps), RATE * len(ps), f"{100 * RATE:g}%"
    text = f"Of all {len(ps)} p, {small} are <= {RATE:g}; by chance at most {chance:.3g} would be. "
    if not found.any():
        return text + f"None is a discovery, if at most {rate} of those may be false."
    largest = max(p for p, yes in zip(ps, found, strict=True) if yes)
    return text + (
        f"Discoveries, of which at most {rate} are false: {int(found.sum())}, those with p <= "
        f"{largest:.2g} (Benjamini and Hochberg)."
    )
