"""Judges chunks of completions: what any process of a run does for an evaluator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.contract import Answer, Evaluator, EvaluatorOptions, OneByOne, Tools, Verdict
from harness.errors import PluginError
from harness.planning.plan import Plan
from harness.running.progress import Tick
from harness.running.session import Session
from harness.task.task import Entry

CHUNK = 256
"""Answers that are judged at a time: at most as many are asked again after a crash."""
SPREAD = 32
"""The same of judges that are models of the task, whose chunks workers share."""


@dataclass(frozen=True)
class JudgeAnswers:
    """Has one evaluator of the task judge chunks of answers."""

    evaluator: str

    def open(
        self, session: Session, plan: Plan, tick: Tick
    ) -> Callable[[Sequence[Answer]], list[Verdict]]:
        """Loads the models that the evaluator asks."""
        entry = session.task.evaluators[self.evaluator]
        evaluator: Evaluator = entry.build()
        tools = session.tools(entry.options, tick)

        def judge(answers: Sequence[Answer]) -> list[Verdict]:
            told = _Told(tick)
            found = verdicts_on(entry, evaluator, answers, replace(tools, tick=told))
            tick(len(answers) - told.count)
            return found

        return judge


def verdicts_on(
    entry: Entry[Any], evaluator: Evaluator, answers: Sequence[Answer], tools: Tools
) -> list[Verdict]:
    """One verdict for each of these answers, whatever others there are.

    Raises PluginError where the evaluator, which `entry` has built, gives more or fewer.
    """
    found = list(evaluator.judge(answers, tools))
    if len(found) != len(answers):
        raise PluginError(
            f"evaluators.{entry.name}: {entry.owner} gave {len(found)} verdicts on {len(answers)} "
            "completions. It must give one for each. Report it to the plugin's author."
        )
    return found


def worth_spreading(session: Session, options: EvaluatorOptions) -> bool:
    """Whether an evaluator asks models of this machine, and nobody else: what a server answers is
    asked for by the head alone, several requests at a time, and what needs no model is quick."""
    models = [session.model(name) for name in session.models_named(options)]
    served = any(isinstance(model, OneByOne) for model in models)
    return bool(models) and not served and not options.asks_elsewhere()


class _Told:
    """A tick that counts what it was told."""

    def __init__(self, tick: Tick) -> None:
        self._tick = tick
        self.count = 0

    def __call__(self, done: int) -> None:
        self.count += done
        self._tick(done)
