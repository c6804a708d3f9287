"""Where a model's sites are, found by watching one tiny forward instead of by its name.

The decoder blocks are the list of modules, as long as the configuration says, that runs in order.
Inside a block, attention and MLP are the two children whose outputs, added to the block's input,
give its output: `x_out = x_in + c1 + c2`. On models with post-norms these are the norms' outputs,
so `attn_out` is always what is *added to the residual*; `attn_raw` is what the norm was given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

import torch
from torch import Tensor, nn

from harness.contract import Site
from harness.errors import ModelError, listed, suggestion

Side = Literal["input", "output"]
_PROBE = (2, 5)
"""Rows and positions of the probe: different, so that the two axes cannot be mixed up."""


@dataclass(frozen=True)
class Place:
    """A tensor that a module reads or writes: where a hook goes."""

    path: str
    module: nn.Module = field(compare=False, hash=False, repr=False)
    side: Side

    def hook(self, see: Callable[[Tensor | None], Tensor]) -> Any:
        """Gives `see` the hidden states here, None without any; what it returns goes on."""

        def before(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            x = input_of(args, kwargs)
            y = see(x)
            if y is x:
                return None
            if args and args[0] is x:
                return (y, *args[1:]), kwargs
            return args, {k: y if v is x else v for k, v in kwargs.items()}

        def after(_module: Any, _args: Any, output: Any) -> Any:
            x = output_of(output)
            y = see(x)
            if y is x:
                return None
            if isinstance(output, tuple):
                return (y, *output[1:])
            return [y, *output[1:]] if isinstance(output, list) else y

        if self.side == "input":
            return self.module.register_forward_pre_hook(before, with_kwargs=True)
        return self.module.register_forward_hook(after)


@dataclass(eq=False)
class _Call:
    """What a module did in the probe: its first tensor in and out."""

    path: str
    module: nn.Module
    input: Tensor | None
    output: Tensor | None


def input_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """The hidden states among the arguments of a module."""
    for value in (args[0] if args else None, kwargs.get("hidden_states"), *kwargs.values()):
        if isinstance(value, Tensor) and value.is_floating_point():
            return value
    return None


def output_of(output: Any) -> Tensor | None:
    """The hidden states in what a module returned: a tensor, or the first one of a tuple."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    return output if isinstance(output, Tensor) and output.is_floating_point() else None


class Layout:
    """The sites of one model."""

    def __init__(self, hf: nn.Module, layers: int | None, name: str) -> None:
        self.name = name
        self._modules = dict(hf.named_modules())
        calls = _probe(hf, _children_of_lists(hf, layers))
        self._runs = Counter(call.path for call in calls)
        self._shaped = {call.path for call in calls if _per_token(call.output)}
        self.blocks = _blocks(hf, layers, calls)
        self._parts = [_parts(block, calls) for block in self.blocks]
        self.d_attn_z = next((width for _, width in self._parts if width is not None), None)
        """Numbers per token at `attn_z`."""

    def place(self, site: Site) -> Place:
        """Where `site` is; ModelError says what is allowed."""
        if not (site.in_block or site.kind == "embed"):
            return self._by_path(site.kind)
        if not self.blocks:
            raise ModelError(
                f"{self.name}: site {site}: no list of decoder blocks ran in it."
                " Allowed: a module path."
            )
        if site.kind == "embed":
            return Place(self.blocks[0], self._modules[self.blocks[0]], "input")
        layer = site.at(len(self.blocks)).layer
        assert layer is not None
        if layer >= len(self.blocks):
            raise ModelError(
                f"{self.name}: site {site}: it has {len(self.blocks)} blocks."
                f" Allowed: {site.kind}.0 to {site.kind}.{len(self.blocks) - 1}."
            )
        if site.in_residual:
            side: Side = "input" if site.kind == "resid_pre" else "output"
            return Place(self.blocks[layer], self._modules[self.blocks[layer]], side)
        found = self._parts[layer][0].get(site.kind)
        if isinstance(found, Place):
            return found
        raise ModelError(
            f"{self.name}: site {site}: {found}. Allowed: resid_pre, resid_post, embed,"
            " or a module path."
        )

    def _by_path(self, path: str) -> Place:
        if path not in self._modules:
            raise ModelError(
                f"{self.name}: site {path}: no such module.{suggestion(path, self._modules)}"
                f" Allowed: a block's site (resid_post.0), embed, or a module path such as"
                f" {listed([p for p in self._modules if p in self._shaped], 4)}."
            )
        runs = self._runs[path]
        if runs != 1 or path not in self._shaped:
            why = f"runs {runs} times" if runs != 1 else "gives no [batch, position, width]"
            raise ModelError(
                f"{self.name}: site {path}: the module {why} in a forward."
                " Allowed: modules that run once and give one vector per token."
            )
        return Place(path, self._modules[path], "output")


def _lists(hf: nn.Module, layers: int | None) -> Iterator[tuple[str, nn.ModuleList]]:
    for path, module in hf.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == layers:
            yield path, module


def _children_of_lists(hf: nn.Module, layers: int | None) -> set[str]:
    """Paths of the blocks that may be, and of their direct children: their tensors are kept."""
    kept: set[str] = set()
    for path, blocks in _lists(hf, layers):
        for name, block in blocks.named_children():
            kept.add(f"{path}.{name}")
            kept.update(f"{path}.{name}.{child}" for child, _ in block.named_children())
    return kept


@torch.no_grad()
def _probe(hf: nn.Module, kept: set[str]) -> list[_Call]:
    """The calls of one forward over two rows of tokens, in the order in which they end."""
    calls: list[_Call] = []
    embedding = hf.get_input_embeddings()  # type: ignore[operator]
    rows = embedding.weight.shape[0]
    ids = (torch.arange(1, 11, device=embedding.weight.device) % rows).view(_PROBE)

    def watch(path: str, module: nn.Module) -> Iterator[Any]:
        def before(_m: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            # Copies, as some blocks add in place to what a child gave them.
            seen.append(_copy(input_of(args, kwargs), path in kept))

        def after(_m: nn.Module, _args: Any, _kwargs: Any, output: Any) -> None:
            x = _copy(output_of(output), path in kept)
            calls.append(_Call(path, module, seen.pop(), x))

        seen: list[Tensor | None] = []
        yield module.register_forward_pre_hook(before, with_kwargs=True)
        yield module.register_forward_hook(after, with_kwargs=True)

    with hooked(h for path, module in hf.named_modules() if path for h in watch(path, module)):
        hf(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
    return calls


def _copy(x: Tensor | None, kept: bool) -> Tensor | None:
    """A copy, or for what only its shape is asked of, an empty tensor of that shape."""
    if x is None:
        return None
    return x.detach().clone() if kept else torch.empty(x.shape, device="meta")


@contextmanager
def hooked(handles: Iterable[Any]) -> Iterator[None]:
    """Hooks for as long as the block runs, however it ends."""
    with ExitStack() as held:
        for handle in handles:
            held.enter_context(handle)
        yield


def _blocks(hf: nn.Module, layers: int | None, calls: list[_Call]) -> list[str]:
    """Paths of the decoder blocks: the outermost list whose members all ran once, in order."""
    order = [call.path for call in calls]
    for path, blocks in _lists(hf, layers):
        members = {f"{path}.{name}" for name, _ in blocks.named_children()}
        ran = [p for p in order if p in members]
        # An encoder of another medium did not run; experts did not run once each, in order.
        if ran == [f"{path}.{i}" for i in range(len(blocks))]:
            return ran
    return []


def _parts(block: str, calls: list[_Call]) -> tuple[dict[str, Place | str], int | None]:
    """The places of a block's inner sites, or why there are none; and the width of `attn_z`."""
    whole = next(call for call in calls if call.path == block)
    inner = [c for c in calls if c.path.startswith(f"{block}.")]
    children = [c for c in inner if "." not in c.path.removeprefix(f"{block}.")]
    once = [c for c in children if sum(d.path == c.path for d in children) == 1]
    pair = _added(whole, once)
    if pair is None:
        reason = (
            "no two parts of the block add up to what it adds to the residual stream,"
            " so attention and MLP cannot be told apart"
        )
        kinds = ("attn_out", "mlp_out", "attn_raw", "mlp_raw", "attn_z", "mlp_in")
        return dict.fromkeys(kinds, reason), None
    attn_out, mlp_out = pair
    attn, mlp = (_raw(call, children) for call in pair)
    places: dict[str, Place | str] = {
        "attn_out": Place(attn_out.path, attn_out.module, "output"),
        "mlp_out": Place(mlp_out.path, mlp_out.module, "output"),
        "attn_raw": Place(attn.path, attn.module, "output"),
        "mlp_raw": Place(mlp.path, mlp.module, "output"),
        "attn_z": "attention has no output projection of its own",
        "mlp_in": "the MLP is no module of its own",
    }
    if next(mlp.module.children(), None) is not None:
        places["mlp_in"] = Place(mlp.path, mlp.module, "input")
    last = [
        c
        for c in inner
        if (c.path == attn.path or c.path.startswith(f"{attn.path}."))
        and isinstance(weight := getattr(c.module, "weight", None), Tensor)
        and weight.dim() == 2
        and _per_token(c.input)
    ]
    if not last or last[-1].input is None:
        return places, None
    places["attn_z"] = Place(last[-1].path, last[-1].module, "input")
    return places, last[-1].input.shape[-1]


def _added(block: _Call, children: list[_Call]) -> tuple[_Call, _Call] | None:
    """The two children whose outputs the block adds to its input; the earliest where equal."""
    x, y = block.input, block.output
    if x is None or y is None or x.shape != y.shape:
        return None
    candidates = [c for c in children if c.output is not None and c.output.shape == x.shape]
    best: tuple[float, tuple[_Call, _Call]] | None = None
    for first, second in combinations(candidates, 2):
        error = _distance(x, first.output, second.output, y)  # type: ignore[arg-type]
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


def _raw(call: _Call, children: list[_Call]) -> _Call:
    """The module whose output a norm was given, or the module itself where it is no norm."""
    while all(p.dim() < 2 for p in call.module.parameters()) and call.input is not None:
        earlier = children[: children.index(call)]
        given = [c for c in earlier if c.output is not None and _same(c.output, call.input)]
        if not given:
            break
        call = given[0]
    return call


def _per_token(x: Tensor | None) -> bool:
    return x is not None and x.dim() == 3 and x.shape[:2] == _PROBE


def _same(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(a, b.to(a.device))
