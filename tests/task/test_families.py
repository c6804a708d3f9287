"""Families: the language, and what `check` says of families that could have no member."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fakes.tasks import only
from harness.registry import discover
from harness.task.familied import unfit_families
from harness.task.families import parse
from harness.task.family_spec import FamilySpec
from harness.task.load import load_for_command
from harness.task.moved import moved_hash
from harness.task.task import Task, task_hash

Problems = Callable[..., list[str]]


def test_numbers_are_read() -> None:
    family = parse("f", "w", [" fvu.pooled@1 [site=a,  k=8]", "x"], 0.1, "none", "any")
    assert family.of == ("fvu.pooled@1 [site=a, k=8]", "x")
    assert [(term.id, dict(term.axes)) for term in family.terms] == [
        ("fvu.pooled@1", {"site": "a", "k": "8"}), ("x", {}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ([], "of is empty"),
        (["x < 1"], "names no numbers.*no bound and no difference"),
        (["x - y"], "names no numbers"),
        (["x[k]"], "is no axis"),
        (["x[k=1, k=2]"], "stands there twice"),
        (["x", " x"], "stands there twice. Each number counts once"),
    ],
)
def test_what_is_no_family_says_why(of: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse("f", "w", of)


def test_families_are_validated_where_the_file_is_read(problems: Problems) -> None:
    head = "[families.f]\ntext = 'w'\n"
    only(problems(head + "of = 'a == 1'\n"), r"families\.f.* names no numbers")
    only(problems(head), r"families\.f\.of.*missing")
    only(problems(head + "of = 'a'\nrate = 0\n"), r"families\.f\.rate")
    only(problems(head + "of = 'a'\nholds = 'a < 1'\n"), "unknown key 'holds'")
    only(problems(head + "of = 'a'\ndependence = 'none'\n"), r"families\.f\.dependence")


@pytest.fixture(scope="module")
def refusal() -> Task:
    """The task that bypasses and induces refusal."""
    return load_for_command(discover(), "refusal")


@pytest.fixture
def wrong(refusal: Task) -> Callable[..., list[str]]:
    """What is wrong with the refusal task where this is its family."""

    def told(*of: str, against: str | None = None) -> list[str]:
        given: dict[str, Any] = {"text": "words", "of": of, "against": against}
        spec = refusal.spec.model_copy(update={"families": {"new": FamilySpec(**given)}})
        found = unfit_families(replace(refusal, spec=spec))
        return [f"{'.'.join(map(str, one.at))}: {one.what}" for one in found]

    return told


ARMS = "refusal_score[experiment=bypass, direction=chat_features]"


@pytest.mark.parametrize(
    ("of", "against", "said"),
    [
        ("refusal_scores", None, r"families\.new\.of: nothing .* measures .*have no member"),
        ("refusal_score[experiment=bypas]", None, "Did you mean bypass"),
        ("refusal_score[experiment=bypass, direction=randm]", None, "Did you mean random"),
        ("refusal_score[experiment=induce, direction=random_features]", None, "has no arm of"),
        (ARMS.replace("]", ", k=33]"), None, r"has no such step. Allowed: k=1; k=2"),
        (ARMS, "randm", r"families\.new\.against: unknown direction 'randm'.*mean random"),
        ("refusal_score[direction=random]", "random", "neither the control nor the un-edited"),
        ("refusal_score[direction=none]", "random", "neither the control nor the un-edited"),
        ("refusal_score[experiment=induce]", "random_features", "no arm of the experiment induce"),
    ],
)
def test_a_family_without_members_is_a_problem(
    wrong: Callable[..., list[str]], of: str, against: str | None, said: str
) -> None:
    only(wrong(of, against=against), said)


@pytest.mark.parametrize(
    ("of", "against"),
    [
        ((ARMS,), "none"),
        ((ARMS, "refusal_score[experiment=induce, direction=base_features]"), "random"),
        (("safety_score",), "random_features"),
        (("cosine.raw[pair=base_vs_chat]",), None),
        (("agreement.share[analysis=agreement, made_up=1]",), None),
    ],
)
def test_what_may_have_members_is_none(
    wrong: Callable[..., list[str]], of: tuple[str, ...], against: str | None
) -> None:
    assert wrong(*of, against=against) == []


def test_all_faults_are_told_at_once(wrong: Callable[..., list[str]]) -> None:
    assert len(wrong("refusal_scores", "fvu.poold", against="randm")) == 2


def test_tests_of_statistics_are_known_without_an_import() -> None:
    drift = load_for_command(discover(), "drift")
    for of, many in (("feature_shift.mean[sae=mid]", 0), ("feature_shifts.mean", 1)):
        given = {"new": FamilySpec(text="w", of=of)}
        spec = drift.spec.model_copy(update={"families": given})
        assert len(list(unfit_families(replace(drift, spec=spec)))) == many


def test_families_are_no_part_of_what_names_a_run(refusal: Task) -> None:
    new = ["families.new.text='words'", f"families.new.of='{ARMS}'", "families.new.against='none'"]
    task = load_for_command(discover(), "refusal", new)
    assert "new" in task.spec.families
    assert "new" in task.resolved["families"]
    assert (task_hash(refusal), moved_hash(refusal)) == (task_hash(task), moved_hash(task))
