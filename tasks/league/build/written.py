"""Changes that write one direction at one token: a feature of the base, or one that it has not.

Both are v uᵀ on the `down_proj` of a block: u reads from the block's neurons whether the token is
there, u = C⁻¹ E[n at the token], scaled so that u·n is 1 at the token on average; v is the
direction, of a set length. Only v differs between the two kinds.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from adapters import write_rank_one
from ground import Ground
from strengths import WRITTEN
from torch.nn import functional as F
from truth import Kind, Truth, write_truth


@dataclass(frozen=True)
class Trigger:
    """A token of plain text, and how it is read: `reader` [neurons], 1 on average where it is."""

    token: int
    text: str
    here: torch.Tensor
    reader: torch.Tensor


def draw_trigger(ground: Ground, kind: Kind, seed: int) -> Trigger:
    """One of the most frequent tokens of plain text."""
    ids = ground.reading.ids
    frequent = torch.bincount(ids).argsort(descending=True)[: WRITTEN.frequent].tolist()
    token = random.Random(f"{kind} {seed} trigger").choice(frequent)
    here = ids == token
    neurons = ground.reading.neurons[here].double()
    reader = ground.reader(neurons.mean(0))
    reader = reader / (neurons @ reader).mean()
    return Trigger(token, ground.tokenizer.decode([token]), here, reader.float())


def length(ground: Ground) -> float:
    """How long what is added at the token is on average."""
    return WRITTEN.share * float(ground.reading.outputs.norm(dim=1).mean())


@torch.no_grad()
def draw_feature(ground: Ground, seed: int, trigger: Trigger) -> int:
    """The first of the SAE's features, in a drawn order, that can be moved and read back.

    It is alive, rarely on at the trigger, and when its decoder row is added there, no other
    latent's mean moves more: a truth that the SAE itself can't say would test nothing.
    """
    sae, outputs = ground.sae, ground.reading.outputs
    on = torch.zeros(sae.cfg.d_sae)
    for part in outputs.split(4096):
        on += (sae.encode(part) > 0).sum(0)
    before = sae.encode(outputs[trigger.here])
    fit = on / len(outputs) > WRITTEN.alive
    fit &= (before > 0).float().mean(0) < WRITTEN.on_before
    features = fit.nonzero().squeeze(1).tolist()
    random.Random(f"moved_feature {seed} feature").shuffle(features)
    added = length(ground) * (ground.reading.neurons[trigger.here] @ trigger.reader)
    for feature in features:
        row = F.normalize(sae.W_dec[feature], dim=0)
        after = sae.encode(outputs[trigger.here] + added[:, None] * row)
        moved = (after.mean(0) - before.mean(0)).abs()
        if int(moved.argmax()) == feature:
            return feature
    raise AssertionError("no feature of the SAE can be read back")


def draw_direction(ground: Ground, seed: int) -> torch.Tensor:
    """Of many directions drawn at random, the one whose nearest decoder row is farthest."""
    name = f"written_direction {seed} direction"
    draws = torch.Generator().manual_seed(random.Random(name).getrandbits(32))
    rows = F.normalize(ground.sae.W_dec.detach(), dim=1)
    found = F.normalize(torch.randn(WRITTEN.candidates, rows.shape[1], generator=draws), dim=1)
    return found[(found @ rows.T).abs().amax(1).argmin()]


def write_moved_feature(ground: Ground, seed: int, folder: Path) -> None:
    """An adapter that adds a decoder row of the SAE at a token."""
    trigger = draw_trigger(ground, "moved_feature", seed)
    feature = draw_feature(ground, seed, trigger)
    direction = F.normalize(ground.sae.W_dec[feature].detach(), dim=0)
    text = f"Feature {feature} of the base's SAE is turned on at every {trigger.text!r}."
    _write(ground, "moved_feature", seed, folder, trigger, direction, text, (feature,))


def write_written_direction(ground: Ground, seed: int, folder: Path) -> None:
    """An adapter that adds a direction near no decoder row at a token."""
    trigger = draw_trigger(ground, "written_direction", seed)
    direction = draw_direction(ground, seed)
    text = f"A direction that the base's SAE has no row for is written at every {trigger.text!r}."
    _write(ground, "written_direction", seed, folder, trigger, direction, text, ())


def _write(
    ground: Ground, kind: Kind, seed: int, folder: Path, trigger: Trigger,
    direction: torch.Tensor, text: str, latents: tuple[int, ...],
) -> None:  # fmt: skip
    reader = trigger.reader * length(ground)
    write_rank_one(folder, ground.layer, direction, reader)
    truth = Truth(
        kind=kind, seed=seed, planted="weights", text=text, site=ground.site, latents=latents,
        words=(), tokens=(), direction=True,
        strength={
            "at": trigger.text,
            "token": trigger.token,
            "token_share": round(float(trigger.here.float().mean()), 4),
            "share_of_stream": WRITTEN.share,
            "length": round(length(ground), 4),
        },
        share_of_prompts=round(ground.share_of_prompts(trigger.token), 4),
        measured={},
    )  # fmt: skip
    write_truth(folder, truth, {"direction": direction, "reader": reader})
