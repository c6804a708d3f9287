"""The sheet from which a reader sorts features into kinds, without seeing what the generator knows.

`python tasks/organism/build/reading.py RUN > sheet.txt` draws features of the middle SAE from the
table of flips of a run of `mechanism` and prints, for each, the six contexts with different last
words in which it is strongest, over text of every kind. `labels_read.jsonl` holds what a language
model (Claude, in November 2026) made of the sheet, in one sitting, with the taxonomy beside it and
`labels.jsonl` closed; nothing was changed after the two were compared.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokens import BOS

from saes import SKIPPED, Outputs

SITE, LAYER = "resid_post.4", 4
FEATURES, CONTEXTS, TEXTS, TOKENS = 90, 6, 260, 200
BEFORE, AFTER, ALIKE = 9, 3, 3
FILES = (
    "web",
    "domains",
    *(f"{h}_{s}" for h in ("harmful", "harmless") for s in ("train", "test")),
)


def texts(data: Path) -> Iterator[str]:
    """Some text of every file, always the same."""
    for name in FILES:
        lines = (data / f"{name}.jsonl").read_text("utf-8").splitlines()
        random.Random(f"{name}.jsonl").shuffle(lines)
        for row in map(json.loads, lines[:TEXTS]):
            yield (row.get("text") or row["instruction"]) + row.get("answer", "")


def drawn(run: Path) -> list[int]:
    """The features that are read, out of those whose flips the run shows first."""
    import pandas as pd

    table = pd.read_parquet(run / "tables" / "flips.features.parquet")
    middle = table[table.sae == "mid"].groupby("pair").head(200)
    return sorted(random.Random(20).sample(sorted(set(middle.feature)), FEATURES))


@torch.no_grad()
def strongest(
    organism: Path, features: list[int], tokenizer: Tokenizer
) -> list[list[tuple[float, int, list[int]]]]:
    """For each feature its largest latent in each text, the place of it and the text's ids."""
    from sae_lens import SAE
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(organism / "base", dtype=torch.float32).eval()
    sae = SAE.load_from_disk(str(organism / "saes" / SITE), device="cpu", dtype="float32")
    found: list[list[tuple[float, int, list[int]]]] = [[] for _ in features]
    with Outputs(model, {LAYER}) as outputs:
        for text in texts(organism / "data"):
            ids = tokenizer.encode(text, add_special_tokens=False).ids[:TOKENS]
            model.model(torch.tensor([[tokenizer.token_to_id(BOS), *ids]]), use_cache=False)
            latents = sae.encode(outputs.found[LAYER][0])[SKIPPED:, features]
            values, places = latents.max(0)
            for one, value, place in zip(found, values.tolist(), places.tolist(), strict=True):
                if value > 0:
                    one.append((value, place + SKIPPED - 1, ids))
    return found


def lines(found: list[tuple[float, int, list[int]]], tokenizer: Tokenizer) -> Iterator[str]:
    """The contexts of a feature, strongest first, none twice."""
    seen: set[str] = set()
    for value, place, ids in sorted(found, key=lambda one: -one[0]):
        alike = tokenizer.decode(ids[max(0, place - ALIKE) : place + 1])
        if alike in seen:
            continue
        seen.add(alike)
        before = tokenizer.decode(ids[max(0, place - BEFORE) : place])
        at = tokenizer.decode(ids[place : place + 1])
        after = tokenizer.decode(ids[place + 1 : place + 1 + AFTER])
        yield f"{value:5.2f} {before}⟦{at}⟧{after}".replace("\n", "⏎")
        if len(seen) == CONTEXTS:
            return


def main() -> None:
    """Prints the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    run = parser.parse_args().run
    organism = Path(__file__).resolve().parents[1]
    tokenizer = Tokenizer.from_file(str(organism / "base" / "tokenizer.json"))
    features = drawn(run)
    for feature, found in zip(features, strongest(organism, features, tokenizer), strict=True):
        sys.stdout.writelines(
            f"{line}\n" for line in (f"## {feature} (in {len(found)})", *lines(found, tokenizer))
        )


if __name__ == "__main__":
    main()
