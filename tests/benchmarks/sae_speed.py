"""How fast a TopK SAE encodes and reconstructs, and in how much memory, beside other libraries.

    python tests/benchmarks/sae_speed.py [--device cuda] [--threads 1 2] [--repeats 5]

Encode + reconstruct of 4,096 tokens, in float32, of the same random weights:

- `harness`: our core;
- `sae_lens`: SAELens' own `TopKSAE` (`encode`, then `decode`);
- `sparsify`: its own `SparseCoder` where eai-sparsify is installed, else its formula;
- `product`: `x @ W_enc`, the bare encoder product, which nobody can do without;
- `product, 256 rows`: the same into one reused buffer, without the cost of fresh memory.

Contenders take turns in one process, so that all see the same load of the machine; times are
medians of the turns, as wall clock and as CPU time of the process. Memory is what one turn adds at
most to what is held before it (weights and activations), each in a process of its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, linear, relu
from turns.clock import Time, timed
from turns.series import Asked, Series, told

from harness_saes.core.config import Config
from harness_saes.core.linear import LinearSae

Run = Callable[[], Tensor]
"""One turn; the reconstruction comes out, or the product."""


@dataclass(frozen=True)
class Case:
    """Sizes of an SAE, and how many times the bare product it may take."""

    d_in: int
    d_sae: int
    k: int
    tokens: int
    bound: float

    @property
    def name(self) -> str:
        return f"d {self.d_in}, {self.d_sae:,} latents, k {self.k}, {self.tokens:,} tokens"


CASES = (Case(512, 16_384, 64, 4096, 1.15), Case(2304, 65_536, 100, 4096, 1.15))
TOY = (Case(16, 256, 4, 64, 1.15),)


@dataclass(frozen=True)
class Weights:
    """A random TopK SAE and activations to try it on; latents of all rows are active somewhere."""

    case: Case
    x: Tensor
    w_enc: Tensor
    b_enc: Tensor
    w_dec: Tensor
    b_dec: Tensor

    @classmethod
    def random(cls, case: Case, device: str) -> Weights:
        generator = torch.Generator(device).manual_seed(0)

        def normal(*shape: int, scale: float = 1.0) -> Tensor:
            return torch.randn(*shape, generator=generator, device=device).mul_(scale)

        d, n = case.d_in, case.d_sae
        return cls(
            case,
            normal(case.tokens, d),
            normal(d, n, scale=d**-0.5),
            normal(n, scale=0.1),
            normal(n, d, scale=case.k**-0.5),
            normal(d, scale=0.1),
        )


def harness(w: Weights) -> Run:
    config = Config("topk", w.case.d_in, w.case.d_sae, k=w.case.k)
    tensors = {"W_enc": w.w_enc, "b_enc": w.b_enc, "W_dec": w.w_dec, "b_dec": w.b_dec}
    sae = LinearSae(config, tensors)
    return lambda: sae.reconstruct(sae.encode(w.x))


def sae_lens(w: Weights) -> Run:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of imports among each other
        from sae_lens import TopKSAE, TopKSAEConfig
    sae = TopKSAE(TopKSAEConfig(d_in=w.case.d_in, d_sae=w.case.d_sae, k=w.case.k, device="meta"))
    state = {"W_enc": w.w_enc, "b_enc": w.b_enc, "W_dec": w.w_dec, "b_dec": w.b_dec}
    sae.load_state_dict(state, assign=True)
    sae.cfg.device = str(w.x.device)
    return lambda: sae.decode(sae.encode(w.x))


def sparsify(w: Weights) -> Run:
    encoder = w.w_enc.T.contiguous()
    try:
        from sparsify import SparseCoder, SparseCoderConfig
    except ImportError:
        # Its formula, as of eai-sparsify 1.3.3 (`fused_encoder`, `eager_decode`).
        def formula() -> Tensor:
            pre_acts = relu(linear(w.x - w.b_dec, encoder, w.b_enc))
            values, indices = torch.topk(pre_acts, w.case.k, dim=-1, sorted=False)
            out: Tensor = embedding_bag(indices, w.w_dec, per_sample_weights=values, mode="sum")
            return out + w.b_dec

        return formula
    config = SparseCoderConfig(num_latents=w.case.d_sae, k=w.case.k, normalize_decoder=False)
    sae = SparseCoder(w.case.d_in, config, device="meta")
    state = {"encoder.weight": encoder, "encoder.bias": w.b_enc}
    sae.load_state_dict(state | {"W_dec": w.w_dec, "b_dec": w.b_dec}, assign=True)

    def turn() -> Tensor:
        values, indices, _ = sae.encode(w.x)
        out: Tensor = sae.decode(values, indices)
        return out

    return turn


def product(w: Weights) -> Run:
    return lambda: w.x @ w.w_enc


def product_in_pieces(w: Weights) -> Run:
    buffer = w.x.new_empty(min(256, len(w.x)), w.case.d_sae)

    def turn() -> Tensor:
        for start in range(0, len(w.x), len(buffer)):
            rows = w.x[start : start + len(buffer)]
            torch.mm(rows, w.w_enc, out=buffer[: len(rows)])
        return buffer

    return turn


CONTENDERS: dict[str, Callable[[Weights], Run]] = {
    "harness": harness,
    "sae_lens": sae_lens,
    "sparsify": sparsify,
    "product": product,
    "product, 256 rows": product_in_pieces,
}
DENSE = ("sae_lens", "sparsify")


# ── time ─────────────────────────────────────────────────────────────────────────────────────────


@torch.no_grad()
def times(
    case: Case, device: str, repeats: int, names: Sequence[str] = tuple(CONTENDERS)
) -> dict[str, list[Time]]:
    """All turns of each contender, after a round that warms up and shows that all agree."""
    weights = Weights.random(case, device)
    runs = {name: CONTENDERS[name](weights) for name in names}
    expected = runs["harness"]()
    for name in runs.keys() - {"harness"}:
        found = runs[name]()
        if name in DENSE:
            # Rounding may swap the last of the k with the next: one token in a hundred at most.
            error = (found - expected).abs().amax(1)
            share = float((error > 1e-4 * expected.abs().max()).float().mean())
            assert share < 0.01, f"{name} computes something else for {share:.1%} of the tokens"
        del found
    rounds = [{name: timed(run, device) for name, run in runs.items()} for _ in range(repeats)]
    return {name: [taken[name] for taken in rounds] for name in runs}


def time_table(case: Case, found: dict[str, list[Time]]) -> list[str]:
    """A Markdown table, and whether the bounds hold."""
    wall = {name: statistics.median(t.wall for t in turns) for name, turns in found.items()}
    least = {name: min(t.wall for t in turns) for name, turns in found.items()}
    cpu = {name: statistics.median(t.cpu for t in turns) for name, turns in found.items()}
    lines = [
        "| | wall, median s | wall, least s | CPU, median s | × product (wall) | × product (CPU) |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {wall[name]:.3f} | {least[name]:.3f} | {cpu[name]:.3f} "
        f"| {wall[name] / wall['product']:.2f} | {cpu[name] / cpu['product']:.2f} |"
        for name in found
    ]
    ratio = wall["harness"] / wall["product"]
    held = "holds" if ratio <= case.bound else "DOES NOT HOLD"
    lines.append(f"\nbound {case.bound:g} × product: {ratio:.2f}, {held}")
    for name in DENSE:
        faster = wall[name] / wall["harness"]
        held = "holds" if faster >= 1 else "DOES NOT HOLD"
        lines.append(f"never slower than {name}: {faster:.1f} times as fast, {held}")
    return lines


def series(asked: Asked) -> Iterator[Series]:
    """Our encode and reconstruct beside the product, in seconds of the processor; one thread."""
    torch.set_num_threads(1)
    for case in TOY if asked.toy else CASES:
        names = ("harness", "product") if asked.ours else tuple(CONTENDERS)
        found = {
            name: tuple(one.cpu for one in turns)
            for name, turns in times(case, "cpu", asked.repeats, names).items()
        }
        for name in found.keys() - {"product"}:
            yield Series(
                case.name, name, found[name], "s of the processor", found["product"],
                name == "harness",
            )  # fmt: skip


# ── memory ───────────────────────────────────────────────────────────────────────────────────────


@torch.no_grad()
def added_memory(case: Case, device: str, contender: str) -> int:
    """Bytes that one turn adds at most to what is held before it. For a fresh process."""
    run = CONTENDERS[contender](Weights.random(case, device))
    from harness_saes.core.compiled import kept  # here, as earlier commits have none

    if kept() is not None:
        import harness_saes.core.kernels  # noqa: F401  (a library is no memory of a turn)
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return int(torch.cuda.max_memory_allocated() - before)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    run()
    return _status("VmHWM") - before


def _status(key: str) -> int:
    """A line of Linux' account of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {key}")


def added_elsewhere(words: Sequence[str]) -> int:
    """What this script says in a process of its own: `added_memory`."""
    command = [sys.executable, __file__, *words]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(json.loads(done.stdout.splitlines()[-1]))


def memory_table(cases: Sequence[Case], index: int, device: str) -> list[str]:
    """A Markdown table, and whether the bound holds; one process for each contender."""
    found: dict[str, int] = {}
    for name in ("harness", *DENSE):
        toy = ["--toy"] if cases is TOY else []
        words = ["--device", device, *toy, "--case", str(index), "--memory-of", name]
        found[name] = added_elsewhere(words)
    lines = ["| | added at the peak, MB | × harness |", "|---|---|---|"]
    lines += [
        f"| {name} | {size / 1e6:,.0f} | {size / max(1, found['harness']):.1f} |"
        for name, size in found.items()
    ]
    least = min(found[name] for name in DENSE) / max(1, found["harness"])
    held = "holds" if least >= 4 else "DOES NOT HOLD"
    return [*lines, f"\nat least 4 times below the dense way: {least:.1f} times, {held}"]


# ── command line ─────────────────────────────────────────────────────────────────────────────────


def machine(device: str) -> str:
    """The kind of machine, and how busy it is."""
    where = torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{where}, {os.cpu_count()} cores, load {load}, torch {torch.__version__}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    if told(arguments, series):
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--case", type=int, help="0 for the small SAE alone, 1 for the large one")
    parser.add_argument("--toy", action="store_true", help="toy sizes, to see that this runs")
    parser.add_argument("--memory-of", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    cases = TOY if options.toy else CASES
    if options.memory_of:
        print(added_memory(cases[options.case], options.device, options.memory_of))
        return
    for index, case in enumerate(cases):
        if options.case not in (None, index):
            continue
        print(f"\n## {case.name}\n")
        for threads in options.threads:
            torch.set_num_threads(threads)
            print(f"{machine(options.device)}, {threads} threads\n", flush=True)
            found = times(case, options.device, options.repeats)
            print("\n".join(time_table(case, found)), "\n", flush=True)
        print("\n".join(memory_table(cases, index, options.device)), flush=True)


if __name__ == "__main__":
    main()
