"""The card's section about limits: warnings, undefined numbers, and what such numbers can say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from harness.contract import Results
from harness_exports.card.markdown import text

_MOST = 8
_ALWAYS = (
    "The numbers hold for these models, on this text, at these sites, and nothing says how they "
    "are elsewhere.",
    "An SAE that was trained on one model cannot name what only another one has.",
    "That an intervention changes an answer says that what it took or added matters for it, not "
    "that nothing else does.",
)


def limits(results: Results) -> Iterator[str]:
    """What whoever reads the card must know."""
    yield "## Limits"
    yield ""
    yield from (f"- {sentence}" for sentence in _ALWAYS)
    yield from (f"- Warning of the run: {text(warning)}" for warning in results.warnings)
    reasons = Counter(
        (one.undefined or "no reason was given").rstrip(".")
        for one in results.records
        if one.value is None
    )
    for reason, count in reasons.most_common(_MOST):
        word = "number is" if count == 1 else "numbers are"
        yield f"- {count:,} {word} undefined: {text(reason)}."
    if (more := len(reasons) - _MOST) > 0:
        yield f"- And {more:,} more reasons why numbers are undefined, in `results.json`."
    yield ""
