"""`harness plugins check`: the laws that can be tried on an installed component.

Those of its declaration are tried on every one (`declared`); those of its kind where it ships
samples (`Component.samples`), with the same `harness.testing.check_*` that its tests call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.authoring.conformance.declared import declared_laws
from harness.authoring.conformance.lightness import Imports, imports_of
from harness.authoring.conformance.sampled import sampled_laws
from harness.errors import HarnessError
from harness.registry import Owned
from harness.text import for_terminal

Outcome = Literal["passed", "FAILED", "skipped"]


@dataclass(frozen=True)
class Verdict:
    """What became of one law of one component."""

    owned: Owned
    outcome: Outcome
    law: str
    why: str = ""

    def __str__(self) -> str:
        why = f": {for_terminal(self.why, 600)}" if self.why else ""
        return f"  {self.outcome}  {for_terminal(self.law, 200)}{why}"


def check(components: Sequence[Owned]) -> Iterator[Verdict]:
    """The verdicts on some components, as they are found; each plugin is probed once."""
    imports: dict[str, Imports] = {}
    for owned in components:
        name = owned.plugin.name
        if name not in imports:
            imports[name] = imports_of(owned.plugin)
        for law in (*declared_laws(owned, imports[name]), *sampled_laws(owned)):
            try:
                kept = tuple(law.attempt())
            except AssertionError as error:
                broken = str(error).removeprefix("law broken: ")
                yield Verdict(owned, "FAILED", law.name, broken or "it does not hold")
            except HarnessError as error:
                yield Verdict(owned, "FAILED", law.name, str(error))
            except Exception as error:  # a stranger's code may raise anything
                yield Verdict(owned, "FAILED", law.name, f"{type(error).__name__}: {error}")
            else:
                outcome: Outcome = "skipped" if law.skipped else "passed"
                yield Verdict(owned, outcome, law.name, law.skipped)
                yield from (Verdict(owned, "passed", f"{law.name}: {one}") for one in kept)
