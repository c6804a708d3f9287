"""Claims: the language, and what `check` says of claims that could come to nothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from fakes.tasks import only
from harness.errors import TaskError
from harness.registry import discover
from harness.task.claimed import unfit_claims
from harness.task.claims import allows, parse
from harness.task.ids import measurable, unmeasured
from harness.task.load import load_for_command
from harness.task.moved import moved_hash
from harness.task.spec import ClaimSpec
from harness.task.task import Task, task_hash

Problems = Callable[..., list[str]]
MEAN = "[metrics.mean]\nview = 'base'\ndata = 'web'\nsites = ['resid_post.1']\n"
SCORE = "refusal_score[experiment=bypass, direction=chat_features, k=32] <= 0.5"


@pytest.mark.parametrize(
    ("holds", "ids", "join", "comparison", "bound"),
    [
        ("fvu.pooled <= 0.5", ["fvu.pooled"], None, "<=", 0.5),
        ("fvu.pooled@1[site=a,k=8]>-1e-3", ["fvu.pooled@1"], None, ">", -1e-3),
        ("a[x=1] - b[x=2] < 0", ["a", "b"], "-", "<", 0.0),
        ("a - b.c@2 >= inf", ["a", "b.c@2"], "-", ">=", math.inf),
        ("a/b <= 2", ["a", "b"], "/", "<=", 2.0),
        ("a-b <= 2", ["a-b"], None, "<=", 2.0),
        ("a[x=1]-a[x=2] <= 2", ["a", "a"], "-", "<=", 2.0),
    ],
)
def test_a_condition_is_read(
    holds: str, ids: list[str], join: str | None, comparison: str, bound: float
) -> None:
    claim = parse("c", "words", holds)
    assert [term.id for term in claim.terms] == ids
    assert (claim.join, claim.comparison, claim.bound) == (join, comparison, bound)


def test_axes_are_those_of_their_own_term() -> None:
    claim = parse("c", "words", "a[k=8, site='x.1'] / a[k=16] < 1")
    assert [dict(term.axes) for term in claim.terms] == [{"k": "8", "site": "x.1"}, {"k": "16"}]


@pytest.mark.parametrize(
    ("holds", "said"),
    [
        ("a == 1", "no measurement shows that a number is exactly another"),
        ("a != 1", "no measurement shows"),
        ("low(a) >= 1", "Leave out low"),
        ("a", "is no condition"),
        ("a - b - c < 1", "is no condition"),
        ("a + b < 1", "is no condition"),
        ("1 > a", "is no condition"),
        ("a < b", "no number to compare with"),
        ("a < nan", "no number to compare with"),
        ("a[k] < 1", "is no axis"),
        ("a[k=1, k=2] < 1", "stands there twice"),
        ("a => 1", "is no condition"),
    ],
)
def test_what_is_no_claim_says_why(holds: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse("c", "words", holds)


@given(st.sampled_from(["<=", "<", ">=", ">"]), st.floats(-5, 5, allow_nan=False), st.floats(-5, 5))
def test_a_claim_allows_what_its_comparison_says(sign: str, bound: float, number: float) -> None:
    claim = parse("c", "w", f"a {sign} {bound!r}")
    assert allows(claim.comparison, number, bound) == eval(f"{number!r} {sign} {bound!r}")
    assert claim.below == (sign[0] == "<")


# ── What `check` says ────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def refusal() -> Task:
    """The task that bypasses and induces refusal."""
    return load_for_command(discover(), "refusal")


@pytest.fixture
def wrong(refusal: Task) -> Callable[..., list[str]]:
    """What is wrong with the refusal task where this is its claim."""

    def told(holds: str, against: str | None = None) -> list[str]:
        claims = {"new": ClaimSpec(text="words", holds=holds, against=against)}
        spec = refusal.spec.model_copy(update={"claims": claims})
        found = unfit_claims(replace(refusal, spec=spec))
        return [f"{'.'.join(map(str, one.at))}: {one.what}" for one in found]

    return told


ARM = "refusal_score[experiment=bypass, direction=chat_features"


@pytest.mark.parametrize(
    ("holds", "against", "said"),
    [
        (
            "refusal_scores < 1",
            None,
            r"claims\.new\.holds.* nothing in this task measures .*unmeas",
        ),
        ("fvu.pooled - fvu.poold < 1", None, r"nothing in this task measures fvu\.poold"),
        (f"{ARM}, k=33] < 1", None, r"has no such step. Allowed: k=1; k=2"),
        (f"{ARM}] < 1", None, r"fits 9 arms, which differ in k"),
        ("refusal_score[experiment=bypas, direction=none] < 1", None, "Did you mean bypass"),
        ("refusal_score[experiment=bypass, direction=randm] < 1", None, "Did you mean random"),
        ("refusal_score[experiment=induce, direction=random_features] < 1", None, "has no arm of"),
        ("fvu.pooled[pair=web] < 1", None, "unknown pair 'web'"),
        (f"{ARM}, k=32] < 1", "randm", r"claims\.new\.against.* Did you mean random"),
        (f"{ARM}, k=32] < 1", "chat_features", "is the direction of the claim itself"),
        ("fvu.pooled[pair=base_vs_chat, view=base_text] < 1", "random", "names none"),
        (
            "refusal_score[experiment=induce, direction=refusal] > 0.5",
            "random_features",
            "is no arm of induce",
        ),
        ("refusal_score[experiment=bypass, direction=refusal] < 1", "chat_features", "9 arms"),
    ],
)
def test_a_claim_that_could_not_be_measured_is_a_problem(
    wrong: Callable[..., list[str]], holds: str, against: str | None, said: str
) -> None:
    only(wrong(holds, against), said)


@pytest.mark.parametrize(
    ("holds", "against"),
    [
        (f"{ARM}, k=32] < 1", "random_features"),
        (f"{ARM}, k=32] < 1", "base_features"),
        (f"{ARM}, k=32] - refusal_score[experiment=bypass, direction=none] < 0", "random"),
        (f"{ARM}, k=32, evaluator=substrings] < 1", "null"),
        ("refusal_score[experiment=bypass, direction=random] > 0.5", None),
        ("cosine.raw[pair=base_vs_chat] < 1", "null"),
    ],
)
def test_what_can_be_measured_is_none(
    wrong: Callable[..., list[str]], holds: str, against: str | None
) -> None:
    assert wrong(holds, against) == []


def test_check_says_it_with_its_place(task: Callable[..., object], problems: Problems) -> None:
    words = "[claims.c]\ntext = 'w'\nholds = "
    assert task(MEAN + words + "'mean.mean > 0'\n")
    only(problems(MEAN + words + "'mean.maen > 0'\n"), r"claims\.c\.holds: nothing .* mean\.maen")


def test_claims_are_validated_where_the_file_is_read(problems: Problems) -> None:
    only(problems("[claims.c]\ntext = 'w'\nholds = 'a == 1'\n"), r"claims\.c.* exactly another")
    only(problems("[claims.c]\nholds = 'a < 1'\n"), r"claims\.c\.text.*missing")
    only(problems("[claims.c]\ntext = 'w'\nholds = 'a < 1'\nwhy = 1\n"), "unknown key 'why'")


# ── An edited claim is no other run ──────────────────────────────────────────────────────────────


def test_claims_are_no_part_of_what_names_a_run(refusal: Task) -> None:
    task = load_for_command(
        discover(), "refusal", ["claims.new.text='words'", f"claims.new.holds='{SCORE}'"]
    )
    assert "new" not in refusal.spec.claims
    assert "new" in task.spec.claims
    assert "new" in task.resolved["claims"]
    assert (task_hash(refusal), moved_hash(refusal)) == (task_hash(task), moved_hash(task))


def test_an_id_whose_version_the_source_works_out_is_known() -> None:
    """`f"sts.correlation.{name}@{version}"`: a gate or a claim on it was a problem."""
    found = measurable(load_for_command(discover(), "transfer").owners())
    assert not unmeasured(parse("c", "w", "sts.correlation.pearson > 0").left, found)
    assert unmeasured(parse("c", "w", "sts.correlations.pearson > 0").left, found)


def test_who_changes_what_is_measured_need_not_take_claims_out() -> None:
    """Claims of the file come out as unmeasured then; those that are given with it are held."""
    fewer = [
        f"directions.{name}.sweep={{ k = [8] }}" for name in ("chat_features", "base_features")
    ]
    task = load_for_command(discover(), "refusal", fewer)
    assert task.spec.claims
    assert list(unfit_claims(task)) == []
    other = ["seed=1", 'claims.x={ text = "words", holds = "nothing.here <= 1" }']
    with pytest.raises(TaskError, match="nothing in this task measures"):
        load_for_command(discover(), "refusal", other)
