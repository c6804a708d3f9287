"""Paths between two models: against explicit loops in float64, and what must not matter."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from fakes.tails import BOS, SITE, TinyModel, prompts
from harness.contract import (
    AnswerLogProbability,
    GradientPath,
    LogitDifference,
    LogOdds,
    Stream,
    midpoints,
)
from harness.contract.attributed import EXACT, split
from harness.errors import ModelError
from harness.running.reading.reader import Reader, Wanted
from harness.running.reading.rows import one_row

PAIR = Stream("", "base", "data", right="tuned")
ODDS = GradientPath(SITE, LogOdds(("a", "b")), midpoints(4))
SCALARS = {
    "log_odds": ODDS.scalar,
    "unbounded": LogOdds(("a",), epsilon=0.0),
    "difference": LogitDifference("a", "c"),
    "answer": AnswerLogProbability(),
    "per_token": AnswerLogProbability(per_token=True),
}


def read(path: Any, base: Any, tuned: Any, tokens: Any, stream: Stream = PAIR) -> Any:
    wanted = (Wanted(stream, frozenset({SITE}), paths=(path,)),)
    reader = Reader(wanted, {"base": base, "tuned": tuned}, {}, {})
    batch = reader.read([one_row(one) for one in tokens])[stream]
    return batch, batch.paths[path]


def number(name: str, logits: torch.Tensor, tokens: Any, model: TinyModel) -> torch.Tensor:
    """Every scalar once more, from probabilities."""
    p = logits.double().softmax(-1)
    a, b, c = (model.encode(word)[0] for word in "abc")
    if name in ("log_odds", "unbounded"):
        epsilon = 1e-8 if name == "log_odds" else 0.0
        hit = p[-1, a] + (p[-1, b] if name == "log_odds" else 0)
        return (hit + epsilon).log() - (1 - hit + epsilon).log()
    if name == "difference":
        return (p[-1, a] / p[-1, c]).log()
    begin, end = tokens.answered
    each = [p[t - 1, tokens.ids[t]].log() for t in range(begin, end)]
    return sum(each, torch.zeros(())) / (len(each) if name == "per_token" else 1)


@pytest.mark.parametrize("points", [(0.0,), midpoints(3), (0.0, 0.5, 1.0)], ids=["1", "3", "ends"])
@pytest.mark.parametrize("name", SCALARS)
def test_a_path_is_what_loops_in_float64_find(name: str, points: tuple[float, ...]) -> None:
    base, tuned = TinyModel(0), TinyModel(1)
    tokens = prompts(3, 6, 4)
    batch, found = read(GradientPath(SITE, SCALARS[name], points), base, tuned, tokens)
    for tail, own in ((found.left, base), (found.right, tuned)):
        for document, one in enumerate(tokens):
            x, y = base.below(one.ids), tuned.below(one.ids)
            mean = torch.zeros_like(x)
            for alpha in points:
                h = (x + alpha * (y - x)).requires_grad_()
                (slope,) = torch.autograd.grad(number(name, own.above(h), one, base), h)
                mean += slope / len(points)
            here = (batch.document == document).nonzero().squeeze(1)
            torch.testing.assert_close(tail.gradient[here], mean[batch.position[here]])
            ends = [float(number(name, own.above(h), one, base)) for h in (x, y)]
            plain = float(number(name, own.above(own.below(one.ids)), one, base))
            along = float((mean * (y - x)).sum())
            sides = (tail.at_left, tail.at_right, tail.plain, tail.along)
            expected = torch.tensor([*ends, plain, along], dtype=torch.float64)
            torch.testing.assert_close(torch.stack([s[document] for s in sides]), expected)


def test_the_split_closes_and_what_is_put_back_changes_nothing() -> None:
    for path in (ODDS, replace(ODDS, points=(0.0,))):
        _, found = read(path, TinyModel(0), TinyModel(1), prompts(3, 7))
        whole = split(found)
        torch.testing.assert_close(whole.up + whole.down, whole.change, rtol=1e-14, atol=1e-14)
        assert whole.put_back.max() == 0


def test_the_first_order_is_exact_where_the_upper_layers_are_straight() -> None:
    base, tuned = TinyModel(0, straight=True), TinyModel(1, straight=True)
    path = GradientPath(SITE, LogitDifference("a", "c"), (0.0,))
    _, found = read(path, base, tuned, prompts(2, 5, 9))
    whole = split(found)
    torch.testing.assert_close(whole.along, whole.up, rtol=1e-12, atol=1e-12)
    assert (whole.gap <= 1e-12 * whole.size).all()


@pytest.mark.slow
def test_more_midpoints_miss_less() -> None:
    base, tuned = TinyModel(0), TinyModel(1)
    gaps = []
    for steps in (1, 4, 16, 64):
        _, found = read(replace(ODDS, points=midpoints(steps)), base, tuned, prompts(4, 6))
        gaps.append(float(split(found).gap.sum()))
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2] > 27 * gaps[3]  # as 1/K², from some K on


def test_a_model_against_itself_is_exactly_nothing() -> None:
    model = TinyModel(0)
    _, found = read(ODDS, model, TinyModel(0), prompts(3, 6))
    whole = split(found)
    for each in (whole.change, whole.up, whole.down, whole.along, whole.gap, whole.size):
        assert not each.any()


@pytest.mark.parametrize("left", ["left", "right"])
@pytest.mark.parametrize("right", ["left", "right"])
def test_batches_padding_and_order_change_nothing(left: str, right: str) -> None:
    base, tuned = (TinyModel(n, padding=side) for n, side in enumerate((left, right)))
    tokens = prompts(3, 8, 5, 2)
    batch, found = read(ODDS, base, tuned, tokens)
    for document, one in enumerate(tokens):
        alone, its = read(ODDS, TinyModel(0), TinyModel(1), [one])
        here = batch.document == document
        for tail, own in ((found.left, its.left), (found.right, its.right)):
            torch.testing.assert_close(tail.gradient[here], own.gradient)
            for name in ("at_left", "at_right", "plain", "along"):
                mine, theirs = getattr(tail, name)[document], getattr(own, name)[0]
                torch.testing.assert_close(mine, theirs)
        assert len(alone.ids) == int(here.sum())


def test_float32_is_near_float64() -> None:
    _, exact = read(ODDS, TinyModel(0), TinyModel(1), prompts(4, 6))
    single = (TinyModel(n, dtype="float32") for n in (0, 1))
    _, found = read(ODDS, *single, prompts(4, 6))
    torch.testing.assert_close(found.left.gradient.double(), exact.left.gradient, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.right.along, exact.right.along, atol=1e-4, rtol=0)


class Leaking(TinyModel):
    """Embeddings of each layer, say: what is put in does not reach all of the upper layers."""

    def gradients(self, tokens: Any, scalar: Any, sites: Any, *, put: Any = None) -> Any:
        found = super().gradients(tokens, scalar, sites, put=put)
        return found if put is None else replace(found, values=found.values * 1.01)


def test_what_reaches_the_upper_layers_otherwise_is_seen() -> None:
    _, found = read(ODDS, Leaking(0), TinyModel(1), prompts(4, 6))
    assert split(found).put_back.min() > EXACT


def test_two_streams_of_one_pair_follow_a_path_once() -> None:
    base, tuned = TinyModel(0), TinyModel(1)
    last = replace(PAIR, tokens="last")
    wanted = tuple(Wanted(one, frozenset({SITE}), paths=(ODDS,)) for one in (PAIR, last, PAIR))
    found = Reader(wanted, {"base": base, "tuned": tuned}, {}, {}).read(
        [one_row(one) for one in prompts(3, 5)]
    )
    assert base.calls == tuned.calls == 1 + 2 + len(ODDS.points)
    whole, few = found[PAIR], found[last]
    assert len(few.paths[ODDS].left.gradient) == 2
    for document in range(2):
        mine = whole.paths[ODDS].left.gradient[whole.document == document][-1]
        torch.testing.assert_close(few.paths[ODDS].left.gradient[document], mine)
    assert BOS not in whole.ids


def test_prompts_of_which_the_number_is_undefined_are_left_out() -> None:
    class Sometimes:
        on_answer = False

        def on(self, model: Any) -> Any:
            return lambda logits, t: logits[-1, 3] * (math.nan if t.example == "0-1" else 1)

        def __hash__(self) -> int:
            return 7

    path = GradientPath(SITE, Sometimes(), (0.5,))
    batch, found = read(path, TinyModel(0), TinyModel(1), prompts(3, 5))
    whole = split(found)
    assert whole.defined.tolist() == [True, False]
    assert not found.left.gradient[batch.document == 1].any()
    assert found.left.gradient[batch.document == 0].any()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_refused_by_name(dtype: str) -> None:
    model = TinyModel(1, dtype=dtype)
    with pytest.raises(ModelError, match=rf'views.tuned: .*{dtype}.*Write dtype = "float32"'):
        read(ODDS, TinyModel(0, dtype="float32"), model, prompts(3))


def test_a_model_without_gradients_is_refused_by_name() -> None:
    model = TinyModel(0)
    model.facts = replace(model.facts, capabilities=frozenset({"activations"}))
    with pytest.raises(ModelError, match=r"views\.base: its model gives no gradients"):
        read(ODDS, model, TinyModel(1), prompts(3))


def test_words_that_are_several_tokens_are_refused_by_name() -> None:
    for words, told in ((("I am",), "one token"), (("a", "a"), "the same token")):
        path = GradientPath(SITE, LogOdds(words), (0.0,))
        with pytest.raises(ModelError, match=told):
            read(path, TinyModel(0), TinyModel(1), prompts(3))


def test_an_answer_that_no_backend_tells_is_refused() -> None:
    path = GradientPath(SITE, AnswerLogProbability(), (0.0,))
    untold = [replace(one, answered=None) for one in prompts(3)]
    with pytest.raises(ModelError, match=r"Document 0-0: .*does not tell"):
        read(path, TinyModel(0), TinyModel(1), untold)
