"""A pass: each rendering once, each model once a batch, each SAE once a view, whatever is asked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

import fakes
from fakes import BOS, EOS, PAD
from harness.contract import Direction, Outcome, Record, Site, Stream, Tokens
from harness.errors import ModelError
from harness.planning.planner import plan
from harness.planning.steps import Job, MetricJob, ReductionJob, SentinelJob
from harness.running.passes.jobs import Finished
from harness.running.passes.run import run_pass_alone
from harness.running.reading.rows import measured, one_row
from harness.running.session import Session

MakeSession = Callable[..., Session]

PAIR = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
sites = ["resid_post.1", "embed"]
"""
ALL_METRICS = "".join(f"[metrics.{m}]\npair = 'p'\n" for m in ("mean", "gap", "loss", "match"))


def probe(name: str, *keys: str) -> str:
    lines = [f"[directions.{name}]", 'method = "probe"', 'view = "chat"', 'data = "web"', *keys]
    return "\n".join([*lines, ""])


def passed(session: Session, level: int = 0) -> list[tuple[Job, Outcome]]:
    """Runs one pass (`-1` is the preflight) and returns every job's outcomes."""
    made = plan(session.task)
    work = made.preflight if level == -1 else made.passes[level]
    found: list[tuple[Job, Outcome]] = []

    def finished(job: Job, its: Finished) -> None:
        found.extend((job, outcome) for outcome in its.outcomes)

    run_pass_alone(session, work, finished, lambda done: None)
    return found


def records(session: Session) -> list[Record]:
    return [record for job, outcome in passed(session) for record in outcome.records]


def vector(session: Session, name: str) -> np.ndarray:
    direction = session.directions.direction(name, {})
    assert isinstance(direction, Direction), direction
    return direction.vectors[0]


def reference(
    session: Session, view: str, site: Site, keep: Callable[[str, int, int], bool]
) -> np.ndarray:
    """The sum of the activations of the tokens that `keep(text, position, length)`, one by one."""
    model: Any = session.view_model(view)
    total = np.zeros(fakes.WIDTH)
    for prompt in session.prompts.rendered(view, "web"):
        x = model.at(site, prompt).double().numpy()
        text = "^" + prompt.text
        total += sum((x[i] for i in range(len(x)) if keep(text, i, len(x))), np.zeros(fakes.WIDTH))
    return total


# ── Counting ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("jobs", ["", ALL_METRICS, ALL_METRICS + probe("a") + probe("b")])
def test_each_model_reads_each_prompt_once_for_each_rendering(
    session: MakeSession, jobs: str
) -> None:
    made = session(PAIR + "[metrics.gap]\npair = 'p'\n" if not jobs else PAIR + jobs)
    passed(made)
    base, chat = made.models["base"], made.models["chat"]
    batches = -(-len(fakes.WEB) // 32)
    assert len(base.forwards) == batches  # type: ignore[attr-defined]
    # The chat view is also read on its own, with its own rendering, where directions ask for it.
    assert len(chat.forwards) == batches * (1 + ("probe" in jobs))  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", [1, 2, 4, 100])
def test_a_forward_has_as_many_prompts_as_the_batch_size(session: MakeSession, size: int) -> None:
    made = session(PAIR + ALL_METRICS, f"batch.activations={size}")
    passed(made)
    for model in made.models.values():
        sizes = [len(documents) for documents, _ in model.forwards]  # type: ignore[attr-defined]
        assert sum(sizes) == len(fakes.WEB)
        assert len(sizes) == -(-len(fakes.WEB) // size)


def test_a_model_that_is_both_sides_of_a_pair_reads_once(session: MakeSession) -> None:
    made = session("[views.again]\nmodel = 'base'\n" + PAIR + ALL_METRICS, "pairs.p.right=again")
    passed(made)
    (model,) = made.models.values()
    assert len(model.forwards) == 1  # type: ignore[attr-defined]
    assert len(made.saes["mid"].encoded) == 1  # type: ignore[attr-defined]


def test_each_sae_encodes_each_view_once_whatever_the_number_of_jobs(session: MakeSession) -> None:
    made = session(PAIR + ALL_METRICS + "[metrics.active]\npair = 'p'\n")
    passed(made)
    sae: Any = made.saes["mid"]
    assert len(sae.encoded) == 2


def test_nothing_is_encoded_for_metrics_without_an_sae(session: MakeSession) -> None:
    made = session(PAIR + "[metrics.gap]\npair = 'p'\n")
    passed(made)
    assert all(not sae.encoded for sae in fakes.LAB.saes)


def test_only_the_sites_that_are_asked_for_are_read(session: MakeSession) -> None:
    made = session(PAIR + "[metrics.gap]\npair = 'p'\nsaes = []\n")
    passed(made)
    for model in made.models.values():
        for _, sites in model.forwards:  # type: ignore[attr-defined]
            assert sorted(sites, key=str) == [Site("embed"), Site("resid_post", 1)]


def test_two_sweeps_share_the_state_of_one_pass(session: MakeSession) -> None:
    made = session(probe("a", "sweep = { scale = [1, 2, 5] }"))
    passed(made)
    assert len(fakes.LAB.started) == 1
    assert len({id(job) for job, _ in fakes.LAB.batches}) == 1
    one, two, five = (found.direction.vectors for found in made.directions.found["a"])  # type: ignore[union-attr]
    assert np.array_equal(two, 2 * one)
    assert np.array_equal(five, 5 * one)


# ── What is measured ─────────────────────────────────────────────────────────────────────────────


def test_all_tokens_are_those_that_are_not_special_nor_first(session: MakeSession) -> None:
    made = session(probe("a"))
    passed(made)
    wanted = reference(
        made, "chat", Site("resid_post", 2), lambda text, i, n: i > 0 and text[i] not in "^|_"
    )
    assert np.array_equal(vector(made, "a"), wanted)
    assert wanted.any()


def test_the_last_token_counts_whatever_it_is(session: MakeSession) -> None:
    made = session(probe("a", "tokens = 'last'"))
    passed(made)
    wanted = reference(made, "chat", Site("resid_post", 2), lambda text, i, n: i == n - 1)
    assert np.array_equal(vector(made, "a"), wanted)


def test_only_the_span_is_measured(session: MakeSession) -> None:
    demonstrations = "prompt.demonstrations = { data = 'web', count = 1, answer = 'text' }\n"
    made = session("[views.shown]\nmodel = 'chat'\n" + demonstrations + probe("a"),
                   "directions.a.view=shown")  # fmt: skip
    passed(made)
    before = 1 + 2 * len(fakes.WEB[0])
    wanted = reference(
        made, "shown", Site("resid_post", 2),
        lambda text, i, n: i >= before and text[i] not in "^|_",
    )  # fmt: skip
    assert np.array_equal(vector(made, "a"), wanted)
    assert wanted.any()


ALONE = '[directions.a]\nmethod = "probe"\nview = "base"\ndata = "web"\n'


@pytest.mark.parametrize("special", ["base", "chat"])
def test_what_is_special_to_either_side_is_measured_on_neither_but_alone_all_the_same(
    session: MakeSession, special: str
) -> None:
    """Both are read in one pass, from the same forward of the left side."""
    text = PAIR + "[metrics.gap]\npair = 'p'\n[metrics.mean]\nview = 'base'\ndata = 'web'\n"
    text += "sites = ['resid_post.2']\n" + ALONE
    made = session(text, f"models.{special}.special=e")
    found = records(made)
    masked = "^|_e" if special == "base" else "^|_"
    both = sum(char not in "^|_e" for line in fakes.WEB for char in line)
    alone = sum(char not in masked for line in fakes.WEB for char in line)
    assert {r.n for r in found if r.id.startswith("gap")} == {both}
    assert {r.n for r in found if r.id.startswith("mean")} == {alone}
    wanted = reference(
        made, "base", Site("resid_post", 2), lambda text, i, n: i > 0 and text[i] not in masked
    )
    assert np.array_equal(vector(made, "a"), wanted)


def prompt(*ids: int, span: tuple[int, int] | None = None) -> Tokens:
    return Tokens("x", ids, span or (0, len(ids)), "")


@pytest.mark.parametrize(
    ("which", "prompts", "expected"),
    [
        ("all", [prompt(BOS, 5, 6)], [(0, 1), (0, 2)]),
        ("all", [prompt(5, 6, 7)], [(0, 1), (0, 2)]),
        ("all", [prompt(BOS, 5, EOS, PAD, BOS, 6)], [(0, 1), (0, 5)]),
        ("all", [prompt(BOS, 5, 6, 7, span=(2, 3))], [(0, 2)]),
        ("all", [prompt(BOS, 5, 6, span=(2, 2))], []),
        ("all", [prompt(BOS)], []),
        ("all", [prompt()], []),
        ("last", [prompt(BOS, 5, 6)], [(0, 2)]),
        ("last", [prompt(BOS, 5, EOS)], [(0, 2)]),
        ("last", [prompt(BOS)], [(0, 0)]),
        ("last", [prompt(BOS, 5, 6, span=(0, 1))], [(0, 2)]),
        ("last", [prompt(), prompt(BOS, 5)], [(1, 1)]),
        ("all", [prompt(BOS), prompt(BOS, 5), prompt(BOS, 6)], [(1, 1), (2, 1)]),
    ],
)
def test_the_tokens_that_count(
    which: str, prompts: Sequence[Tokens], expected: list[tuple[int, int]]
) -> None:
    stream = Stream("s", "v", "d", tokens=which)  # type: ignore[arg-type]
    found = measured([one_row(prompt) for prompt in prompts], stream, frozenset({PAD, BOS, EOS}))
    assert list(zip(found.row.tolist(), found.offset.tolist(), strict=True)) == expected
    assert found.row.dtype == found.offset.dtype == torch.long


EVERYTHING = PAIR + ALL_METRICS + probe("a") + probe("b", "tokens = 'last'", "sae = 'mid'")


@pytest.mark.slow
def test_padding_batch_size_and_document_order_change_no_number(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[Record] | None = None
    orders = (fakes.WEB, fakes.WEB[::-1], sorted(fakes.WEB))
    for side, size, order in itertools.product(("left", "right"), (1, 2, 3, 32), orders):
        monkeypatch.setattr(fakes, "WEB", order)
        sides = [f"models.{model}.padding={side}" for model in ("base", "chat")]
        found = records(session(EVERYTHING, *sides, f"batch.activations={size}"))
        found = [record.__class__(**{**record.__dict__, "options": {}}) for record in found]
        expected = expected or found
        assert found == expected
    assert expected
    assert all(record.value is not None for record in expected)


def test_sides_with_different_padding_line_up(session: MakeSession) -> None:
    gap = PAIR + "[metrics.gap]\npair = 'p'\n"
    same = records(session(gap))
    other = records(session(gap, "models.chat.padding=left"))
    assert [record.value for record in same] == [record.value for record in other]


def test_a_model_against_itself_has_no_gap(session: MakeSession) -> None:
    found = records(session(PAIR + "[metrics.gap]\npair = 'p'\n", "models.chat.scale=1"))
    assert [record.value for record in found] == [0.0] * 3


def test_both_sides_of_a_pair_read_the_tokens_of_the_left_one(session: MakeSession) -> None:
    text = "[views.told]\nmodel = 'chat'\nprompt.template = 'please: {text}'\n" + PAIR + ALL_METRICS
    told = session(text, "pairs.p.right=told", "models.chat.scale=1")
    gaps = [r for r in records(told) if r.id.startswith("gap")]
    assert [record.value for record in gaps] == [0.0] * 3
    assert not any(view == "told" for view, _ in told.prompts._rendered)
    plain = session(PAIR + ALL_METRICS, "models.chat.scale=1")
    assert [r.value for r in records(plain)] == [r.value for r in records(told)]


def test_a_swapped_pair_is_rendered_by_its_own_left_side(session: MakeSession) -> None:
    text = "[views.told]\nmodel = 'chat'\nprompt.template = 'please: {text}'\n" + PAIR + ALL_METRICS
    told = session(text, "pairs.p.left=told", "pairs.p.right=base")
    passed(told)
    read = {ids for job, batch in fakes.LAB.batches for ids in batch.documents}
    assert len(read) == len(fakes.WEB)


def test_a_document_without_measured_tokens_is_read_but_counts_for_nothing(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    gap = PAIR + "[metrics.gap]\npair = 'p'\n"
    alone = records(session(gap))
    monkeypatch.setattr(fakes, "WEB", [*fakes.WEB, "||", "_"])
    more = records(session(gap))
    assert [(r.value, r.n, r.clusters) for r in more] == [(r.value, r.n, r.clusters) for r in alone]


def test_the_number_of_tokens_and_documents_is_that_of_the_data(session: MakeSession) -> None:
    tokens = sum(char not in "^|_" for line in fakes.WEB for char in line)
    for record in records(session(PAIR + "[metrics.gap]\npair = 'p'\n")):
        assert (record.n, record.clusters) == (tokens, len(fakes.WEB))


def test_nothing_measured_is_undefined(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fakes, "WEB", ["||", "_"])
    for record in records(session(PAIR + ALL_METRICS)):
        assert (record.value, record.n) == (None, 0)
        assert record.undefined


# ── What a model may not do ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("padding", ["left", "right"])
def test_activations_that_are_not_finite_are_an_error_that_names_the_document(
    session: MakeSession, monkeypatch: pytest.MonkeyPatch, padding: str
) -> None:
    monkeypatch.setattr(fakes, "WEB", ["fine", "bad ∞ text", "longer and fine as well"])
    made = session(PAIR + ALL_METRICS, f"models.base.padding={padding}")
    bad = made.data.examples("web")[1]
    with pytest.raises(ModelError, match=r"views\.base: .*not finite.*bad ∞ text") as caught:
        passed(made)
    assert bad.id in str(caught.value)


def test_a_token_beyond_the_vocabulary_of_the_other_side_is_an_error(session: MakeSession) -> None:
    made = session(PAIR + ALL_METRICS, "models.chat.vocabulary=20")
    with pytest.raises(ModelError, match=r"views\.chat: token \d+ is beyond .* vocabulary of 20"):
        passed(made)


def test_what_was_expected_of_a_model_is_verified_when_it_is_loaded(session: MakeSession) -> None:
    hidden = ("models.base.hidden=true", "models.base.expect.layers=7")
    with pytest.raises(ModelError, match=r"models\.base\.expect\.layers: 7 was expected.* has 4"):
        passed(session(PAIR + ALL_METRICS, *hidden))


def test_an_sae_that_does_not_fit_a_model_that_could_not_be_read_is_an_error(
    session: MakeSession,
) -> None:
    hidden = ("models.base.hidden=true", "models.chat.hidden=true")
    made = session(PAIR + ALL_METRICS, *hidden, "saes.mid.width=7")
    with pytest.raises(ModelError, match=r"saes\.mid: it reads 7 numbers per token, base has 6"):
        passed(made)


# ── Directions that need directions ──────────────────────────────────────────────────────────────


def test_what_is_needed_to_start_is_there_in_the_next_pass(session: MakeSession) -> None:
    made = session(probe("a", "offset = 7") + probe("b", "start = 'a'"))
    passed(made, 0)
    passed(made, 1)
    assert np.array_equal(vector(made, "b"), 2 * vector(made, "a") - 7)


def test_what_is_needed_to_finish_is_there_in_the_same_pass(session: MakeSession) -> None:
    made = session(probe("b", "finish = 'a'") + probe("a"))
    passed(made)
    (given,) = [i for one, i in fakes.LAB.finished if one.options.finish == "a"]
    assert np.array_equal(given.directions["a"].vectors[0], vector(made, "a"))  # type: ignore[union-attr]


SWEEP = "sweep = { scale = [1, 2, 3] }"


def test_a_sweep_is_finished_with_the_variant_of_the_same_axes(session: MakeSession) -> None:
    passed(session(probe("a", SWEEP) + probe("b", "finish = 'a'", SWEEP)))
    given = [
        (one.options.scale, inputs.directions["a"].vectors[0].sum())  # type: ignore[union-attr]
        for one, inputs in fakes.LAB.finished
        if one.options.finish == "a"
    ]
    first = given[0][1]
    assert given == [(1, first), (2, 2 * first), (3, 3 * first)]


@pytest.mark.parametrize("swept", ["scale", "offset"])
def test_a_sweep_is_started_with_the_variant_of_the_same_axes(
    session: MakeSession, swept: str
) -> None:
    sweep = f"sweep = {{ {swept} = [1, 2] }}"
    made = session(probe("a", sweep) + probe("b", "start = 'a'", sweep))
    passed(made, 0)
    passed(made, 1)
    plain = reference(
        made, "chat", Site("resid_post", 2), lambda text, i, n: i > 0 and text[i] not in "^|_"
    )
    for found in made.directions.found["b"]:
        value = found.axes[swept]
        assert isinstance(value, int)
        assert isinstance(found.direction, Direction)
        start = plain * value if swept == "scale" else plain + value
        end = (plain + start) * value if swept == "scale" else plain + value + start
        assert np.array_equal(found.direction.vectors[0], end)


def test_the_outcomes_of_a_pass_come_in_the_order_of_its_jobs(session: MakeSession) -> None:
    made = session(PAIR + ALL_METRICS + probe("a", SWEEP))
    found = passed(made)
    assert [type(job) for job, _ in found] == [ReductionJob] * 3 + [MetricJob] * 12
    assert [axes for axes in (f.axes for f in made.directions.found["a"])] == [
        {"scale": n} for n in (1, 2, 3)
    ]


# ── Preflight ────────────────────────────────────────────────────────────────────────────────────

PREFLIGHT = "[preflight]\ndata = 'web'\nfvu = 'loss'\nalso = ['active']\nlimit = {}\n"


def test_preflight_reads_at_most_its_limit_of_the_models_own_text(session: MakeSession) -> None:
    made = session(PREFLIGHT.format(2) + PAIR + 'expect = "different"\n')
    found = passed(made, -1)
    sizes = [len(documents) for m in fakes.LAB.models for documents, _ in m.forwards]
    assert sizes == [2] * 3
    (sentinel,) = [outcome for job, outcome in found if isinstance(job, SentinelJob)]
    assert all(record.value and record.clusters == 2 for record in sentinel.records)


def test_an_sae_is_encoded_once_at_each_site_of_the_preflight(session: MakeSession) -> None:
    made = session(PREFLIGHT.format(64))
    passed(made, -1)
    sae: Any = made.saes["mid"]
    assert len(sae.encoded) == 3
    assert len(fakes.LAB.models[0].forwards) == 1
