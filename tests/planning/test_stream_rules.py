"""Pairs of every kind: what both sides read, which tokens of it count, and where reading ends."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import fakes
from fakes.running import Token, bare, cosine, pair_tokens, passed, records, total_forwards
from fakes.streams import ANY_PLACE, METRICS, SPAN, lengths, one, pair
from harness.contract import Example, Prompt, Tokens
from harness.errors import ModelError
from harness.planning.cost.estimate import cost
from harness.planning.planner import plan
from harness.running.session import Session

MakeSession = Callable[..., Session]


@pytest.fixture
def shots(tmp_path: Path) -> None:
    rows = [{"text": "a shot"}, {"text": "some text"}]
    (tmp_path / "shots.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


# ── Whose prompt ─────────────────────────────────────────────────────────────────────────────────


def test_both_sides_read_the_prompt_of_the_right_one_where_it_says_so(session: MakeSession) -> None:
    told = "[views.told]\nmodel = 'chat'\nprompt.template = 'please: {text}'\n"
    left = session(told + pair(), "pairs.p.right=told")
    right = session(told + pair("render = 'right'"), "pairs.p.right=told")
    short, long = one(records(left), "gap"), one(records(right), "gap")
    assert long.n == short.n + len("please: ") * len(fakes.WEB)
    # What both read when the left side is told, too.
    both = session(told + "[views.also]\nmodel = 'base'\nprompt.template = 'please: {text}'\n"
                   + pair(), "pairs.p.right=told", "pairs.p.left=also")  # fmt: skip
    assert one(records(both), "gap").value == long.value


# ── Budgets ──────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize("budget", [1, 9, 10, 11, 12, 40, 10_000])
@pytest.mark.parametrize("more", [(), ("batch.shard=1",), ("batch.activations=1",)])
def test_a_budget_ends_after_the_document_in_which_it_is_reached(
    session: MakeSession, budget: int, more: tuple[str, ...]
) -> None:
    made = session(pair(f"budget = {budget}"), *more)
    found = records(made)
    total, documents = 0, 0
    for length in lengths(made):
        if total >= budget:
            break
        total, documents = total + length, documents + 1
    gap = one(found, "gap")
    assert gap.clusters == documents
    texts = fakes.WEB[:documents]
    assert gap.n == sum(char not in "^|_" for line in texts for char in line)


def test_a_budget_of_one_pair_is_not_that_of_another(session: MakeSession) -> None:
    again = pair(metrics="").replace("pairs.p", "pairs.q")
    made = session(pair("budget = 1") + again + "[metrics.all]\nmethod = 'gap'\npair = 'q'\n")
    found = records(made)
    assert one(found, "gap").clusters == 1
    assert one(found, "all").clusters == len(fakes.WEB)


def test_a_budget_reads_no_more_rows_than_it_needs(
    session: MakeSession, texts: Callable[[Sequence[str]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts([f"text {n}" for n in range(40)])
    monkeypatch.setattr("harness.task.prompts.CHUNK", 4)
    monkeypatch.setattr("harness.task.prompts.SMALL", 0)
    rendered: list[int] = []
    render = fakes.FakeModel.render

    def counted(self: Any, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        rendered.append(len(examples))
        return render(self, examples, prompt)

    monkeypatch.setattr(fakes.FakeModel, "render", counted)
    passed(session(pair("budget = 20")))
    assert sum(rendered) <= 4


# ── Sinks and beginnings ─────────────────────────────────────────────────────────────────────────


def kept(tokens: list[Token], skip: int, ratio: float) -> list[Token]:
    """What neither filter leaves out, one document at a time."""
    left_over = [token for token in tokens if token.place >= skip]
    out = []
    for token in left_over:
        mine = [t for t in left_over if t.document == token.document]
        longest = [
            float(np.linalg.norm(x(token)))
            <= ratio * statistics.median_low(float(np.linalg.norm(x(t))) for t in mine)
            for x in (lambda t: t.left, lambda t: t.right)
        ]
        if all(longest):
            out.append(token)
    return out


@pytest.mark.parametrize("skip", [0, 1, 3, 100])
@pytest.mark.parametrize("ratio", [1.2, 2.0, 100.0])
@pytest.mark.parametrize("pack", [None, 30])
def test_what_filters_leave_out_is_counted(
    session: MakeSession, skip: int, ratio: float, pack: int | None
) -> None:
    keys = [f"skip_first = {skip}", f"max_norm_ratio = {ratio}"]
    keys += [f"pack = {pack}"] if pack else []
    made = session(pair(*keys), *(ANY_PLACE if pack else ()))
    found = records(made)
    everything = list(pair_tokens(made, "p"))
    tokens = kept(everything, skip, ratio)
    low = [token for token in tokens if cosine(token) < 0.997]
    assert one(found, "gap").n == len(tokens)
    assert one(found, "low").n == len(low)
    gaps = [float(np.abs(token.right - token.left).sum()) for token in tokens]
    expected = pytest.approx(sum(gaps) / len(gaps), abs=1e-12) if gaps else None
    assert one(found, "gap").value == expected
    for record in found:
        if record.axes.get("site") != "resid_post.2":
            continue  # of logits, whose filter looks at the end
        if record.id == "dropped_share@1":
            assert record.value == pytest.approx(1 - len(tokens) / len(everything), abs=1e-12)
            assert record.n == len(everything)
        if record.id == "filtered_share@1" and "cosine_below" in record.options:
            assert record.n == len(tokens)
            assert record.value == (len(low) / len(tokens) if tokens else None)
    assert sum(record.id == "dropped_share@1" for record in found) >= 1


def test_skipping_alone_leaves_no_share(session: MakeSession) -> None:
    found = records(session(pair("skip_first = 3", metrics=METRICS)))
    assert not [record for record in found if "share" in record.id]


def test_everything_skipped_is_undefined_with_its_reason(session: MakeSession) -> None:
    for record in records(session(pair("skip_first = 1000", "max_norm_ratio = 3"))):
        assert record.undefined or record.id == "dropped_share@1"
        assert record.value in (None, 1.0)


def test_a_statistic_has_the_filters_of_its_pair(session: MakeSession) -> None:
    keys = ("skip_first = 2", "max_norm_ratio = 1.2")
    text = pair(*keys, metrics="[statistics.t]\nmethod = 'tally'\npair = 'p'\nsae = 'mid'\n")
    made = session(text)
    (found,) = passed(made)
    tokens = kept(list(pair_tokens(made, "p")), 2, 1.2)
    (record,) = found.outcome.records
    assert record.n == len(tokens)


def test_a_statistic_of_logits_alone_looks_for_sinks_at_the_end(session: MakeSession) -> None:
    text = pair("max_norm_ratio = 1.2", metrics="[statistics.t]\nmethod = 'tally'\npair = 'p'\n"
                "logits = true\n")  # fmt: skip
    made = session(text)
    (found,) = passed(made)
    tokens = kept(list(pair_tokens(made, "p", "resid_post.3")), 0, 1.2)
    (record,) = found.outcome.records
    assert record.n == len(tokens)


def test_a_condition_needs_a_pair(problems: Callable[..., list[str]]) -> None:
    text = "[metrics.m]\nmethod = 'mean'\nview = 'base'\ndata = 'web'\nsites = ['embed']\n"
    (said,) = problems(text + "where = { cosine_below = 0.5 }\n")
    assert "where compares two views: it needs a pair" in said


# ── Tokenizers ───────────────────────────────────────────────────────────────────────────────────


def test_a_tokenizer_that_differs_is_refused_with_the_first_token(session: MakeSession) -> None:
    made = session(pair(), "models.chat.spelling=x")
    with pytest.raises(
        ModelError, match=r"views\.chat: its tokenizer is not that of views\.base"
    ) as caught:
        passed(made)
    said = str(caught.value)
    assert f"Document {made.data.examples('web')[0].id}, token 7 of its text: " in said
    # TOKENIZERS T16: the ids tell them apart where their words are alike.
    x = fakes.models.token("x")
    assert f": {x + 1} ({chr(x + 1)!r}) there, {x} ({chr(x)!r}) here." in said
    assert "same_tokenizer = false" in said
    assert total_forwards() == 0


@pytest.mark.parametrize("render", ["left", "right"])
def test_ids_are_read_as_they_are_where_the_pair_says_so(session: MakeSession, render: str) -> None:
    plain = records(session(pair(), *ANY_PLACE))
    made = session(pair("same_tokenizer = false", f"render = '{render}'"),
                   "models.chat.spelling=x", *ANY_PLACE)  # fmt: skip
    found = one(records(made), "gap")
    assert found.n == one(plain, "gap").n
    assert (found.value == one(plain, "gap").value) == (render == "left")


@pytest.mark.usefixtures("shots")
def test_a_span_of_another_tokenizer_is_another_query(session: MakeSession) -> None:
    made = session(SPAN + pair("align = 'span'"), "pairs.p.right=shown", "models.chat.spelling=x")
    with pytest.raises(ModelError, match="the two sides do not render the same query"):
        passed(made)


# ── Plans ────────────────────────────────────────────────────────────────────────────────────────

HERE = ("models.base.here=true", "models.chat.here=true")
PLANNED = {
    "plain": ((), ()),
    "small batches": ((), ("batch.activations=2",)),
    "render": (("render = 'right'",), ("views.chat.prompt.template=so: {text}",)),
    "packed": (("pack = 1000",), ()),
    "budget": (("budget = 9999",), ()),
    "sinks": (("max_norm_ratio = 1.2", "skip_first = 2"), ()),
    "span": (("align = 'span'",), ("pairs.p.right=shown", "batch.activations=2")),
    "same model": (("align = 'span'",), ("pairs.p.right=other",)),
}


@pytest.mark.usefixtures("shots")
@pytest.mark.parametrize("name", PLANNED)
def test_a_plan_foresees_what_is_read(session: MakeSession, name: str) -> None:
    keys, more = PLANNED[name]
    made = session(SPAN + pair(*keys), *HERE, *more)
    planned = {
        one.model: one.counts
        for one in cost(plan(made.task)).work
        if one.stage == "activations, pass 1 of 1"
    }
    read: dict[str, list[int]] = {}
    for which in ("base", "chat"):
        model: Any = made.model(which)
        forward = model.activations

        def counted(
            tokens: Sequence[Tokens],
            *rest: Any,
            which: str = which,
            forward: Any = forward,
            **kw: Any,
        ) -> Any:
            sizes = [len(one.ids) for one in tokens]
            for place, number in enumerate((1, len(sizes), sum(sizes), len(sizes) * max(sizes))):
                read.setdefault(which, [0] * 4)[place] += number
            return forward(tokens, *rest, **kw)

        model.activations = counted
    passed(made)
    assert planned.keys() == read.keys()
    for which, counts in planned.items():
        found = [counts.forwards, counts.prompts, counts.tokens, counts.positions]
        assert found == read[which], which


# ── Odd data ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("keys", [(), ("pack = 20",), ("budget = 9",), ("max_norm_ratio = 2.0",)])
@pytest.mark.parametrize("lines", [["only one"], ["", "text", ""], [""], ["|"], ["", "||"]])
def test_documents_that_are_empty_special_or_alone(
    session: MakeSession,
    texts: Callable[[Sequence[str]], None],
    lines: list[str],
    keys: tuple[str, ...],
) -> None:
    texts(lines)
    found = records(session(pair(*keys)))
    n = sum(char not in "^|_" for line in lines for char in line)
    gap = one(found, "gap")
    assert gap.n == n
    assert (gap.value is None) == (n == 0) == bool(gap.undefined)


@pytest.mark.usefixtures("shots")
@pytest.mark.parametrize("lines", [["only one"], ["", "text", ""], [""], ["|"]])
def test_empty_queries_after_a_context(
    session: MakeSession, texts: Callable[[Sequence[str]], None], lines: list[str]
) -> None:
    texts(lines)
    found = records(session(SPAN + pair("align = 'span'"), "pairs.p.right=shown", *ANY_PLACE))
    assert one(found, "gap").n == sum(char != "|" for line in lines for char in line)


def test_no_documents_are_said_before_anything_is_loaded(
    problems: Callable[..., list[str]], texts: Callable[[Sequence[str]], None]
) -> None:
    texts([])
    (said,) = problems(pair())
    assert "data.web" in said
    assert "is empty" in said


LINES = st.lists(st.text(alphabet="ab ^|_", max_size=9), min_size=1, max_size=7)


@pytest.mark.slow
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    LINES,
    st.integers(1, 5),
    st.integers(1, 60),
    st.sampled_from([None, 3, 20]),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_any_batch_shard_padding_packing_and_order_gives_the_same_records(
    session: MakeSession,
    lines: list[str],
    batch: int,
    shard: int,
    pack: int | None,
    left: bool,
    random: Any,
) -> None:
    fakes.LAB.clear()
    before = fakes.WEB
    try:
        fakes.WEB = lines
        plain = bare(records(session(pair("skip_first = 2", "max_norm_ratio = 1.5"), *ANY_PLACE)))
        fakes.WEB = random.sample(lines, len(lines))
        keys = ("skip_first = 2", "max_norm_ratio = 1.5", *([f"pack = {pack}"] if pack else []))
        more = [f"models.{m}.padding={'left' if left else 'right'}" for m in ("base", "chat")]
        more += [f"batch.activations={batch}", f"batch.shard={shard}"]
        assert bare(records(session(pair(*keys), *ANY_PLACE, *more))) == plain
    finally:
        fakes.WEB = before
