"""Models give back what they kept for the next batch before another step of the run begins."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import fakes
from harness.results.read import Results
from harness.running.experiments.batch import WriteBatches
from harness.running.experiments.judging import JudgeAnswers
from harness.running.passes.read import ReadShards
from harness.running.session import Session

STEPS = (ReadShards, WriteBatches, JudgeAnswers)


def test_all_models_rest_that_can(
    session: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = session()
    running.rest()
    base = running.model("base")
    running.rest()  # a model that keeps nothing is not asked
    rested: list[object] = []
    monkeypatch.setattr(fakes.FakeModel, "rest", lambda its: rested.append(its), raising=False)
    chat = running.model("chat")
    assert rested == []
    running.rest()
    assert rested == [one._model for one in (base, chat)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("executor", ["", '[executor]\nmethod = "desk"\nworkers = 3\n'])
def test_they_rest_before_each_step_and_not_within_one(
    run_task: Callable[..., Results], monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    happened: list[str] = []
    rest = Session.rest
    monkeypatch.setattr(Session, "rest", lambda its: (happened.append("rest"), rest(its))[1])

    for step in STEPS:
        begin = step.open

        def noted(its, *given, begin=begin, name=step.__name__):  # type: ignore[no-untyped-def]
            happened.append(name)
            return begin(its, *given)

        monkeypatch.setattr(step, "open", noted)
    run_task(fakes.EXPERIMENT + executor)
    assert {"WriteBatches", "JudgeAnswers"} <= {*happened}
    steps = [at for at, what in enumerate(happened) if what != "rest"]
    assert all(happened[at - 1] == "rest" for at in steps)
    assert happened.count("rest") == len(steps)
