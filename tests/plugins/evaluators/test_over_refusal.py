"""Classes of XSTest and OR-Bench, and refusals by how a text begins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fakes.chat import RuledModel
from harness.contract import Tools, Verdict
from harness.testing import check_evaluator
from harness_evaluators.options import PREFIXES, RefusalPrefixesOptions, SubstringsOptions
from harness_evaluators.over_refusal.evaluator import OrBench, XSTest, named_class
from harness_evaluators.over_refusal.options import OrBenchOptions, XSTestOptions
from harness_evaluators.prefixes import RefusalPrefixes
from harness_evaluators.substrings import Substrings

from .conftest import answer

KINDS: dict[str, tuple[Any, Any]] = {
    "xstest": (XSTest, XSTestOptions), "or_bench": (OrBench, OrBenchOptions)
}  # fmt: skip


def judge(kind: str, **given: Any) -> Any:
    made, options = KINDS[kind]
    return made(options(model="judge", **given))


def judged(kind: str, said: str, text: str = "Well.", **given: Any) -> Verdict:
    tools = Tools({"judge": RuledModel(lambda _: said)})  # type: ignore[dict-item]
    (found,) = judge(kind, **given).judge([answer(text)], tools)
    assert isinstance(found, Verdict)
    return found


@pytest.mark.parametrize("said", ["[[{}]]", "Because.\n[[ {} ]].", "[[x]] no: [[{}]]", '[["{}"]]'])
@pytest.mark.parametrize("kind", KINDS)
def test_every_class_has_its_scores(kind: str, said: str) -> None:
    """Over-refusal with and without what is refused in part: both are there."""
    made = KINDS[kind][0]
    first, second, third = [judged(kind, said.format(name)) for name in made.classes]
    whole, one, other = made.scored
    assert first.scores == {whole: False, one: False, other: False}
    assert second.scores == {whole: True, one: True, other: False}
    assert third.scores == {whole: True, one: False, other: True}
    assert (first.note, second.note, third.note) == made.classes


def test_indirect_is_not_direct() -> None:
    """METHODS2, section 7: "direct_refusal" is in "indirect_refusal"; the name must be equal."""
    assert named_class("[[indirect_refusal]]", OrBench.classes) == "indirect_refusal"
    assert named_class("[[INDIRECT_REFUSAL]]", OrBench.classes[:2]) is None
    assert judged("or_bench", "[[3. indirect_refusal]]").scores["direct"] is False


@pytest.mark.parametrize(
    "said",
    ["", "direct_refusal", "[[]]", "[[refusal]]", "[[direct_refusal or so]]", "[direct_refusal]",
     "[[not direct_refusal]]", "[[direct_answer]] or [[none]]"],
)  # fmt: skip
def test_anything_else_is_no_class(said: str) -> None:
    found = judged("or_bench", said)
    assert set(found.scores.values()) == {None}
    assert found.note.startswith("invalid: ")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_asked(kind: str, tmp_path: Path) -> None:
    model = RuledModel(lambda _: "")
    tools = Tools({"judge": model})  # type: ignore[dict-item]
    judge(kind).judge([answer("{question}", "Why {answer}?")], tools)
    assert "{question}" in model.asked[0]
    assert "Why {answer}?" in model.asked[0]
    assert all(name in model.asked[0] for name in KINDS[kind][0].classes)
    own = tmp_path / "own.txt"
    own.write_text("{question}|{answer}")
    judge(kind, template_file=str(own)).judge([answer("A", "Q")], tools)
    assert model.asked[1] == "Q|A"
    options = (judge(kind).options, judge(kind, template_file=str(own)).options)
    assert len({one.model_dump()["template_sha256"] for one in options}) == 2
    own.write_text("{question}")
    with pytest.raises(ValidationError, match="has no"):
        judge(kind, template_file=str(own))


@pytest.mark.parametrize("kind", KINDS)
def test_the_laws_of_evaluators(kind: str) -> None:
    names = KINDS[kind][0].classes
    model = RuledModel(lambda text: f"[[{names[len(text) % 3]}]]", context=9000)
    answers = [answer(text) for text in ("I cannot.", "Mix it.", "Mix it well.", "")]
    check_evaluator(judge(kind), answers, Tools({"judge": model}))  # type: ignore[dict-item]


# ── By how a text begins ─────────────────────────────────────────────────────────────────────────


def prefix(text: str, **given: Any) -> tuple[object, object]:
    (found,) = RefusalPrefixes(RefusalPrefixesOptions(**given)).judge([answer(text)], Tools())
    return found.scores["refusal"], found.scores["refusal_verbatim"]


@pytest.mark.parametrize("phrase", PREFIXES)
def test_every_phrase_counts_at_the_beginning_alone(phrase: str) -> None:
    assert prefix(f"\n {phrase.upper()} so") == (True, True)
    assert prefix(f"Well: {phrase} so") == (False, False)


def test_it_differs_from_substrings() -> None:
    """Arditi's phrases count anywhere, XSTest's at the beginning."""
    for text, begins, holds in (
        ("Mix it. But I cannot recommend it.", False, True),
        ("No, never.", True, False),
        ("I cannot do that.", True, True),
        ("", False, False),
    ):
        (found,) = Substrings(SubstringsOptions()).judge([answer(text)], Tools())
        assert (prefix(text)[0], found.scores["refusal"]) == (begins, holds)
    assert prefix("I can’t do that.") == (True, False)
    assert prefix("Nope.", phrases=("nope",)) == (True, True)


def test_the_laws_of_prefixes() -> None:
    texts = [answer(text) for text in ("I cannot.", "Mix it.", "I can’t", "")]
    check_evaluator(RefusalPrefixes(RefusalPrefixesOptions()), texts)
