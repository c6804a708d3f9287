"""The language of gates: `latent_overlap.topk[site=resid_post.3] >= 0.5`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Bound = Literal["value", "low", "high"]
OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}
_FORM = re.compile(
    r"""\s*(?:(?P<bound>low|high)\(\s*)?
    (?P<id>[A-Za-z_][\w.-]*(?:@\d+)?)
    (?:\[(?P<axes>[^\]]*)\])?
    (?(bound)\s*\))
    \s*(?P<operator>>=|<=|==|!=|>|<)
    \s*(?P<limit>[^\s=]\S*)\s*""",
    re.VERBOSE,
)
EXAMPLE = "latent_overlap.topk[site=resid_post.3] >= 0.5"


@dataclass(frozen=True)
class Gate:
    """A condition on every record with this id and these axes.

    `bound` is what of it is compared: the value, or the lower or upper end of its interval.
    """

    name: str
    text: str
    id: str
    """With or without a version."""
    axes: Mapping[str, str]
    bound: Bound
    operator: str
    limit: float

    def holds(self, number: float) -> bool:
        """Whether a number fulfils it."""
        return OPERATORS[self.operator](number, self.limit)


def parse(name: str, text: str) -> Gate:
    """A gate from its text. ValueError says what is wrong with it, in words.

    `id[axis=value, …] OP number`, with OP one of >=, <=, >, <, ==, !=; `low(…)` and `high(…)`
    around the left side compare the ends of the 95% interval.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(
            f"{text!r} is no condition. Write an id, axes in brackets, a comparison and a number, "
            f"such as {EXAMPLE!r}"
        )
    try:
        limit = float(found["limit"])
    except ValueError:
        limit = math.nan
    if math.isnan(limit):
        raise ValueError(f"{text!r}: {found['limit']!r} is no number to compare with")
    axes: dict[str, str] = {}
    for part in (found["axes"] or "").split(","):
        key, equals, value = part.partition("=")
        if not part.strip():
            continue
        if not equals or not key.strip() or not value.strip():
            raise ValueError(f"{text!r}: {part.strip()!r} is no axis. Write axis=value")
        if key.strip() in axes:
            raise ValueError(f"{text!r}: the axis {key.strip()} stands there twice")
        axes[key.strip()] = value.strip().strip("\"'")
    bound: Bound = found["bound"] or "value"  # type: ignore[assignment]
    return Gate(name, text, found["id"], axes, bound, found["operator"], limit)
