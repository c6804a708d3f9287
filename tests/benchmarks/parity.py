"""Whether another device computes what the CPU computes, in each dtype.

    python tests/benchmarks/parity.py --device cuda         # some minutes on a GPU
    python tests/benchmarks/parity.py --device cpu --toy    # the code itself, where there is none

The same random weights lie on both sides. Compared are

- `activations`: every block's output of a Llama, for each token ‖a - b‖ / ‖a‖: the largest;
- `addition`, `ablation`: the same under an edit of the stream at a block in the middle;
- `logits`: the last token's logits, likewise;
- `sae`: the reconstruction of a TopK SAE from activations of that dtype: the 99% quantile, as
  rounding may swap the last of the k with the next;
- `records`: all numbers of the drift's pass, |a - b| / max(1, |a|): the largest.

The other side reads its rows in other batches, so that the CPU beside itself is not the same to the
bit. TF32 is off wherever numbers are compared. What is allowed stands in `ALLOWED`. Ends with 1
where something is further apart.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from drift_speed import Harness, Shapes, build, task_text
from sae_speed import Case, Weights
from torch import Tensor

from harness.contract import Arm, Direction, ModelFacts
from harness.contract.sites import parse_site
from harness_interventions import options as interventions
from harness_interventions.ablation import Ablation
from harness_interventions.addition import Addition
from harness_saes.core.config import Config
from harness_saes.core.linear import LinearSae
from harness_transformers.model import TransformersModel

ALLOWED = {
    "float32": {"states": 2e-5, "sae": 1e-5, "records": 2e-3},
    "float16": {"states": 1e-2, "sae": 1e-5, "records": 2e-2},
    "bfloat16": {"states": 8e-2, "sae": 1e-5, "records": 1e-1},
}
"""By dtype of the models. `states` are relative errors of vectors: about 20 to 150 roundings of the
dtype, as blocks add theirs up. SAEs are float32 in every task, whatever they read. Of records, a
token at the cosine's cut may fall on the other side."""

SHAPES = Shapes(512, 8, 8, 1024, 4000, 8192, 32, (3, 5), 16, 96)
TOY = Shapes(32, 4, 2, 64, 300, 64, 4, (1, 2), 12, 12)

Harm = Callable[[str, Any], None]
"""Does something to what the other side computes with: `(what, object)`. For tests of this one."""


@dataclass(frozen=True)
class Difference:
    """How far two devices are apart in one thing, and how far they may be."""

    dtype: str
    what: str
    found: float
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether it is near enough; what is no number is not."""
        return bool(self.found <= self.allowed)

    @property
    def row(self) -> str:
        """A row of a table."""
        said = "holds" if self.holds else "DOES NOT HOLD"
        return f"| {self.dtype} | {self.what} | {self.found:.1e} | {self.allowed:.0e} | {said} |"


@contextmanager
def exact() -> Iterator[None]:
    """Without TF32: products of float32 are those of float32."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def apart(one: Tensor, other: Tensor) -> Tensor:
    """‖a - b‖ / ‖a‖ of each row, in float64 on the CPU."""
    a, b = one.double().cpu(), other.double().cpu()
    norms = a.norm(dim=-1).clamp_min(torch.finfo(torch.float64).tiny)
    return (a - b).norm(dim=-1) / norms


@torch.no_grad()
def parity(
    device: str, shapes: Shapes, dtypes: Sequence[str] = tuple(ALLOWED), harm: Harm | None = None
) -> Iterator[Difference]:
    """How far `device` is from the CPU, for each dtype and thing."""
    spoil = harm or (lambda what, it: None)
    with exact(), tempfile.TemporaryDirectory() as name, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(name)
        build(folder, shapes, shapes.documents)
        (folder / "task.toml").write_text(task_text(shapes))
        for dtype in dtypes:
            allowed = ALLOWED[dtype]
            for what, found in _states(folder, device, shapes, dtype, spoil):
                yield Difference(dtype, what, found, allowed["states"])
            yield Difference(dtype, "sae", _sae(device, shapes, dtype, spoil), allowed["sae"])
            found = _records(folder, device, dtype, spoil)
            yield Difference(dtype, "records", found, allowed["records"])


def _states(
    folder: Path, device: str, shapes: Shapes, dtype: str, spoil: Harm
) -> Iterator[tuple[str, float]]:
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(2, shapes.vocabulary, (shapes.documents, shapes.length), generator=draw)
    models = [_model(folder, where, shapes, dtype) for where in ("cpu", device)]
    spoil("model", models[1].hf)
    for name, arm in _arms(shapes, dtype).items():
        whole = _read(models[0], arm, ids, len(ids))
        pieces = _read(models[1], arm, ids, 5)
        yield name, max(float(apart(a, b).max()) for a, b in zip(whole, pieces, strict=True))
        if arm is None:
            yield "logits", float(apart(whole[-1], pieces[-1]).max())


def _model(folder: Path, device: str, shapes: Shapes, dtype: str) -> TransformersModel:
    from transformers import AutoTokenizer, LlamaForCausalLM

    hf = LlamaForCausalLM.from_pretrained(folder / "base", dtype=getattr(torch, dtype))
    facts = ModelFacts(
        layers=shapes.blocks, d_model=shapes.d_model, vocabulary=shapes.vocabulary, context=512
    )
    tokenizer = AutoTokenizer.from_pretrained(folder / "base")
    return TransformersModel(
        hf.eval().to(device), tokenizer, facts, fingerprint="random", name="random"
    )


def _arms(shapes: Shapes, dtype: str) -> dict[str, Arm | None]:
    facts = ModelFacts(layers=shapes.blocks, d_model=shapes.d_model)
    vector = np.random.default_rng(0).normal(size=(1, shapes.d_model)) / shapes.d_model**0.5
    direction = Direction(parse_site(f"resid_post.{shapes.blocks // 2}"), vector)
    addition = Addition(interventions.AdditionOptions())
    ablation = Ablation(interventions.AblationOptions())
    return {
        "activations": None,
        "addition": addition.arm("addition", direction, facts, dtype),
        "ablation": ablation.arm("ablation", direction, facts, dtype),
    }


def _read(model: TransformersModel, arm: Arm | None, ids: Tensor, rows: int) -> list[Tensor]:
    """The outputs of all blocks but the first, and the last logits, so many rows at once."""
    found: list[list[Tensor]] = []
    device = next(model.hf.parameters()).device
    for start in range(0, len(ids), rows):
        some = ids[start : start + rows].to(device)
        kept: list[Tensor] = []

        def keep(module: Any, inputs: Any, output: Any, kept: list[Tensor] = kept) -> None:
            kept.append(output[0] if isinstance(output, tuple) else output)

        hooks = [block.register_forward_hook(keep) for block in model.hf.model.layers[1:]]
        try:
            if arm is None:
                out = model.hf(input_ids=some, use_cache=False)
            else:
                with model.edited([arm]):
                    out = model.hf(input_ids=some, use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
        found.append([*(x.cpu() for x in kept), out.logits[:, -1].cpu()])
    return [torch.cat(parts) for parts in zip(*found, strict=True)]


def _sae(device: str, shapes: Shapes, dtype: str, spoil: Harm) -> float:
    case = Case(shapes.d_model, shapes.d_sae, shapes.k, 512, 0.0)
    weights = Weights.random(case, "cpu")
    config = Config("topk", case.d_in, case.d_sae, k=case.k)
    tensors = {
        "W_enc": weights.w_enc, "b_enc": weights.b_enc,
        "W_dec": weights.w_dec, "b_dec": weights.b_dec,
    }  # fmt: skip
    x = weights.x.to(getattr(torch, dtype))
    one = LinearSae(config, tensors)
    theirs = {name: tensor.to(device, copy=True) for name, tensor in tensors.items()}
    spoil("sae", theirs)
    other = LinearSae(config, theirs)
    pieces = [other.reconstruct(other.encode(part)) for part in x.to(device).split(100)]
    errors = apart(one.reconstruct(one.encode(x)), torch.cat(pieces))
    return float(errors.quantile(0.99))


def _records(folder: Path, device: str, dtype: str, spoil: Harm) -> float:
    one = Harness(folder, "cpu", dtype)()
    work = Harness(folder, device, dtype)
    spoil("model", work.hf("chat"))
    other = work()
    if one.keys() != other.keys() or not one:
        return float("inf")
    return max(abs(one[name] - other[name]) / max(1.0, abs(one[name])) for name in one)


def main(words: Sequence[str] | None = None) -> int:
    """Prints the table; 1 where a line does not hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", nargs="+", choices=list(ALLOWED), default=list(ALLOWED))
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--out", type=Path, help="A file for the lines as JSON.")
    given = parser.parse_args(words)
    print("| dtype | what | apart | allowed | |\n|---|---|---|---|---|")
    found = []
    for line in parity(given.device, TOY if given.toy else SHAPES, given.dtype):
        print(line.row, flush=True)
        found.append(line)
    if given.out:
        given.out.write_text(json.dumps([asdict(one) for one in found]))
    return int(not all(one.holds for one in found))


if __name__ == "__main__":
    sys.exit(main())
