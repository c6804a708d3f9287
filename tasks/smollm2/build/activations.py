"""Activations of several blocks' outputs on passages of text, read once and kept on disk in shards.

Left out are the first token of every passage and attention sinks: tokens longer than ten times the
median of their passage at any of the sites. Both are counted in the shard.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

SINK_RATIO = 10.0


@dataclass(frozen=True)
class Passage:
    """Token ids of one passage, and how many at its beginning are not kept (at least the first)."""

    ids: tuple[int, ...]
    skipped: int = 1


class _LastSite(Exception):
    """Ends a forward pass after the last block that is read."""


class Outputs:
    """Records the outputs of blocks, and stops the forward pass after the last of them."""

    def __init__(self, model: torch.nn.Module, layers: Sequence[int]) -> None:
        self.blocks, self.layers = model.model.layers, sorted(layers)
        self.found: dict[int, torch.Tensor] = {}

    def __enter__(self) -> Outputs:
        self.handles = [
            self.blocks[layer].register_forward_hook(self._hook(layer)) for layer in self.layers
        ]
        return self

    def _hook(self, layer: int):
        def hook(module, inputs, output) -> None:
            self.found[layer] = output[0] if isinstance(output, tuple) else output
            if layer == self.layers[-1]:
                raise _LastSite

        return hook

    def __exit__(self, *exception: object) -> None:
        for handle in self.handles:
            handle.remove()

    def read(self, model: torch.nn.Module, ids: torch.Tensor) -> dict[int, torch.Tensor]:
        """The outputs of the blocks on padded rows of ids, [rows, tokens, d] each."""
        with suppress(_LastSite):
            model.model(input_ids=ids, use_cache=False)
        return dict(self.found)


def padded(rows: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """Rows of ids padded on the right; attention is causal, so no mask is needed."""
    length = max(map(len, rows))
    return torch.tensor([[*row, *([pad] * (length - len(row)))] for row in rows])


def sinks(norms: torch.Tensor, real: torch.Tensor) -> torch.Tensor:
    """Which tokens are longer than ten times the median of their row: [rows, tokens]."""
    medians = norms.masked_fill(~real, float("nan")).nanmedian(dim=1, keepdim=True).values
    return real & (norms > SINK_RATIO * medians)


@torch.no_grad()
def read_block(
    model: torch.nn.Module, outputs: Outputs, block: Sequence[Passage], pad: int
) -> tuple[dict[int, torch.Tensor], int, int]:
    """Kept activations of each site [tokens, d], how many tokens were asked for, how many sank."""
    found = outputs.read(model, padded([p.ids for p in block], pad))
    length = next(iter(found.values())).shape[1]
    position = torch.arange(length)[None]
    real = position < torch.tensor([[len(p.ids)] for p in block])
    asked = real & (position >= torch.tensor([[max(1, p.skipped)] for p in block]))
    out = torch.zeros_like(asked)
    for value in found.values():
        out |= sinks(value.norm(dim=-1), real)
    kept = asked & ~out
    return (
        {layer: value[kept] for layer, value in found.items()},
        int(asked.sum()),
        int((asked & out).sum()),
    )


def shard_file(folder: Path, number: int) -> Path:
    """Where a shard lies."""
    return folder / f"{number:04d}.safetensors"


def write_shard(
    model: torch.nn.Module, layers: Sequence[int], block: Sequence[Passage], pad: int, file: Path
) -> None:
    """Read the passages of one shard, sixteen of like length at a time, and write it."""
    parts: dict[int, list[torch.Tensor]] = {layer: [] for layer in layers}
    asked = left_out = 0
    ordered = sorted(block, key=lambda p: len(p.ids))
    with Outputs(model, layers) as outputs:
        for start in range(0, len(ordered), 16):
            found, n, sunk = read_block(model, outputs, ordered[start : start + 16], pad)
            asked, left_out = asked + n, left_out + sunk
            for layer, value in found.items():
                parts[layer].append(value.half())
    tensors = {str(layer): torch.cat(values).contiguous() for layer, values in parts.items()}
    counts = {"asked": asked, "sinks": left_out}
    unfinished = file.with_suffix(".part")
    save_file(tensors, unfinished, metadata={"counts": json.dumps(counts)})
    unfinished.rename(file)


def write_shards(
    model: torch.nn.Module,
    layers: Sequence[int],
    passages: Sequence[Passage],
    pad: int,
    folder: Path,
    size: int,
    part: tuple[int, int] = (0, 1),
) -> None:
    """Write the shards that are not there yet; `part` (i, n) takes every n-th from the i-th on."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, start in enumerate(range(0, len(passages), size)):
        file = shard_file(folder, number)
        if number % part[1] == part[0] and not file.exists():
            write_shard(model, layers, passages[start : start + size], pad, file)
            print(f"  {folder.name} {number}: {len(passages[start : start + size])}", flush=True)


def shards(folder: Path) -> list[Path]:
    """The finished shards of a folder, in order."""
    return sorted(folder.glob("*.safetensors"))


def counts(folders: Sequence[Path]) -> dict[str, int]:
    """Sums of the shards' counts: tokens asked for, and sinks among them."""
    total = {"asked": 0, "sinks": 0}
    for folder in folders:
        for file in shards(folder):
            with safe_open(file, "pt") as opened:
                for name, value in json.loads(opened.metadata()["counts"]).items():
                    total[name] += value
    return total


def layer_tensors(folders: Sequence[Path], layer: int) -> Iterator[torch.Tensor]:
    """One site's activations, shard by shard, in the half precision that they are kept in."""
    for folder in folders:
        for file in shards(folder):
            with safe_open(file, "pt") as opened:
                yield opened.get_tensor(str(layer))
