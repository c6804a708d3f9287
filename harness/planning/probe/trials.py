"""Times what a plan is made of on this machine: `python -m harness.planning.probe.trials`.

A process of its own, so that whoever plans imports no torch. It reads the shapes of models and the
sizes of an SAE from its input, as JSON, and writes a speed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from harness.planning.probe.speed import BlockSpeed, Shape, Speed, as_plain

Clock = Callable[[], float]
MOST = 4e9
"""Operations of one trial, at most: a wide model is timed on fewer tokens."""
LARGEST = 2**26
"""Numbers of a weight matrix, at most: what is larger is timed by a part of it."""
REPEATS = 3
GPU = "it has a GPU, and processors alone are probed; --device NAME plans for one of the table"


def timed(run: Callable[[], object], clock: Clock, budget: float) -> float:
    """Seconds of a run: the shortest of some, after one that counts for nothing. `budget` ends the
    repeats."""
    begun = clock()
    run()
    first = clock() - begun
    found: list[float] = []
    times = 1 + int(1e-3 / max(first, 1e-7))
    while len(found) < REPEATS and (not found or clock() - begun < budget):
        start = clock()
        for _ in range(times):
            run()
        found.append((clock() - start) / times)
    return min(found)


class Block:
    """A block of a decoder, of random weights, with as many operations as usual ones have."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.heads = max(1, shape.attention // 64)
        size = shape.attention // self.heads
        self.size = size
        self.groups = max(1, min(self.heads, shape.kept // 2 // size))
        while self.heads % self.groups:
            self.groups -= 1
        width, inner = shape.width, self.heads * size
        self.q, self.o = _weights(inner, width), _weights(width, inner)
        self.kv = _weights(2 * self.groups * size, width)
        self.up = [_weights(shape.hidden, width) for _ in range(shape.matrices - 1)]
        self.down = _weights(width, shape.hidden)
        self.norm = torch.ones(width)

    def __call__(self, x: Tensor, past: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """The residual stream behind the block; `past`: keys and values of earlier tokens."""
        rows, pos, _ = x.shape
        h = self._normed(x)
        q = functional.linear(h, self.q).view(rows, pos, self.heads, self.size).transpose(1, 2)
        kv = functional.linear(h, self.kv).view(rows, pos, 2 * self.groups, self.size)
        k, v = kv.transpose(1, 2).chunk(2, dim=1)
        q, k = _turned(q), _turned(k)
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        if self.groups < self.heads:
            many = self.heads // self.groups
            k, v = k.repeat_interleave(many, dim=1), v.repeat_interleave(many, dim=1)
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=past is None)
        x = x + functional.linear(out.transpose(1, 2).reshape(rows, pos, -1), self.o)
        h = self._normed(x)
        inner = functional.silu(functional.linear(h, self.up[0]))
        if len(self.up) > 1:
            inner = inner * functional.linear(h, self.up[1])
        above: Tensor = x + functional.linear(inner, self.down)
        return above

    def _normed(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))
        return normed

    def past(self, rows: int, tokens: int) -> tuple[Tensor, Tensor]:
        """Keys and values of so many tokens of each row."""
        one = torch.randn(rows, self.groups, tokens, self.size)
        return one, one.clone()


def _weights(out: int, into: int) -> Tensor:
    weights: Tensor = torch.randn(out, into) / into**0.5
    return weights


def _turned(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * 0.6 + torch.cat([-second, first], dim=-1) * 0.8


def block_speed(shape: Shape, clock: Clock, budget: float) -> BlockSpeed:
    """How long a block of a shape takes: from one token, many short rows, and few long ones.

    With n positions and m pairs of them, a run takes call + n·position + m·pair.
    """
    block = Block(shape)
    each = 2.0 * sum(w.numel() for w in (block.q, block.o, block.kv, *block.up, block.down))
    tokens = max(16, min(2048, int(MOST / each)))
    short, long = (max(1, tokens // 64), min(64, tokens)), (max(1, tokens // 256), min(256, tokens))
    share = budget / 5

    def forward(rows: int, pos: int) -> float:
        x = torch.randn(rows, pos, shape.width)
        return timed(lambda: block(x), clock, share)

    call = forward(1, 1)
    many, few = forward(*short), forward(*long)
    n1, n2 = short[0] * short[1], long[0] * long[1]
    m1, m2 = n1 * (short[1] + 1) / 2, n2 * (long[1] + 1) / 2
    # many/n1 − few/n2 is a matter of the pairs alone, but for the call's small part.
    one, other = (many - call) / n1, (few - call) / n2
    pair = max(0.0, (other - one) / (m2 / n2 - m1 / n1)) if m2 / n2 > m1 / n1 else 0.0
    position = max(0.0, one - pair * m1 / n1)
    rows, before = max(1, min(64, tokens // 4)), 64
    past, x = block.past(rows, before), torch.randn(rows, 1, shape.width)
    step = timed(lambda: block(x, past), clock, share)
    kept = max(0.0, (step - call - rows * position) / (rows * (before + 1)))
    vocabulary = min(shape.vocabulary, max(1, LARGEST // shape.width))
    head, h = _weights(vocabulary, shape.width), torch.randn(64, shape.width)
    end = timed(lambda: functional.linear(h, head).float().argmax(-1), clock, share) / 64
    return BlockSpeed(call, position, pair, kept, end * max(1.0, shape.vocabulary / vocabulary))


def encoder_speed(d_in: int, d_sae: int, clock: Clock, budget: float) -> tuple[float, float]:
    """Seconds of an operation of an encoder's product, and of a number that comes out."""
    latents = min(d_sae, max(1, LARGEST // d_in))
    weights = torch.randn(d_in, latents) / d_in**0.5
    tokens = max(16, min(512, int(MOST / (2.0 * d_in * latents))))
    x, bias = torch.randn(tokens, d_in), torch.randn(latents)
    z = x @ weights

    def picked() -> Tensor:
        above = z + bias
        rows, _ = torch.nonzero(above > 3, as_tuple=True)
        return torch.bincount(rows, minlength=tokens)

    product = timed(lambda: x @ weights, clock, budget / 2) / (2.0 * tokens * d_in * latents)
    return product, timed(picked, clock, budget / 2) / (tokens * latents)


def operation_speed(clock: Clock, budget: float) -> float:
    """Seconds of a small operation."""
    x = torch.randn(8, 8)

    def some() -> Tensor:
        y = x
        for _ in range(20):
            y = y + 1
        return y

    return timed(some, clock, budget) / 20


def value_speed(width: int, clock: Clock, budget: float) -> float:
    """Seconds of a number of activations that is gone through once, in float64."""
    x = torch.randn(512, width)
    return timed(lambda: x.double().square().sum(1), clock, budget) / x.numel()


def probe(
    shapes: Sequence[Shape], sae: tuple[int, int] | None, clock: Clock, budget: float = 0.5
) -> Speed:
    """The speed of this machine, found out in about `budget` seconds."""
    share = budget / (len(shapes) + 2)
    with torch.no_grad():
        blocks = {shape: block_speed(shape, clock, share) for shape in shapes}
        product, latent = encoder_speed(*(sae or (512, 2048)), clock, share)
        width = max((shape.width for shape in shapes), default=512)
        operation = operation_speed(clock, share / 4)
        return Speed(blocks, product, latent, operation, value_speed(width, clock, share / 4))


def main() -> None:
    """Reads what is to be timed, and writes the speed."""
    asked = json.load(sys.stdin)
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        json.dump({"why": GPU}, sys.stdout)
        return
    torch.manual_seed(0)
    clock = {"wall": time.perf_counter, "processor": time.process_time}[asked["clock"]]
    found = probe([Shape(**one) for one in asked["shapes"]], asked["sae"], clock)
    json.dump(as_plain(found), sys.stdout)


if __name__ == "__main__":
    main()
