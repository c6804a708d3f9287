"""The parts of a decoder block that add to the residual stream, and the sites that they make.

Attention and MLP are the two children whose outputs, added to the block's input, give its output:
`x_out = x_in + c1 + c2`. On models with post-norms these are the norms' outputs, so `attn_out` is
always what is *added to the residual*; `attn_raw` is what the norm was given. A block may add one
part alone, as those of Nemotron-H do; which one that is its configuration says (`layer_types`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import torch
from torch import Tensor

from harness_transformers.places import Call, Place

PROBE = (2, 5)
"""Rows and positions of the probe: different, so that the two axes cannot be mixed up."""
SHARED = 3
"""Positions at which the two rows have the same tokens."""
ATTENTION = ("attn_out", "attn_raw", "attn_z")
MIDDLE = "resid_mid"
MLP = ("mlp_out", "mlp_raw", "mlp_in", MIDDLE)
_MLPS = ("mlp", "moe", "dense", "sparse")
"""What `layer_types` calls a block that has an MLP, or a mixture of them, and nothing else."""


@dataclass(frozen=True)
class Block:
    """The inner sites of a decoder block."""

    path: str
    places: Mapping[str, Place] = field(default_factory=dict)
    """By the kind of site; those that it does not have are not there."""
    lacks: Mapping[str, str] = field(default_factory=dict)
    """By the kind of site, why the block does not have it."""
    others: tuple[str, ...] = ()
    """Paths of its children that give one vector per token."""
    d_attn_z: int | None = None
    """Numbers per token at `attn_z`."""
    ran: bool = True
    """Whether it runs where there is only text."""


def block_of(path: str, calls: Sequence[Call], kind: str | None) -> Block:
    """What is in the block, from the calls of a forward.

    `kind` is what the model's configuration says of the block in `layer_types`, such as
    `full_attention`, `linear_attention` (of all recurrent layers, Mamba's too), `conv` or `mlp`;
    None where it says nothing.
    """
    whole = next((call for call in calls if call.path == path), None)
    if whole is None:
        return Block(path, ran=False)
    inner = [c for c in calls if c.path.startswith(f"{path}.")]
    children = [c for c in inner if "." not in c.path.removeprefix(f"{path}.")]
    once = [c for c in children if sum(d.path == c.path for d in children) == 1]
    others = tuple(c.path for c in once if per_token(c.output))
    if (pair := _added(whole, once)) is not None:
        attn, mlp = pair
        mixer = _raw(attn, children)
        if _is_attention(mixer, kind):
            found, lacks, width = _attention(attn, mixer, inner)
        else:
            found, lacks, width = {}, dict.fromkeys(ATTENTION, _no_attention(mixer, kind)), None
        more, also = _mlp(mlp, _raw(mlp, children), whole)
        middle, none = _middle(whole, attn, once)
        more, also = more | middle, also | none
        return Block(path, found | more, lacks | also, others, width)
    if (part := _alone(whole, once)) is not None:
        return _of_one_part(path, part, children, inner, kind, others)
    reason = (
        "no two parts of the block add up to what it adds to the residual stream, so attention and"
        " MLP cannot be told apart"
    )
    return Block(path, {}, dict.fromkeys((*ATTENTION, *MLP), reason), others)


def per_token(x: Tensor | None) -> bool:
    """Whether a tensor of the probe has one vector for each token."""
    return x is not None and x.dim() == 3 and x.shape[:2] == PROBE


def is_flat(x: Tensor) -> bool:
    """Whether a tensor of the probe has the positions of all rows one after the other."""
    return x.dim() == 2 and x.shape[0] == PROBE[0] * PROBE[1]


def _apart(x: Tensor | None) -> Tensor | None:
    """A tensor of the probe with its rows apart, where they are one after the other."""
    return x.view(*PROBE, -1) if x is not None and is_flat(x) else x


def _of_one_part(
    path: str,
    part: Call,
    children: Sequence[Call],
    inner: Sequence[Call],
    kind: str | None,
    others: tuple[str, ...],
) -> Block:
    """A block that adds one part to the residual stream."""
    raw = _raw(part, children)
    only = f"the block adds one part alone, {raw.path}"
    if kind in _MLPS:
        found, lacks = _mlp(part, raw, None)
        lacks |= {MIDDLE: only}
        return Block(path, found, dict.fromkeys(ATTENTION, f"{only}, an MLP") | lacks, others)
    if kind is not None and _is_attention(raw, kind):
        found, lacks, width = _attention(part, raw, inner)
        return Block(path, found, lacks | dict.fromkeys(MLP, f"{only}, attention"), others, width)
    says = f", which its configuration calls {kind}" if kind else ""
    return Block(path, {}, dict.fromkeys((*ATTENTION, *MLP), only + says), others)


def _is_attention(mixer: Call, kind: str | None) -> bool:
    """Whether what mixes positions in a block is attention.

    So it is where the configuration says so or nothing. `linear_attention` is its word for Mamba,
    too: then, and for other words, the name of the module decides.
    """
    if kind is None or (kind.endswith("attention") and kind != "linear_attention"):
        return True
    names = f"{mixer.path.rpartition('.')[2]} {type(mixer.module).__name__}".lower()
    return "attn" in names or "attention" in names


def _no_attention(mixer: Call, kind: str | None) -> str:
    return (
        f"the block has no attention: {mixer.path}, a {type(mixer.module).__name__}, stands in its"
        f" place ({kind} in its configuration)"
    )


def _attention(
    out: Call, raw: Call, inner: Sequence[Call]
) -> tuple[dict[str, Place], dict[str, str], int | None]:
    """The sites of attention; `out` is what is added, `raw` the module itself."""
    found = {
        "attn_out": Place(out.path, out.module, "output"),
        "attn_raw": Place(raw.path, raw.module, "output"),
    }
    last = [
        c
        for c in inner
        if (c.path == raw.path or c.path.startswith(f"{raw.path}."))
        and _is_matrix(c)
        and per_token(c.input)
    ]
    if not last or last[-1].input is None:
        return found, {"attn_z": "attention has no output projection of its own"}, None
    found["attn_z"] = Place(last[-1].path, last[-1].module, "input")
    return found, {}, last[-1].input.shape[-1]


def _is_matrix(call: Call) -> bool:
    """Whether a module multiplies with a matrix, plain or quantised, of whatever library."""
    weight = getattr(call.module, "weight", None)
    return hasattr(call.module, "in_features") or (isinstance(weight, Tensor) and weight.dim() == 2)


def _mlp(out: Call, raw: Call, block: Call | None) -> tuple[dict[str, Place], dict[str, str]]:
    """The sites of an MLP; `out` is what is added, `raw` the module itself, and `block` the one
    around them, which is asked where one row ends and the next begins."""

    def written(call: Call) -> Place:
        flat = block.module if block and call.output is not None and is_flat(call.output) else None
        return Place(call.path, call.module, "output", flat)

    found = {"mlp_out": written(out), "mlp_raw": written(raw)}
    if raw.input is not None and is_flat(raw.input):
        return found, {"mlp_in": "the MLP reads the positions of all rows one after the other"}
    if next(raw.module.children(), None) is None:
        return found, {"mlp_in": "the MLP is no module of its own"}
    return found | {"mlp_in": Place(raw.path, raw.module, "input")}, {}


def _middle(
    block: Call, attention: Call, children: Sequence[Call]
) -> tuple[dict[str, Place], dict[str, str]]:
    """The stream after attention, where a child reads it: the norm before the MLP, or the MLP."""
    x, added = block.input, attention.output
    if x is None or added is None:
        return {}, {MIDDLE: "its stream after attention is not known"}
    total = x + added.to(x.device)
    for c in children:
        if c.input is not None and _same(c.input, total):
            return {MIDDLE: Place(c.path, c.module, "input")}, {}
    return {}, {
        MIDDLE: "nothing in it reads the stream after attention, as where attention and MLP read "
        "the same"
    }


def _alone(block: Call, children: Sequence[Call]) -> Call | None:
    """The one child whose output the block adds to its input."""
    x, y = block.input, block.output
    if x is None or y is None or x.shape != y.shape:
        return None
    for c in children:
        same = c.output is not None and c.output.shape == x.shape
        if same and _distance(x, c.output, torch.zeros_like(x), y) <= 1:  # type: ignore[arg-type]
            return c
    return None


def _added(block: Call, children: Sequence[Call]) -> tuple[Call, Call] | None:
    """The two children whose outputs the block adds to its input; the earliest where equal."""
    x, y = block.input, block.output
    if x is None or y is None or x.shape != y.shape:
        return None
    found = [(c, _apart(c.output)) for c in children]
    candidates = [(c, out) for c, out in found if out is not None and out.shape == x.shape]
    best: tuple[float, tuple[Call, Call]] | None = None
    for (first, a), (second, b) in combinations(candidates, 2):
        if first.output is not a:
            continue  # only an MLP may have its rows one after the other: it mixes none
        error = _distance(x, a, b, y)
        if error <= 1 and (best is None or error < best[0]):
            best = (error, (first, second))
    return None if best is None else best[1]


def _distance(x: Tensor, a: Tensor, b: Tensor, y: Tensor) -> float:
    """How far y is from x + a + b, in units of what rounding explains; 0 where it is exact."""
    a, b, y = a.to(x.device), b.to(x.device), y.to(x.device)
    if any(torch.equal(y, z) for z in ((x + a) + b, (a + b) + x, (x + b) + a)):
        return 0.0
    wide = torch.float64 if x.device.type != "mps" else torch.float32
    eps = torch.finfo(x.dtype).eps
    x, a, b, y = (t.to(wide) for t in (x, a, b, y))
    allowed = 4 * eps * (x.abs() + a.abs() + b.abs() + y.abs()) + torch.finfo(torch.float32).tiny
    return float(((y - (x + a + b)).abs() / allowed).max())


def _raw(call: Call, children: Sequence[Call]) -> Call:
    """The module whose output a norm was given, or the module itself where it is no norm."""
    while all(p.dim() < 2 for p in call.module.parameters()) and call.input is not None:
        earlier = children[: children.index(call)]
        given = [c for c in earlier if c.output is not None and _same(c.output, call.input)]
        if not given:
            break
        call = given[0]
    return call


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b.to(a.device))
