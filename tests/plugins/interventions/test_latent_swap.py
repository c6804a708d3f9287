"""Latents of two views swapped, against float64 token by token, and the laws of METHODS 2."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from harness.contract import Latents, SaeFacts, SaeInput, Site
from harness.errors import ModelError
from harness_interventions.latent_swap import LatentSwap
from harness_interventions.options import LatentSwapOptions

D, WIDTH = 16, 12
SIDES = ("left", "right")


class Toy:
    """An SAE of both sides, in either order, of their difference, or of one model alone."""

    fingerprint, notes = "toy", ()

    def __init__(self, join: str | None, order: tuple[str, str] = SIDES) -> None:
        generator = torch.Generator().manual_seed(3)
        columns = 2 * D if join == "concatenated" else D
        self.encoder, self.decoder, self.bias = (
            torch.randn(*shape, generator=generator, dtype=torch.float64)
            for shape in ((columns, WIDTH), (WIDTH, columns), (columns,))
        )
        inputs = tuple(SaeInput(side, width=D) for side in order) if join else ()
        more = {"join": join} if join else {}
        self.facts = SaeFacts("toy", columns, WIDTH, Site("resid_post", 1), inputs=inputs, **more)

    def encode(self, x):
        return Latents.from_dense((x.double() @ self.encoder - 1).relu())

    def reconstruct(self, latents):
        return latents.dense() @ self.decoder + self.bias

    def rows(self, indices):
        return self.decoder[indices]

    def slow(self, x):
        """z and the rows, in numpy."""
        return np.maximum(x @ self.encoder.numpy() - 1, 0), self.decoder.numpy()


def slow(sae, x, y, options, features):
    """x' of one token by the table of the docstring; x is the edited view's."""
    facts, side, bias = sae.facts, options.side, sae.bias.numpy()
    by_latent = np.zeros((WIDTH, D))
    if not facts.inputs:
        (z, rows), (other, _) = sae.slow(x), sae.slow(y)
        for j in range(WIDTH):
            by_latent[j] = (z[j] - other[j]) * rows[j]
        constant, rebuilt = np.zeros(D), by_latent.sum(0)
    elif facts.join == "concatenated":
        order = [one.side for one in facts.inputs]
        z, rows = sae.slow(np.concatenate([x if one == side else y for one in order]))
        own = slice(0, D) if order[0] == side else slice(D, 2 * D)
        across = slice(D, 2 * D) if order[0] == side else slice(0, D)
        for j in range(WIDTH):
            by_latent[j] = z[j] * (rows[j, own] - rows[j, across])
        constant = bias[own] - bias[across]
        rebuilt = by_latent.sum(0) + constant
    else:
        sign = 1 if facts.inputs[1].side == side else -1
        z, rows = sae.slow(sign * (x - y))
        for j in range(WIDTH):
            by_latent[j] = sign * z[j] * rows[j]
        constant = sign * bias
        rebuilt = by_latent.sum(0) + constant
    among = {"chosen": features, "all": range(WIDTH), "none": ()}[options.latents]
    moved = sum((by_latent[j] for j in among), np.zeros(D))
    if "bias" in options.parts:
        moved = moved + constant
    if "error" in options.parts:
        moved = moved + (x - y) - rebuilt
    goal = y + moved if options.mode == "only" else x - moved
    return x + options.strength * (goal - x)


@pytest.fixture
def swapped(make_direction, facts):
    def swap(sae, x, y, features=(1, 4, 7), **given):
        options = LatentSwapOptions(other="base", **given)
        weights = (1.0,) * len(features)
        direction = replace(make_direction(), sae="s", features=features, weights=weights)
        arms = LatentSwap(options).arms("a", direction, facts, "float32", y, sae)
        (apply,) = {one.edits[0].apply for one in arms}
        rows = [one.edits[0].parameters for one in arms]
        stacked = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        return options, arms, apply(x, stacked)

    return swap


def both(dtype=torch.float32):
    generator = torch.Generator().manual_seed(5)
    return (torch.randn(2, 6, D, generator=generator).to(dtype) for _ in range(2))


SAES = {
    "one model": Toy(None),
    "crosscoder": Toy("concatenated"),
    "crosscoder turned round": Toy("concatenated", ("right", "left")),
    "difference": Toy("difference"),
    "difference turned round": Toy("difference", ("right", "left")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", SAES)
@pytest.mark.parametrize("mode", ["only", "without"])
def test_it_is_the_slow_sum(swapped, name, mode) -> None:
    x, y = both()
    for latents, parts, side, strength in product(
        ("chosen", "all", "none"), ((), ("bias",), ("error",)), SIDES, (1.0, 0.5)
    ):
        if (mode, latents, parts) == ("without", "none", ()):
            continue
        given = {"mode": mode, "latents": latents, "parts": parts, "side": side}
        options, _, out = swapped(SAES[name], x, y, strength=strength, **given)
        expected = [
            [slow(SAES[name], a.double().numpy(), b.double().numpy(), options, (1, 4, 7))
             for a, b in zip(own, other, strict=True)]
            for own, other in zip(x, y, strict=True)
        ]  # fmt: skip
        np.testing.assert_allclose(out.numpy(), expected, atol=3e-5, err_msg=str(given))


@pytest.mark.parametrize("name", SAES)
def test_law_nothing_swapped_in_is_the_other_view_and_everything_is_the_view(swapped, name) -> None:
    x, y = both()
    _, _, out = swapped(SAES[name], x, y, latents="none")
    assert torch.equal(out, y)
    everything = {"latents": "all", "parts": ("bias", "error")}
    _, arms, out = swapped(SAES[name], x, y, **everything)
    torch.testing.assert_close(out, x, rtol=1e-5, atol=1e-5)
    assert all(arm.idle for arm in arms)
    _, arms, out = swapped(SAES[name], x, y, mode="without", **everything)
    torch.testing.assert_close(out, y, rtol=1e-5, atol=1e-5)
    assert not any(arm.idle or arm.gated for arm in arms)


@pytest.mark.parametrize("name", SAES)
def test_putting_in_and_leaving_out_add_up(swapped, name) -> None:
    """(y + c) + (x − c) = x + y, whatever is swapped."""
    x, y = both()
    for given in ({}, {"latents": "all"}, {"parts": ("error",)}):
        outs = [swapped(SAES[name], x, y, mode=mode, **given)[2] for mode in ("only", "without")]
        torch.testing.assert_close(outs[0] + outs[1], x + y, rtol=1e-5, atol=1e-5)


def test_equal_views_stay_as_they_are(swapped) -> None:
    """Base against base: with an SAE of one model nothing differs, so no bit changes."""
    x, _ = both()
    for mode in ("only", "without"):
        assert torch.equal(swapped(SAES["one model"], x, x.clone(), mode=mode)[2], x)


@pytest.mark.parametrize("name", SAES)
def test_fewer_positions_are_the_first_ones(swapped, name) -> None:
    """The other view's activations are as wide as their batch; what is edited may be less."""
    x, y = both()
    _, arms, whole = swapped(SAES[name], x, y)
    (edit,) = arms[0].edits
    given = {key: value[None] for key, value in edit.parameters.items()}
    short = edit.apply(x[:1, :2], given)
    torch.testing.assert_close(short, whole[:1, :2], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_kept(swapped, dtype) -> None:
    x, y = both(dtype)
    _, _, out = swapped(SAES["crosscoder"], x, y)
    _, _, wide = swapped(SAES["crosscoder"], x.float(), y.float())
    assert out.dtype == dtype
    torch.testing.assert_close(out.float(), wide, rtol=0.01, atol=0.05)


def test_what_cannot_be_swapped_says_so(swapped) -> None:
    x, y = both()
    with pytest.raises(ModelError, match="no SAE features"):
        swapped(SAES["crosscoder"], x, y, features=())
    with pytest.raises(ModelError, match="no SAE features"):
        swapped(None, x, y)
    with pytest.raises(ModelError, match="no latent 12"):
        swapped(SAES["crosscoder"], x, y, features=(12,))
    for given in ({"mode": "without", "latents": "none"}, {"sae": "both"}):
        with pytest.raises(ValueError, match=r"Allowed|Remove"):
            LatentSwapOptions(other="base", **given)
