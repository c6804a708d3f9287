"""Models that do not offer what a task asks of them: said by `check`, at the key that asks."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from fakes.tasks import EXPERIMENT, PROBE, only
from harness.contract import USUAL, BackendOptions, ModelFacts
from harness.task.task import Task

MakeTask = Callable[..., Task]
Problems = Callable[..., list[str]]

WRITER = ("models.chat.offers=['generation']",)
"""The model `chat` only answers prompts; `base` is as usual."""
PAIR = '[pairs.p]\nleft = "base"\nright = "chat"\ndata = "web"\nsaes = ["mid"]\n'
PLAIN = '[experiments.e]\nview = "chat"\ndata = "web"\nevaluators = ["polite"]\n'
ON_CHAT = 'view = "chat"\ndata = "web"\n'


@pytest.mark.parametrize(
    ("text", "key", "who", "what"),
    [
        (PAIR, "pairs.p.right", "a pair", "activations"),
        (f'[metrics.m]\nmethod = "mean"\nsites = ["resid_post.1"]\n{ON_CHAT}',
         "metrics.m.view", "fake/mean", "activations"),
        (f'[metrics.m]\nmethod = "surprise"\nsites = ["resid_post.1"]\n{ON_CHAT}',
         "metrics.m.view", "fake/surprise", "logits"),
        (PROBE + ON_CHAT, "directions.d.view", "fake/probe", "activations"),
        (f'[statistics.s]\nmethod = "tally"\n{ON_CHAT}', "statistics.s.view", "fake/tally",
         "activations"),
        (PROBE + 'view = "base"\ndata = "web"\n' + EXPERIMENT, "experiments.e.intervention",
         "fake/shift", "edits"),
        ('[experiments.e]\nview = "chat"\nevaluators = ["quiz"]\n', "experiments.e.evaluators",
         "the benchmark quiz", "activations, logits and tokens"),
        ('[saes.own]\nformat = "fake"\nmodel = "chat"\nsite = "resid_post.2"\n',
         "saes.own.model", "an SAE", "activations"),
        (PROBE + 'view = "base"\ndata = "web"\n'
         '[views.turned]\nmodel = "chat"\nedit = { method = "shift", direction = "d" }\n',
         "views.turned.edit", "an edit of what a view reads", "activations and edits"),
    ],
)  # fmt: skip
def test_each_use_is_refused_at_its_key(
    task: MakeTask, problems: Problems, text: str, key: str, who: str, what: str
) -> None:
    task(text)  # with a model that offers it, it is fine
    found = [one for one in problems(text, *WRITER) if "of a model" in one]
    only(found, rf"{re.escape(key)}: {who} needs {what} of a model", "Allowed: a model whose")


def test_one_model_is_one_mistake(problems: Problems) -> None:
    text = PAIR + PROBE + ON_CHAT + '[metrics.mean]\npair = "p"\nsites = ["resid_post.1"]\n'
    only(problems(text, *WRITER), r"pairs\.p\.right", "Also at: metrics.mean.pair, directions.d")


def test_what_answers_may_answer(task: MakeTask) -> None:
    assert "e" in task(PLAIN, *WRITER).spec.experiments


def test_what_does_not_answer_is_not_asked(problems: Problems) -> None:
    found = problems(PLAIN, "models.chat.offers=['activations', 'edits']")
    only(found, r"experiments\.e\.view: an experiment needs generation", "offers activations and")


def test_a_backend_that_says_nothing_offers_what_it_did() -> None:
    assert BackendOptions().describe().capabilities == ModelFacts().capabilities == USUAL
    assert "gradients" not in USUAL
    assert {"activations", "logits", "edits", "generation", "tokens"} == USUAL


def test_expected_sizes_leave_what_is_offered(problems: Problems) -> None:
    found = problems(PAIR, *WRITER, "models.chat.expect.layers=4")
    assert any("pairs.p.right: a pair needs activations" in one for one in found)
