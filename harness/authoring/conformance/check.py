"""`harness plugins check`: tries the laws of the contract on installed components.

The laws of a declaration are tried on every component (`declared`). The laws of its kind are tried
where it ships samples (`Component.samples`), by the `harness.testing.check_*` that its own tests
call, too (`sampled`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.authoring.conformance.declared import declared_laws
from harness.authoring.conformance.law import Law, NotTried
from harness.authoring.conformance.lightness import Imports, imports_of
from harness.authoring.conformance.sampled import sampled_law
from harness.errors import HarnessError
from harness.registry import Owned

Outcome = Literal["passed", "FAILED", "not tried"]


@dataclass(frozen=True)
class LawResult:
    """What came out when one law was tried on one component."""

    owned: Owned
    outcome: Outcome
    law: str
    why: str = ""
    """What is broken, or why there was nothing to try it on; and what to do."""


def check(components: Sequence[Owned], seed: int = 0) -> Iterator[LawResult]:
    """Tries all laws on some components and yields each result as it comes.

    What a plugin imports is looked at once for each plugin, in a process of its own. `seed` is for
    all that the laws of its kind draw.
    """
    imports: dict[str, Imports] = {}
    for owned in components:
        name = owned.plugin.name
        if name not in imports:
            imports[name] = imports_of(owned.plugin)
        for law in (*declared_laws(owned, imports[name]), sampled_law(owned, seed)):
            yield from _results(owned, law)


def _results(owned: Owned, law: Law) -> Iterator[LawResult]:
    """The result of a law, and of each law that it is made of."""
    try:
        kept = law.attempt() or ()
    except NotTried as error:
        yield LawResult(owned, "not tried", law.name, str(error))
    except AssertionError as error:
        broken = str(error).removeprefix("law broken: ")
        yield LawResult(owned, "FAILED", law.name, broken or "it does not hold")
    except HarnessError as error:
        yield LawResult(owned, _absent(owned, error), law.name, str(error))
    except ImportError as error:
        needs = f". It needs: pip install '{owned.component.extra}'."
        why = f"{type(error).__name__}: {error}{needs if owned.component.extra else ''}"
        yield LawResult(owned, _absent(owned, error), law.name, why)
    except Exception as error:  # a stranger's code may raise anything
        yield LawResult(owned, "FAILED", law.name, f"{type(error).__name__}: {error}")
    else:
        yield LawResult(owned, "passed", law.name)
        for one in kept:
            outcome: Outcome = "not tried" if one.untried else "passed"
            yield LawResult(owned, outcome, f"{law.name}: {one.name}", one.untried)


def _absent(owned: Owned, error: BaseException) -> Outcome:
    """A law is not tried where a library is missing that the component names as its extra."""
    cause = error if isinstance(error, ImportError) else error.__cause__
    missing = isinstance(cause, ModuleNotFoundError) and owned.component.extra
    return "not tried" if missing else "FAILED"
