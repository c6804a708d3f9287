"""Whether the claims of a task are about what the task measures, and are held against a control."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from harness.errors import listed, suggestion, unknown
from harness.task.causes import Misfit
from harness.task.claims import NULL, parse
from harness.task.ids import measurable, unmeasured
from harness.task.task import NO_EDIT
from harness.task.terms import same

if TYPE_CHECKING:
    from harness.contract import Axes
    from harness.task.claims import Claim
    from harness.task.ids import Measured
    from harness.task.spec import ClaimSpec
    from harness.task.task import Task
    from harness.task.terms import Term
    from harness.task.validate import KeyParts

DRAW = "draw"
"""The axis of repetitions, whose values a claim averages."""


def read_claims(specs: Mapping[str, ClaimSpec]) -> list[Claim]:
    """The claims of a task, in its order."""
    return [
        parse(name, spec.text, spec.holds, spec.against, spec.source)
        for name, spec in specs.items()
    ]


def unfit_claims(task: Task) -> Iterator[Misfit]:
    """The key and the fault of every claim that could come to nothing but *unmeasured*.

    A claim that the task inherited from what it extends is none, nor is one of the file where
    `--set` changes what is measured: whoever does that need not take out what was expected of
    something else. It comes out as unmeasured, and says why.
    """
    claims = [
        one
        for one in read_claims(task.spec.claims)
        if not of_another(task, ("claims", one.name, "holds"))
    ]
    found = measurable(task.owners())
    for claim in claims:
        so = "the claim would be unmeasured after the run"
        faults = [
            fault
            for term in claim.terms
            for fault in (*term_faults(task, term, found, so), *_several(task, term))
        ]
        at = ("claims", claim.name, "holds")
        yield from (Misfit(at, fault) for fault in dict.fromkeys(faults))
        if claim.against is None or faults:
            continue
        if what := _no_control(task, claim.left, claim.against):
            yield Misfit(("claims", claim.name, "against"), what)


def of_another(task: Task, at: KeyParts) -> bool:
    """Whether what is asked of numbers was written for another task than the one that runs: in a
    file that it extends, or where `--set` changes what is measured."""
    file = task.source.origin(at).file
    if file is None:
        return False
    set_by_hand = (path for path, one in task.source.origins.items() if one.file is None)
    changed = any(path[0] not in ("claims", "families") for path in set_by_hand)
    return file != task.source.file.resolve() or changed


def term_faults(task: Task, term: Term, found: Measured, so: str) -> Iterator[str]:
    """Why no number of the task fits a term: its id, a name on its axes, or an arm that is none.

    `found` is what the task can come to; `so` says what would come of the fault after the run.
    """
    if what := unmeasured(term, found, so):
        yield what
        return
    # An analysis may put what it likes on the other axes of its records.
    own = "analysis" in term.axes
    names = {"analysis": [*task.analyses]} if own else _names(task)
    wrong = False
    for axis, known in names.items():
        if axis in term.axes and not any(same(one, term.axes[axis]) for one in known):
            wrong = True
            yield unknown(axis, term.axes[axis], known)
    if not wrong and not own:
        yield from _no_arm(task, term)


def _names(task: Task) -> dict[str, list[str]]:
    """What may stand on those axes whose values are names of the task."""
    return {
        "experiment": [*task.spec.experiments],
        "direction": [NO_EDIT, *task.directions],
        "evaluator": [*task.evaluators],
        "pair": [*task.spec.pairs],
        "sae": [*task.saes],
        "view": [*task.spec.views],
        "statistic": [*task.statistics],
    }


def _arm(term: Term) -> tuple[str, str] | None:
    """The experiment and the direction that a term names, where it names both."""
    experiment, direction = term.axes.get("experiment"), term.axes.get("direction")
    if experiment is None or direction is None or direction == NO_EDIT:
        return None
    return experiment, direction


def _no_arm(task: Task, term: Term) -> Iterator[str]:
    """What is wrong where a term names an experiment and a direction that make no arm."""
    if (named := _arm(term)) is None:
        return
    experiment, direction = named
    its = task.spec.experiments[experiment].directions
    if direction not in its:
        yield (
            f"the experiment {experiment} has no arm of {direction}. "
            f"Allowed: {listed([NO_EDIT, *its])}."
        )
        return
    steps = _steps(task, direction)
    if not any(_step_of(term, one) for one in steps):
        keys = [key for key in term.axes if any(key in one for one in steps)]
        yield f"{direction} has no such step. Allowed: {_shown(steps, keys)}."


def _several(task: Task, term: Term) -> Iterator[str]:
    """What is wrong where a claim fits several arms that are not draws of one."""
    named = _arm(term)
    its = task.spec.experiments.get(named[0]) if named else None
    if named is None or its is None or named[1] not in its.directions or "analysis" in term.axes:
        return
    fitting = [one for one in _steps(task, named[1]) if _step_of(term, one)]
    if varying := _varying(fitting):
        yield (
            f"fits {len(fitting)} arms, which differ in {listed(varying)}, and a claim is about "
            f"one. Name one of {_shown(fitting, varying)}."
        )


def _steps(task: Task, direction: str) -> list[Axes]:
    """The axes of all variants of a direction."""
    return [axes for one in task.directions[direction] for axes in one.variants(task)]


def _step_of(term: Term, step: Axes) -> bool:
    """Whether a variant has what the term says of its axes."""
    return all(same(value, term.axes[key]) for key, value in step.items() if key in term.axes)


def _varying(steps: Iterable[Axes]) -> list[str]:
    """The axes, draws apart, on which some variants differ."""
    values: dict[str, set[str]] = {}
    for step in steps:
        for key, value in step.items():
            values.setdefault(key, set()).add(str(value))
    return [key for key, many in values.items() if len(many) > 1 and key != DRAW]


def _shown(steps: Iterable[Axes], keys: Iterable[str]) -> str:
    keys = [*keys]
    shown = [", ".join(f"{key}={step[key]}" for key in keys if key in step) for step in steps]
    return "; ".join(dict.fromkeys(shown))


def _no_control(task: Task, left: Term, against: str) -> str:
    """Why `against` is no control of a claim's first term; empty where it is one."""
    if against == NULL:
        if NULL in task.directions:
            return (
                f"may mean the direction {NULL}, or the null of the record. Rename the direction."
            )
        return ""
    if against not in task.directions:
        hint = suggestion(against, [*task.directions, NULL])
        allowed = listed([*task.directions, NULL])
        return f"unknown direction {against!r}. Allowed: {allowed}.{hint}"
    if "direction" not in left.axes:
        return (
            f"puts {against} in the place of a direction, and the condition names none. Write "
            f"direction=… in its first term, or hold it against {NULL!r}."
        )
    if left.axes["direction"] == against:
        return "is the direction of the claim itself. Name a control."
    experiment = task.spec.experiments.get(left.axes.get("experiment", ""))
    if experiment is not None and against not in experiment.directions:
        others = [one for one in experiment.directions if one != left.axes["direction"]]
        return (
            f"{against} is no arm of {left.axes['experiment']}. Allowed: "
            f"{listed([*others, NULL])}. Or add it to the experiment's directions."
        )
    fitting = [one for one in _steps(task, against) if _step_of(left, one)]
    if not fitting:
        steps = _steps(task, against)
        keys = [key for key in left.axes if any(key in one for one in steps)]
        return f"{against} has no step like that of the claim. It has {_shown(steps, keys)}."
    if varying := _varying(fitting):
        return (
            f"{against} has {len(fitting)} arms that differ in {listed(varying)}, and the claim "
            "does not say which of them. Name it in the condition."
        )
    return ""
