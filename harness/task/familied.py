"""Whether the families of a task are about what it measures, and are held against a control."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from harness.errors import listed, suggestion
from harness.task.causes import Misfit
from harness.task.claimed import of_another, term_faults
from harness.task.families import parse
from harness.task.ids import measurable
from harness.task.task import NO_EDIT

if TYPE_CHECKING:
    from harness.task.families import Family
    from harness.task.family_spec import FamilySpec
    from harness.task.task import Task
    from harness.task.terms import Term


def read_families(specs: Mapping[str, FamilySpec]) -> list[Family]:
    """The families of a task, in its order."""
    return [
        parse(
            name, spec.text, spec.numbers, spec.rate, spec.against, spec.dependence, spec.source
        )
        for name, spec in specs.items()
    ]  # fmt: skip


def unfit_families(task: Task) -> Iterator[Misfit]:
    """The key and the fault of every family that nothing in the task could give a member.

    As with claims, a family that was written for another task is none: it comes out as unmeasured.
    """
    families = [
        one
        for one in read_families(task.spec.families)
        if not of_another(task, ("families", one.name, "of"))
    ]
    found = measurable(task.owners())
    for family in families:
        so = "the family would have no member after the run"
        faults = [fault for term in family.terms for fault in term_faults(task, term, found, so)]
        at = ("families", family.name)
        yield from (Misfit((*at, "of"), fault) for fault in dict.fromkeys(faults))
        if family.against is None or faults:
            continue
        if what := _no_control(task, family.against):
            yield Misfit((*at, "against"), what)
            continue
        for fault in dict.fromkeys(
            fault for term in family.terms for fault in _not_held(task, term, family.against)
        ):
            yield Misfit((*at, "against"), fault)


def _no_control(task: Task, against: str) -> str:
    """Why a name is no control; empty where it is one."""
    if against == NO_EDIT or against in task.directions:
        return ""
    known = [NO_EDIT, *task.directions]
    return f"unknown direction {against!r}. Allowed: {listed(known)}.{suggestion(against, known)}"


def _not_held(task: Task, term: Term, against: str) -> Iterator[str]:
    """Why the numbers of a term could not be held against a control."""
    if term.axes.get("direction") in (NO_EDIT, against):
        yield (
            f"holds {term.axes['direction']} against {against}: neither the control nor the "
            "un-edited arm is a member. Name the directions that are asked about."
        )
        return
    named = term.axes.get("experiment")
    its = {
        name: spec.directions
        for name, spec in task.spec.experiments.items()
        if named is None or name == named
    }
    if not any(against == NO_EDIT or against in directions for directions in its.values()):
        where = f"experiment {named}" if named else "experiment of the task"
        others = [name for directions in its.values() for name in directions]
        yield (
            f"{against} is no arm of the {where}. Allowed: {listed([NO_EDIT, *others])}. Or add it "
            "to the experiment's directions."
        )
