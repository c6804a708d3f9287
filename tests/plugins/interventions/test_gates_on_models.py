"""Gates inside real architectures: a latent that is active on tokens that we chose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.contract import Arm, Direction, Edit, Latents, SaeFacts, Sampling, Site, Tokens
from harness.testing import check_intervention
from harness_interventions.addition import Addition
from harness_interventions.conditional_addition import ConditionalAddition
from harness_interventions.options import AdditionOptions, ConditionalAdditionOptions

from .test_on_models import CONFIGS, TOKENS, WIDTH, folder, model  # noqa: F401

EMBEDDED = Site("resid_pre", 0)
"""Here an activation is that of its token alone, so it is known where a latent is active."""
WATCHED = (3, 5, 8, 11, 14, 17)
PROMPTS = [
    Tokens("a", (1, 5, 7, 9, 4), (0, 5), "a"),
    Tokens("b", (1, 6, 8), (0, 3), "b"),
    Tokens("c", (1, 3, 3, 8, 12, 15, 9), (0, 7), "c"),
    Tokens("d", (1, 19), (0, 2), "d"),
]


@pytest.fixture(scope="module", params=CONFIGS)
def family(request):
    return request.param


class OneToken:
    """Latent j is active on token j alone: cos(x, e_j) − 0.9, where that is positive."""

    def __init__(self, embedded: torch.Tensor) -> None:
        self.units = torch.nn.functional.normalize(embedded.float(), dim=1)
        self.facts = SaeFacts("planted", WIDTH, len(embedded), EMBEDDED)
        self.fingerprint, self.notes = "planted", ()

    def encode(self, x):
        length = x.norm(dim=1, keepdim=True).clamp_min(1e-9)
        return Latents.from_dense((x @ self.units.T / length - 0.9).relu())

    def reconstruct(self, latents):
        return latents.dense() @ self.units

    def rows(self, indices):
        return self.units[indices]


@pytest.fixture(scope="module")
def sae(model):  # noqa: F811
    every = [Tokens(str(n), (n,), (0, 1), "") for n in range(20)]
    found = model.activations(every, [EMBEDDED]).sites[EMBEDDED]
    planted = OneToken(found[:, 0])
    active = planted.encode(found[:, 0].float()).dense() > 0
    assert torch.equal(active[1:], torch.eye(20)[1:] > 0)  # token 0 is padding, and embedded as 0
    return planted


def direction(size=1.0):
    return Direction(EMBEDDED, size * np.random.default_rng(0).normal(size=(1, WIDTH)))


def steering(threshold=0.0, latents=WATCHED, coefficient=2.0):
    given = {"sae": "s", "latents": latents, "threshold": threshold, "coefficient": coefficient}
    return ConditionalAddition(ConditionalAdditionOptions(**given))


def arm_of(model, sae, **given):  # noqa: F811
    return steering(**given).arm("gated", direction(), model.facts, model.dtype, sae)


@pytest.mark.slow
def test_laws(model, sae):  # noqa: F811
    check_intervention(
        steering(latents=tuple(range(2, 20, 3))),
        replace(direction(), vectors=30 * direction().vectors),
        model.facts,
        identity=steering(coefficient=0.0),
        sae=sae,
        closed=steering(threshold=1e30),
        opened=(steering(threshold=-1.0), Addition(AdditionOptions(coefficient=2.0))),
        model=model,
        tokens=TOKENS,
    )


def test_the_planted_tokens_are_moved_and_no_others(model, sae):  # noqa: F811
    plain = model.activations(PROMPTS, [EMBEDDED])
    with model.edited([arm_of(model, sae)]) as receipts:
        edited = model.activations(PROMPTS, [EMBEDDED])
    planted = [[token in WATCHED for token in one.ids] for one in PROMPTS]
    for row, one in enumerate(PROMPTS):
        before, after = (
            found.sites[EMBEDDED][row, found.start[row] :][: len(one.ids)]
            for found in (plain, edited)
        )
        assert (before != after).any(-1).tolist() == planted[row]
    assert receipts[0].changed == sum(map(sum, planted))
    assert receipts[0].tokens == sum(len(one.ids) for one in PROMPTS)


def written(model, arm, prompts, new=12):  # noqa: F811
    with model.edited([arm]) as receipts:
        found = model.generate(prompts, Sampling(new))
    return found, receipts[0]


class Spy:
    """An edit that changes nothing, and notes which tokens the model reads."""

    def __init__(self, sae):
        self.sae, self.read = sae, []

    def __call__(self, x, parameters):
        self.read += (x[0].float() @ self.sae.units.T).argmax(-1).tolist()
        return x


@pytest.mark.slow
def test_each_new_token_is_gated_by_its_own_activation(model, sae):  # noqa: F811
    """What cached decoding counted and wrote is what one forward over the whole text gives."""
    arm = arm_of(model, sae)
    new = 0
    for prompt in PROMPTS:
        spy = Spy(sae)
        spied = replace(arm, edits=(Edit(EMBEDDED, spy, {"none": torch.zeros(1)}), *arm.edits))
        (one,), receipt = written(model, spied, [prompt])
        (plain,), alone = written(model, arm, [prompt])
        assert one == plain
        length, opened = len(prompt.ids), [token in WATCHED for token in spy.read]
        assert tuple(spy.read[:length]) == prompt.ids
        assert len(spy.read) == length + one.tokens - 1  # the last one is never read
        assert (alone.tokens, alone.changed) == (len(spy.read), sum(opened))
        assert receipt.changed == alone.changed
        new += sum(opened[length:])
        if model.dtype == "float32":  # where no two tokens are equally likely
            with model.edited([arm]):
                tokens = [replace(prompt, ids=tuple(spy.read))]
                logits = model.activations(tokens, [], logits=True).logits
            chosen = logits[0, length - 1 : -1].argmax(-1).tolist()
            assert chosen == spy.read[length:]
    assert new > 0


@pytest.mark.slow
def test_batch_padding_and_order_do_not_matter(model, sae):  # noqa: F811
    arm = arm_of(model, sae)
    found, whole = written(model, arm, PROMPTS)
    backwards, again = written(model, arm, PROMPTS[::-1])
    assert backwards[::-1] == found
    alone = [written(model, arm, [one]) for one in PROMPTS]
    assert [one for (one,), _ in alone] == found
    counted = {(r.tokens, r.changed) for r in (whole, again)}
    parts = [receipt for _, receipt in alone]
    assert counted == {(sum(r.tokens for r in parts), sum(r.changed for r in parts))}


@pytest.mark.slow
def test_arms_with_other_gates_share_a_batch(model, sae):  # noqa: F811
    arms = [Arm("none"), arm_of(model, sae), arm_of(model, sae, threshold=1e30)]
    mixed = [replace(one, arm=n) for n in range(3) for one in PROMPTS]
    with model.edited(arms) as receipts:
        found = model.generate(mixed, Sampling(12))
    plain = model.generate(PROMPTS, Sampling(12))
    assert found[: len(PROMPTS)] == found[2 * len(PROMPTS) :] == plain
    assert found[len(PROMPTS) : 2 * len(PROMPTS)] == written(model, arms[1], PROMPTS)[0]
    assert [r.changed > 0 for r in receipts] == [False, True, False]
    assert receipts[2].tokens > 0
