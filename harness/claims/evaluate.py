"""Holds the claims of a task against the numbers of a run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from harness.claims.match import control_term, fitting
from harness.claims.more import needed
from harness.claims.number import (
    Number,
    difference,
    join,
    minus_constant,
    of_draws,
    of_record,
)
from harness.contract import ClaimOutcome, ClaimStatus, Results
from harness.errors import DataError
from harness.results.records import null_value
from harness.results.verdicts import Verdicts, together
from harness.task.claims import NULL, Claim, Comparison, allows, parse
from harness.task.terms import Term


def evaluate_results(results: Results) -> tuple[ClaimOutcome, ...]:
    """How the claims of a run's own task came out; DataError where one of them is no claim."""
    written = results.task.get("claims", {})
    try:
        claims = [
            parse(name, str(one["text"]), str(one["holds"]), one.get("against"), one.get("source"))
            for name, one in written.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"claims: {error}.") from error
    return evaluate(claims, results)


def evaluate(claims: Sequence[Claim], results: Results) -> tuple[ClaimOutcome, ...]:
    """How each claim came out.

    Supported where the 95% interval of the left side lies where the condition holds, and, where the
    claim is held against a control, that of the difference to the control lies wholly on the same
    side of 0. Contradicted where either interval lies wholly on the other side. Else undecided.
    """
    if not claims:
        return ()
    measured = _Measured(results)
    return tuple(_outcome(claim, measured) for claim in claims)


class _Measured:
    """The numbers of a run, as terms name them."""

    def __init__(self, results: Results) -> None:
        self.records = results.records
        self.invalid = results.status == "invalid"
        self._verdicts = Verdicts(results)

    def number(self, term: Term) -> Number:
        """The number of a term; `_Missing` says why there is none."""
        found, why = fitting(term, self.records)
        if not found:
            raise _Missing(why)
        defined = [(record, record.value) for record in found if record.value is not None]
        if not defined:
            raise _Missing(f"{_named(term)} is undefined: {found[0].undefined}")
        numbers = [of_record(record, value) for record, value in defined]
        number = numbers[0] if len(found) == 1 else of_draws(numbers)
        if len(defined) < len(found):
            lost = len(found) - len(defined)
            number = replace(number, method=f"{number.method}; {lost} more are undefined")
        scores = together([self._verdicts.of(record) for record, _ in defined])
        if scores is None:
            return number
        return replace(number, scores=scores[0], yes_no=scores[1])

    def null(self, claim: Claim) -> float:
        """What the left side of a claim is where nothing has changed."""
        values = []
        for term in claim.terms:
            found, why = fitting(term, self.records)
            nulls = [null_value(record) for record in found]
            known = [null for null in nulls if null is not None]
            if not known or len(known) < len(nulls):
                raise _Missing(why or f"{_named(term)} has no null to be held against")
            values.append(sum(known) / len(known))
        if claim.join is None:
            return values[0]
        if claim.join == "-":
            return values[0] - values[1]
        if values[1] == 0:
            raise _Missing("the null of the divisor is 0")
        return values[0] / values[1]


class _Missing(Exception):
    """A number that a claim needs is not there."""


def _outcome(claim: Claim, measured: _Measured) -> ClaimOutcome:
    bare = ClaimOutcome(
        claim.name, claim.text, claim.holds, "unmeasured", bound=claim.bound,
        against=claim.against, source=claim.source,
    )  # fmt: skip
    if measured.invalid:
        return replace(bare, why="the run is invalid, so its numbers may mean something else")
    try:
        effect = _left_side(claim, claim.terms, measured)
    except _Missing as missing:
        return replace(bare, why=str(missing))
    found = replace(
        bare, effect=effect.value, ci=effect.ci, n=effect.n, n_of=effect.n_of, method=effect.method
    )
    tests = [_Test(effect, claim.bound, claim.comparison)]
    if claim.against is not None:
        try:
            control, apart, test = _against(claim, claim.against, effect, measured)
        except _Missing as missing:
            return replace(found, why=f"{claim.against}: {missing}")
        found = replace(
            found, control=control, difference=apart.value, difference_ci=apart.ci,
            difference_method=apart.method,
        )  # fmt: skip
        tests.append(test)
    status = _together([test.status for test in tests])
    if status != "undecided":
        return replace(found, status=status)
    more, why = _more(effect.n, [test for test in tests if test.status == "undecided"])
    return replace(found, status=status, more=more, why=why)


@dataclass(frozen=True)
class _Test:
    """A number, and the bound that its interval must leave out."""

    number: Number
    bound: float
    comparison: Comparison
    same: str = "the effect is the bound itself"
    """What is said where the number is the bound."""

    @property
    def status(self) -> ClaimStatus:
        """Where the interval lies."""
        ends = self.number.decisive
        if ends is None:
            return "undecided"
        allowed = [allows(self.comparison, end, self.bound) for end in ends]
        if all(allowed):
            return "supported"
        return "undecided" if any(allowed) else "contradicted"


def _together(statuses: Sequence[ClaimStatus]) -> ClaimStatus:
    if "contradicted" in statuses:
        return "contradicted"
    return "undecided" if "undecided" in statuses else "supported"


def _left_side(claim: Claim, terms: Sequence[Term], measured: _Measured) -> Number:
    numbers = [measured.number(term) for term in terms]
    if claim.join is None:
        return numbers[0]
    found = join(numbers[0], numbers[1], claim.join)
    if isinstance(found, str):
        raise _Missing(found)
    return found


def _against(
    claim: Claim, against: str, effect: Number, measured: _Measured
) -> tuple[float, Number, _Test]:
    """The control's number, the effect minus it, and the test that the effect is beyond it."""
    beyond: Comparison = "<" if claim.below else ">"
    if against == NULL:
        null = measured.null(claim)
        test = _Test(effect, null, beyond, "the effect is the null itself")
        return null, minus_constant(effect, null), test
    direction = claim.left.axes.get("direction")
    terms = [
        control_term(term, against, measured.records)
        if term.axes.get("direction") == direction
        else term
        for term in claim.terms
    ]
    control = _left_side(claim, terms, measured)
    if claim.join == "-" and terms[1] == claim.right:  # which drops out of the difference
        apart = difference(measured.number(claim.left), measured.number(terms[0]))
    else:
        apart = difference(effect, control)
    test = _Test(apart, 0.0, beyond, "the effect is exactly that of the control")
    return control.value, apart, test


def _more(n: int, undecided: Sequence[_Test]) -> tuple[int | None, str | None]:
    """How many more would decide all of what is undecided; where no number would, why not."""
    totals = []
    for test in undecided:
        if reason := next(_hopeless(test), None):
            return None, reason
        number = test.number
        assert number.model is not None
        total = needed(number.model, number.value, test.bound, number.n)
        if total is None:
            return None, "even 10 million would not decide it"
        totals.append(total / number.n)
    return max(1, round(n * max(totals)) - n), _exact(undecided)


def _hopeless(test: _Test) -> Iterator[str]:
    """Why no number of prompts decides a test, where none does."""
    number = test.number
    if number.ci is None or number.model is None:
        yield number.ci_why or "it has no interval"
    elif number.value == test.bound:
        yield f"{test.same}, so no number of {number.n_of} would decide it"
    elif abs(number.value - test.bound) <= number.draws_half:
        yield f"draws differ too much: more of them are needed, rather than {number.n_of}"


def _exact(undecided: Sequence[_Test]) -> str | None:
    """That a short interval near 0 or 1 did not decide, where it alone would have."""
    for test in undecided:
        number = test.number
        if number.limits is None or number.ci is None:
            continue
        own = replace(number, limits=None)
        if replace(test, number=own).status != "undecided":
            ends = ", ".join(f"{end:.3g}" for end in number.limits)
            return (
                f"the interval leaves out the bound, but the exact binomial one, {ends}, does not"
            )
    return None


def _named(term: Term) -> str:
    axes = ", ".join(f"{key}={value}" for key, value in term.axes.items())
    return f"{term.id}[{axes}]" if axes else term.id
