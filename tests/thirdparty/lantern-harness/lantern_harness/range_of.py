"""Between which sites a number differs most."""

from __future__ import annotations

from harness.contract import Findings, Outcome, Record
from lantern_harness.options import RangeOfOptions


class RangeOf:
    """The largest value of a record minus the smallest, over all that have the axis `site`.

    Record `range_of@1`. Table `findings`, with a sentence for the answer of the run. Undefined with
    fewer than two values.
    """

    def __init__(self, options: RangeOfOptions) -> None:
        self.options = options

    def run(self, findings: Findings) -> Outcome:
        """One record; a sentence where there is a range."""
        found = [
            one
            for one in findings.records
            if one.id == self.options.record and one.value is not None and "site" in one.axes
        ]
        if len(found) < 2:
            why = f"{self.options.record} has {len(found)} values at sites; a range needs two"
            return Outcome((self._record(None, found, why),))
        low, *_, high = sorted(found, key=lambda one: (one.value, str(one.axes)))
        assert low.value is not None
        assert high.value is not None
        value = high.value - low.value
        name = self.options.record.partition("@")[0]
        verdict = (
            f"{name} is {low.value:.3g} at {low.axes['site']} and {high.value:.3g} at "
            f"{high.axes['site']}"
        )
        return Outcome((self._record(value, found, None),), {"findings": [{"verdict": verdict}]})

    def _record(self, value: float | None, found: list[Record], why: str | None) -> Record:
        return Record(
            "range_of@1",
            value,
            len(found),
            "records",
            found[0].unit if found else "unknown",
            options={"record": self.options.record},
            ci_why=why or "sites of one model are no sample",
            undefined=why,
        )
