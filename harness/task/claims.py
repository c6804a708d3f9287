"""The language of claims: `refusal_score[direction=chat_features, k=32] <= 0.5`."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.task.terms import AXES, ID, read_limit, read_term

if TYPE_CHECKING:
    from harness.task.terms import Term

NULL = "null"
"""What a claim is `against` where it is held against the record's own null."""
Join = Literal["-", "/"]
Comparison = Literal["<=", "<", ">=", ">"]
EXAMPLE = "refusal_score[experiment=bypass, direction=chat_features, k=32] <= 0.5"
_FORM = re.compile(
    rf"""\s*(?P<left>{ID})\s*(?P<left_axes>{AXES})?
    (?:\s*(?P<join>[-/])\s*(?P<right>{ID})\s*(?P<right_axes>{AXES})?)?
    \s*(?P<comparison><=|>=|==|!=|<|>)
    \s*(?P<bound>[^\s=]\S*)\s*""",
    re.VERBOSE,
)
_COMPARE: Mapping[Comparison, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
_ENDS = re.compile(r"\b(?:low|high)\s*\(")


@dataclass(frozen=True)
class Claim:
    """What a task expects of one number, or of the difference or the ratio of two."""

    name: str
    text: str
    """The claim in words."""
    holds: str
    """Its condition, as the task writes it."""
    left: Term
    join: Join | None
    """What stands between the two terms, where there are two."""
    right: Term | None
    comparison: Comparison
    bound: float
    against: str | None = None
    """The direction in whose place a control stands, or `null`."""
    source: str | None = None

    @property
    def terms(self) -> tuple[Term, ...]:
        """One term, or both."""
        return (self.left,) if self.right is None else (self.left, self.right)

    @property
    def below(self) -> bool:
        """Whether the number is claimed to be small."""
        return self.comparison in ("<=", "<")


def allows(comparison: Comparison, number: float, bound: float) -> bool:
    """Whether a number stands so to a bound."""
    return _COMPARE[comparison](number, bound)


def parse(
    name: str, text: str, holds: str, against: str | None = None, source: str | None = None
) -> Claim:
    """A claim from what the task writes. ValueError says what is wrong with it, in words.

    `id[axis=value, …] <= number`, with one of <=, <, >=, >; on the left also `term - term`, with
    spaces around the minus, or `term / term`.
    """
    if _ENDS.search(holds):
        raise ValueError(
            f"{holds!r}: a claim is about the number itself, and its whole interval must lie on "
            "one side of the bound anyway. Leave out low(…) and high(…)"
        )
    found = _FORM.fullmatch(holds)
    if found is None:
        raise ValueError(
            f"{holds!r} is no condition. Write an id, axes in brackets, a comparison and a number, "
            f"such as {EXAMPLE!r}; on the left may stand a difference (`term - term`) or a ratio"
        )
    if found["comparison"] in ("==", "!="):
        raise ValueError(
            f"{holds!r}: no measurement shows that a number is exactly another, or is not: its "
            "interval always has a width. Compare with <=, <, >= or >; for nearly equal, write two "
            "claims, one for each side"
        )
    right = read_term(holds, found["right"], found["right_axes"]) if found["right"] else None
    return Claim(
        name,
        text,
        holds,
        read_term(holds, found["left"], found["left_axes"]),
        found["join"],  # type: ignore[arg-type]
        right,
        found["comparison"],  # type: ignore[arg-type]
        read_limit(holds, found["bound"]),
        against,
        source,
    )
