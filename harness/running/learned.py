"""A plan made anew, once models are loaded whose configuration could not be read before."""

from __future__ import annotations

from dataclasses import replace

from harness.errors import TaskError
from harness.planning.plan import Plan
from harness.planning.planner import plan
from harness.running.session import Session
from harness.task.fit import misfits


def learned(planned: Plan, session: Session) -> Plan:
    """The plan with what loaded models tell of themselves; the session has its task then.

    Raises TaskError where what they tell does not fit the task.
    """
    task = planned.task
    unread = [
        name
        for name, facts in task.model_facts.items()
        # Of a model that shows no activations, nobody asks how many blocks it has.
        if facts.layers is None and "activations" in facts.capabilities
    ]
    if not unread:
        return planned
    facts = {**task.model_facts, **{name: session.model(name).facts for name in unread}}
    task = replace(task, model_facts=facts)
    if problems := list(misfits(task)):
        raise TaskError(problems)
    session.task = task
    return plan(task)
