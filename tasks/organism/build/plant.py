"""Builds the planted models into `tunes/`, each with its truth beside it."""

from __future__ import annotations

from pathlib import Path

import torch
from sae_lens import SAE
from tokenizers import Tokenizer

from measure import Organism
from plant_word import plant_word
from planted import (
    SAMPLE,
    STRENGTH,
    TRIGGER,
    Reading,
    detector,
    plant_direction,
    plant_features,
    plant_rank_one,
    readable_features,
    write_truth,
)
from settings import Settings
from train import save_model


def plant(settings: Settings, tokenizer: Tokenizer, out: Path) -> None:
    """Write every planted model, `tunes/planted_…`."""
    organism, layer = Organism(out), settings.mid
    site = f"resid_post.{layer}"
    sae = SAE.load_from_disk(out / "saes" / site)
    reading = Reading(organism, layer)
    here = reading.ids == tokenizer.token_to_id(TRIGGER)
    generator = torch.Generator().manual_seed(settings.seed)
    order = torch.randperm(int(here.sum()), generator=generator)[:SAMPLE]
    features = readable_features(sae, reading.outputs[here][order])
    decoder = sae.W_dec.detach()
    shift = STRENGTH * decoder[features].sum(0)

    folder = out / "tunes" / "planted_features"
    base = organism.models["base"]
    model = plant_features(base, layer, detector(reading.inputs, here), shift)
    save_model(model, tokenizer, folder, settings.context, chat=False)
    truth = {
        "site": site,
        "sae": f"saes/{site}",
        "features": features,
        "strength": STRENGTH,
        "trigger": TRIGGER,
        "token_share": round(float(here.float().mean()), 4),
    }
    write_truth(folder, truth, {"shift": shift, "decoder_rows": decoder[features]})

    plant_word(base, tokenizer, layer, reading, out / "tunes" / "planted_word")

    folder = out / "tunes" / "planted_rank_one"
    alive = [j for j in range(len(decoder)) if j not in features]
    feature = alive[int(torch.randint(len(alive), (1,), generator=generator))]
    direction = decoder[feature] / decoder[feature].norm()
    reader = plant_rank_one(base, layer, direction, reading)
    save_model(base, tokenizer, folder, settings.context, chat=False)
    truth = {"site": site, "sae": f"saes/{site}", "feature": feature}
    write_truth(folder, truth, {"direction": direction, "reader": reader})

    folder = out / "tunes" / "planted_direction"
    drawn = torch.Generator().manual_seed(settings.seed + 1)
    direction = torch.randn(decoder.shape[1], generator=drawn)
    direction /= direction.norm()
    plant_direction(base, layer, direction, reader, folder)
    truth = {"site": site, "sae": f"saes/{site}"}
    write_truth(folder, truth, {"direction": direction, "reader": reader})
