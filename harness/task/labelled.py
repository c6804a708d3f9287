"""Whether labels are of the SAE whose features they are to name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.contract import Ref
from harness.errors import listed
from harness.task.causes import Misfit
from harness.task.validate import marks, references, words

if TYPE_CHECKING:
    from harness.task.task import Task


def mislabelled(task: Task) -> Iterator[Misfit]:
    """Analyses that name labels of an SAE that they are not about: not one would fit.

    One that names no SAE is about whatever its labels are of.
    """
    for name, many in task.analyses.items():
        seen = set()
        for entry in many:
            saes = set(references(entry.options, "saes"))
            for key, mark in marks(type(entry.options)):
                if not isinstance(mark, Ref) or mark.table != "labels":
                    continue
                for labels in words(getattr(entry.options, key)):
                    of = task.spec.labels[labels].sae
                    if not saes or of in saes or (key, labels) in seen:
                        continue
                    seen.add((key, labels))
                    fitting = [one for one, spec in task.spec.labels.items() if spec.sae in saes]
                    yield Misfit(
                        ("analyses", name, key),
                        f"names {labels}, which are labels of the SAE {of}, and the analysis is of "
                        f"{listed(saes)}. Allowed: labels of that SAE: {listed(fitting)}.",
                    )
