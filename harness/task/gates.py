"""The language of gates: `latent_overlap.topk[site=resid_post.3] >= 0.5`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.task.terms import AXES, ID, read_limit, read_term

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
    rf"""\s*(?:(?P<bound>low|high)\(\s*)?
    (?P<id>{ID})
    (?P<axes>{AXES})?
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
    limit = read_limit(text, found["limit"])
    term = read_term(text, found["id"], found["axes"])
    bound: Bound = found["bound"] or "value"  # type: ignore[assignment]
    return Gate(name, text, term.id, term.axes, bound, found["operator"], limit)
