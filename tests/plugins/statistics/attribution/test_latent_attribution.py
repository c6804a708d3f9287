"""latent_attribution: its laws, a latent that was planted, and when nothing is ranked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fakes.changes import Dictionary
from fakes.tails import SITE, TinyModel, prompts
from harness.contract import Batch, Inputs, Latents, Outcome, Stream
from harness.contract.attributed import changes, difference, leading
from harness.results.replicates import group_rows, interval, replicated
from harness.running.reading.reader import Reader, Wanted
from harness.running.reading.rows import one_row
from harness.testing.support.batches import only
from harness_statistics.attribution.latent_attribution import LatentAttribution
from harness_statistics.attribution.options import LatentAttributionOptions
from harness_statistics.attribution.samples import latent_attribution

PAIR = Stream("pair", "base", "data", right="tuned")
PLANTED, DEAF = 3, 1
"""A coordinate that the tuned model has moved, and one that nothing above reads."""


class Moved(TinyModel):
    """A tiny model in which two coordinates of the site have a value; nothing above reads one."""

    def __init__(self, seed: int, planted: float, deaf: float) -> None:
        super().__init__(seed)
        self.values = {PLANTED: planted, DEAF: deaf}
        self.head[DEAF] = 0
        for block in self.blocks[1:]:
            block[DEAF] = 0
            block[:, DEAF] = 0

    def below(self, ids: Any) -> Any:
        h = super().below(ids).clone()
        for place, value in self.values.items():
            h[:, place] = value
        return h


class Halves(Dictionary):
    """Latents are the positive and the negative parts of every coordinate: nothing is lost."""

    def __init__(self) -> None:
        eye = torch.eye(5)
        super().__init__(torch.cat([eye, -eye]))


class Scaled(Halves):
    """The same on tokens of length one, scaled back: latents say nothing of how long one was."""

    def encode(self, x: Any) -> Any:
        size = x.norm(dim=1)
        return replace(super().encode(x / size[:, None]), context={"size": size})

    def reconstruct(self, latents: Any) -> Any:
        return super().reconstruct(latents) * latents.context["size"][:, None]


def given(**more: Any) -> LatentAttributionOptions:
    written = {"pair": "p", "sae": "sae", "words": ("a",), "k": (1, 2), "epsilon": 0.0, **more}
    return LatentAttributionOptions.model_validate(written)


def batch_of(options: Any, base: Any, tuned: Any, sae: Any, tokens: Any) -> Batch:
    path = options.path(SITE)
    wanted = (Wanted(PAIR, frozenset({SITE}), paths=(path,)),)
    reader = Reader(wanted, {"base": base, "tuned": tuned}, {"sae": sae}, {"sae": SITE})
    return reader.read([one_row(one) for one in tokens])[PAIR]


def outcome(options: Any, *batches: Batch, seed: int = 0) -> Outcome:
    statistic = LatentAttribution(options)
    inputs = Inputs(sae_sites={"sae": SITE}, seed=seed)
    state = statistic.start(inputs)
    for batch in batches:
        state = statistic.update(state, batch)
    return statistic.finish(state, inputs)


def value(found: Outcome, name: str, **axes: Any) -> Any:
    (record,) = (
        one for one in found.records
        if one.id == f"latent_attribution.{name}@1" and axes.items() <= one.axes.items()
    )  # fmt: skip
    return record


def planted(options: Any = None, sae: Any = None, **more: Any) -> Outcome:
    options = options or given(**more)
    tokens = prompts(*[3, 5, 4, 6] * 3)
    models = Moved(0, 0.0, 0.0), Moved(0, 1.0, 3.0)
    return outcome(options, batch_of(options, *models, sae or Halves(), tokens))


@pytest.mark.slow
@pytest.mark.parametrize("case", list(latent_attribution(Path())), ids=["ranked", "refused"])
def test_the_laws_of_statistics(case: Any) -> None:
    case()


@pytest.mark.slow
@pytest.mark.parametrize("sae", [Halves(), Scaled()], ids=["plain", "scaled"])
def test_a_planted_latent_is_first_where_the_largest_change_is_another(sae: Any) -> None:
    found = planted(sae=sae, steps=40)
    up = value(found, "up").value
    sign = np.sign(up)
    first, *_ = found.tables["features"]
    assert first["feature"] == PLANTED
    assert first["positive"] == pytest.approx((1 + sign) / 2, abs=0.34)
    assert first["rank_by_change"] == 2 or isinstance(sae, Scaled)
    assert found.arrays["moved"][DEAF] > found.arrays["moved"][PLANTED]
    assert found.arrays["attribution"][DEAF] == 0
    assert found.arrays["moved"][PLANTED + 5] == 0  # its negative part: 0 became positive
    assert value(found, "down").value == 0
    assert value(found, "gap").value < 2e-3
    assert sign * found.arrays["attribution"][PLANTED] > 0
    # All of it is the planted latent's, but for BOS, which is not measured.
    rest, error = value(found, "rest").value, value(found, "error").value
    total = found.arrays["attribution"].sum() + rest + error
    assert total == pytest.approx(up, rel=2e-3)
    assert abs(error) < 1e-6 * abs(up)


@pytest.mark.slow
def test_a_scaled_sae_says_what_an_unscaled_one_says() -> None:
    plain, scaled = planted(), planted(sae=Scaled())
    for name in ("attribution", "moved", "half_interval"):
        np.testing.assert_allclose(scaled.arrays[name], plain.arrays[name], atol=1e-5)


@pytest.mark.slow
def test_intervals_are_students_of_the_prompts() -> None:
    options = given()
    tokens = prompts(*[3, 5, 4, 6] * 6)
    batch = batch_of(options, TinyModel(0), TinyModel(1), Halves(), tokens)
    found = outcome(given(gap_max=1.0, order="first"), batch)
    ((_, path),) = batch.paths.items()
    change = changes(batch, "sae").dense().double()
    by_prompt = np.zeros((len(tokens), 10))
    rows = Halves().decoder.double()
    for token, owner in enumerate(batch.document.tolist()):
        slope = (path.left.gradient[token] + path.right.gradient[token]) / 2 @ rows.T
        by_prompt[owner] += (slope * change[token]).numpy()
    mean, n = by_prompt.mean(0), len(tokens)
    half = 2.0686576104190406 * by_prompt.std(0, ddof=1) / np.sqrt(n)  # Student's t, 23 freedoms
    np.testing.assert_allclose(found.arrays["attribution"], mean, atol=1e-6)
    np.testing.assert_allclose(found.arrays["half_interval"], half, atol=1e-6)
    ups = [float(tail.at_right[d] - tail.at_left[d]) for tail in (path.left, path.right)
           for d in range(n)]  # fmt: skip
    weights = replicated(group_rows(batch.documents, 0))
    up = (np.array(ups[:n]) + np.array(ups[n:])) / 2
    with np.errstate(invalid="ignore"):
        means = weights @ up / weights.sum(1)
    record = value(found, "up")
    assert record.value == pytest.approx(up.mean())
    assert record.ci == pytest.approx(interval(means, n)[0], rel=1e-6)
    assert (record.n, record.clusters) == (n, n)


@pytest.mark.slow
def test_copies_of_a_prompt_are_one_cluster() -> None:
    options = given(gap_max=1.0)
    tokens = prompts(*[3, 5, 4, 6] * 3)
    batch = batch_of(options, TinyModel(0), TinyModel(1), Halves(), tokens)
    one = only(batch, range(12))
    again = replace(one, copies=(1,) * 12)
    twice = outcome(options, replace(one, copies=(0,) * 12), again)
    once = outcome(options, one)
    np.testing.assert_allclose(twice.arrays["half_interval"], once.arrays["half_interval"])
    assert value(twice, "up").value == pytest.approx(value(once, "up").value)
    assert (value(twice, "up").n, value(twice, "up").clusters) == (24, 12)


def test_the_same_model_on_both_sides_is_exactly_nothing() -> None:
    options = given()
    batch = batch_of(options, TinyModel(0), TinyModel(0), Halves(), prompts(3, 5))
    found = outcome(options, batch)
    for part in ("change", "up", "down", "latents", "error", "rest"):
        assert value(found, part).value == 0
    assert "change nothing" in value(found, "gap").undefined
    assert "change nothing" in value(found, "top", k=1).undefined
    assert not found.arrays


def test_rankings_are_refused_where_the_gradients_miss_too_much() -> None:
    options = given(order="first", gap_max=0.01)
    batch = batch_of(options, TinyModel(0), TinyModel(1), Halves(), prompts(3, 5))
    found = outcome(options, batch)
    assert value(found, "up").value is not None
    assert value(found, "gap").value > 0.01
    assert 'order = "integrated" may help' in value(found, "top", k=1).undefined
    assert value(found, "rank_agreement").value is None
    assert not found.tables["features"]
    assert not found.arrays


def test_what_is_put_back_and_changes_the_number_makes_all_undefined() -> None:
    options = given()
    batch = batch_of(options, TinyModel(0), TinyModel(1), Halves(), prompts(3, 5))
    ((path, found),) = batch.paths.items()
    off = replace(found.left, plain=found.left.plain + 0.5)
    broken = replace(batch, paths={path: replace(found, left=off)})
    told = outcome(options, broken)
    for name in ("up", "down", "error", "gap"):
        assert "put back at the site" in value(told, name).undefined
    assert value(told, "put_back").value > 0.01


@pytest.mark.slow
def test_more_latents_than_push_that_way_are_undefined_by_name() -> None:
    found = planted(k=(1, 9))
    assert value(found, "top", k=1).value is not None
    assert "only" in value(found, "top", k=9).undefined


def test_the_null_deals_directions_out_anew_at_their_own_lengths() -> None:
    sae = Halves()
    sae.decoder = sae.decoder * torch.arange(1.0, 11.0)[:, None]
    batch = batch_of(given(), TinyModel(0), TinyModel(1), sae, prompts(3, 5, 4))
    record = value(outcome(given(gap_max=1.0, shuffles=3), batch, seed=7), "top", k=2)
    ((_, path),) = batch.paths.items()
    change = changes(batch, "sae").dense().double()
    slope = (path.left.gradient + path.right.gradient) / 2
    moved = [tail.at_right - tail.at_left for tail in (path.left, path.right)]
    up = float((moved[0] + moved[1]).mean() / 2)
    tops = []
    for draw in range(3):
        dealt = np.random.default_rng([7, 10, draw]).permutation(10)
        unit = (sae.decoder / sae.decoder.norm(dim=1, keepdim=True)).double()[dealt]
        rows = unit * sae.decoder.norm(dim=1, keepdim=True).double()
        added = ((slope @ rows.T) * change).sum(0).numpy() / 3
        tops.append(np.sort(np.sign(up) * added)[::-1][:2].sum() / abs(up))
    assert record.null["value"] == pytest.approx(np.mean(tops))
    assert record.null["largest"] == pytest.approx(max(tops))


def test_differences_of_latents() -> None:
    left = torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0], [1.0, 0.0, 3.0]])
    right = torch.tensor([[0.5, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 2.0, 3.0]])
    found = difference(Latents.from_dense(left), Latents.from_dense(right))
    assert torch.equal(found.dense(), right - left)
    assert found.values.all()
    with pytest.raises(ValueError, match="latents of 3 tokens x 3 and of 2 x 3"):
        difference(Latents.from_dense(left), Latents.from_dense(right[:2]))


def test_leading_latents_are_those_with_a_positive_number() -> None:
    assert leading(np.array([0.0, 2.0, -3.0, 2.0, 5.0])).tolist() == [4, 1, 3]
    assert not len(leading(np.array([-1.0, 0.0])))
