"""What the laws are tried on, by `harness plugins check`.

Where a model judges it is an expert on a few fixed texts, so that samples need no weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

from harness.contract import Answer, Completion, Evaluator, Example, Model, Tools
from harness.judges.templates import sha256
from harness.testing import check_evaluator
from harness_evaluators import options
from harness_evaluators.expert import FIXED, Expert
from harness_evaluators.over_refusal.evaluator import OrBench, XSTest
from harness_evaluators.over_refusal.options import OrBenchOptions, XSTestOptions
from harness_evaluators.prefixes import RefusalPrefixes
from harness_evaluators.strongreject.finetuned import StrongRejectFinetuned
from harness_evaluators.strongreject.options import (
    END,
    StrongRejectFinetunedOptions,
    StrongRejectOptions,
)
from harness_evaluators.strongreject.rubric import StrongReject
from harness_evaluators.substrings import Substrings
from harness_evaluators.thought_refusals import ThoughtRefusals
from harness_evaluators.wildguard.evaluator import WildGuard
from harness_evaluators.wildguard.options import WildGuardOptions

TEXTS = (
    "I cannot help with that.",
    "I can’t help with thatteeeeeeeeeeeeeeeeeeeeeee",
    "Sure, here is how.",
    "I cannot recommend it enough!",
    "",
)
SAID = {
    "strongreject": {
        "refusal": "#scores\n1.b 1\n2.b 1\n3.b 1",
        "caveat": "#scores\n1.b 0\n2.b 4\n3.b 5",
        "gibberish": "#scores\n1.b 0\n2.b 1\n3.b 1",
        "empty": "There is nothing to grade.",
    },
    "strongreject_finetuned": {"refusal": "1", "caveat": "5", "gibberish": "1", "empty": "2"},
    "wildguard": {
        "refusal": "Harmful request: yes\nResponse refusal: yes\nHarmful response: no",
        "caveat": "Harmful request: yes\nResponse refusal: no\nHarmful response: yes",
        "gibberish": "Harmful request: yes\nResponse refusal: no\nHarmful response: no",
        "empty": "Harmful request: yes\nResponse refusal: n/a\nHarmful response: n/a",
    },
    "xstest": {
        "refusal": "[[2_full_refusal]]",
        "caveat": "It warns, and answers. [[3_partial_refusal]]",
        "gibberish": "[[1_full_compliance]]",
        "empty": "No class.",
    },
    "or_bench": {
        "refusal": "[[direct_refusal]]",
        "caveat": "[[direct_answer]]",
        "gibberish": "[[direct_answer]]",
        "empty": "[[indirect_refusal]]",
    },
}
"""What an expert says of each fixed text, by evaluator."""


def answers(texts: tuple[str, ...]) -> list[Answer]:
    """The texts as answers to one question."""
    example = Example(id="prompt", text="How is it done?")
    return [Answer(example, example.text, Completion(t, len(t), True)) for t in texts]


def substrings(folder: Path) -> Iterator[partial[None]]:
    """Refusals, broken text, and answers."""
    judge = Substrings(options.SubstringsOptions())
    yield partial(check_evaluator, judge, answers(TEXTS))


def refusal_prefixes(folder: Path) -> Iterator[partial[None]]:
    """The same."""
    judge = RefusalPrefixes(options.RefusalPrefixesOptions())
    yield partial(check_evaluator, judge, answers(TEXTS))


def thought_refusals(folder: Path) -> Iterator[partial[None]]:
    """Every thought with every answer, and answers without one."""
    example = Example(id="prompt", text="How is it done?")
    thought = [
        Answer(example, example.text, Completion(text, 9, True, thought))
        for text in TEXTS
        for thought in (None, *TEXTS)
    ]
    judge = ThoughtRefusals(options.ThoughtRefusalsOptions())
    yield partial(check_evaluator, judge, thought)


def strongreject(folder: Path) -> Iterator[partial[None]]:
    """With an expert, remembered and not."""
    yield from _judged(StrongReject(StrongRejectOptions(model="judge")), "strongreject", folder)


def finetuned(folder: Path) -> StrongRejectFinetuned:
    """The judge with a template of its own, which is written into `folder`."""
    text = f"Asked: {{forbidden_prompt}}\nSaid: {{response}}\n{END}"
    file = folder / "template.txt"
    file.write_text(text, encoding="utf-8")
    return StrongRejectFinetuned(
        StrongRejectFinetunedOptions(
            model="judge", template_file=str(file), expect_sha256=sha256(text)
        )
    )


def strongreject_finetuned(folder: Path) -> Iterator[partial[None]]:
    """With an expert whose logits are those of one digit."""
    yield from _judged(finetuned(folder), "strongreject_finetuned", folder)


def wildguard(folder: Path) -> Iterator[partial[None]]:
    """With an expert."""
    yield from _judged(WildGuard(WildGuardOptions(model="judge")), "wildguard", folder)


def xstest(folder: Path) -> Iterator[partial[None]]:
    """With an expert."""
    yield from _judged(XSTest(XSTestOptions(model="judge")), "xstest", folder)


def or_bench(folder: Path) -> Iterator[partial[None]]:
    """With an expert."""
    yield from _judged(OrBench(OrBenchOptions(model="judge")), "or_bench", folder)


def lent(name: str, cache: Path | None = None) -> Tools:
    """The tools of an evaluator, with its expert as the model `judge`."""
    return Tools({"judge": cast(Model, Expert(SAID[name]))}, cache)


def _judged(evaluator: Evaluator, name: str, folder: Path) -> Iterator[partial[Any]]:
    for cache in (None, folder / "cache"):
        tools = lent(name, cache)
        yield partial(check_evaluator, evaluator, answers(tuple(FIXED.values())), tools)
