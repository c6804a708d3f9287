"""Where a model's sites are, found by watching one tiny forward instead of by its name.

The decoder blocks are the list of modules, as long as the configuration says, that runs in order.
What is inside a block, `parts` finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from harness.contract import Site
from harness.errors import ModelError, listed, suggestion
from harness_transformers.fanning import Depth
from harness_transformers.parts import SHARED, Block, block_of, per_token
from harness_transformers.places import Call, Place, Side, hooked, input_of, output_of, runs_on


class Layout:
    """The sites of one model."""

    def __init__(self, hf: nn.Module, layers: int | None, name: str) -> None:
        self.name = name
        self._modules = dict(hf.named_modules())
        calls = _probe(hf, _children_of_lists(hf, layers))
        self._runs = Counter(call.path for call in calls)
        self._shaped = {call.path for call in calls if per_token(call.output)}
        self.blocks = _blocks(hf, layers, calls)
        kinds = _kinds(hf, len(self.blocks))
        pairs = zip(self.blocks, kinds, strict=True)
        # While a model trains, dropout makes any two rows differ.
        if not hf.training and not _is_causal(self.blocks, calls):
            raise ModelError(
                f"{name}: it reads a prompt in both directions, so what is measured at a token"
                " would depend on all that follows it, and on what it is padded with. Allowed:"
                " causal language models, such as the one that it was made from."
            )
        self.inside: list[Block] = [block_of(path, calls, kind) for path, kind in pairs]
        """What is in each block."""
        widths = (block.d_attn_z for block in self.inside)
        self.d_attn_z = next((width for width in widths if width is not None), None)
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
        block = self.inside[layer]
        if not block.ran:
            raise ModelError(
                f"{self.name}: site {site}: block {layer} does not run where there is only text, as"
                " one that looks at a picture. Allowed: the blocks"
                f" {_numbers(at for at, one in enumerate(self.inside) if one.ran)}."
            )
        if site.in_residual:  # not resid_mid, which is the input of a module in the block
            side: Side = "input" if site.kind == "resid_pre" else "output"
            return Place(block.path, self._modules[block.path], side)
        if site.kind in block.places:
            return block.places[site.kind]
        raise ModelError(f"{self.name}: site {site}: {self._lack(site.kind, layer)}")

    def depth(self, place: Place) -> Depth:
        """Up to where in the model nothing hangs on what happens at a place."""
        for number, path in enumerate(self.blocks):
            if place.path == path:
                return Depth(number, place.side)
            if place.path.startswith(f"{path}."):
                return Depth(number, "input")
        return Depth(0, "input")  # it may be anywhere

    @property
    def modules(self) -> list[nn.Module]:
        """The blocks."""
        return [self._modules[path] for path in self.blocks]

    def _lack(self, kind: str, layer: int) -> str:
        """Why a block has no site of a kind, and what there is."""
        block = self.inside[layer]
        elsewhere = [at for at, one in enumerate(self.inside) if kind in one.places]
        there = f" {kind} is in the blocks {_numbers(elsewhere)}." if elsewhere else ""
        has = ", ".join([f"resid_pre.{layer}", *(f"{one}.{layer}" for one in block.places)])
        paths = f", such as {listed(block.others, 4)}" if block.others else ""
        return (
            f"{block.lacks[kind]}. Block {layer} has {has} and resid_post.{layer}.{there} Allowed:"
            f" these, embed, or a module path{paths}."
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
def _probe(hf: nn.Module, kept: set[str]) -> list[Call]:
    """The calls of one forward over two rows of tokens, in the order in which they end."""
    calls: list[Call] = []
    embedding = hf.get_input_embeddings()  # type: ignore[operator]
    rows = embedding.weight.shape[0]
    ids = (torch.tensor([[1, 2, 3, 4, 5], [1, 2, 3, 6, 7]]) % rows).to(runs_on(embedding))

    def watch(path: str, module: nn.Module) -> Iterator[Any]:
        def before(_m: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            # Copies, as some blocks add in place to what a child gave them.
            seen.append(_copy(input_of(args, kwargs), path in kept))

        def after(_m: nn.Module, _args: Any, _kwargs: Any, output: Any) -> None:
            x = _copy(output_of(output), path in kept)
            calls.append(Call(path, module, seen.pop(), x))

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


def _blocks(hf: nn.Module, layers: int | None, calls: list[Call]) -> list[str]:
    """Paths of the decoder blocks: the outermost list whose members all ran once, in order; without
    one, the outermost of which most did, as the others look at another medium."""
    order = [call.path for call in calls]
    most: list[str] = []
    for path, blocks in _lists(hf, layers):
        members = [f"{path}.{i}" for i in range(len(blocks))]
        ran = [p for p in order if p in members]
        # An encoder of another medium did not run; experts did not run once each, in order.
        if ran == members:
            return members
        once = ran == [p for p in members if p in ran]
        if not most and once and 2 * len(ran) > len(members):
            most = members
    return most


def _is_causal(blocks: list[str], calls: list[Call]) -> bool:
    """Whether the probe's two rows agree as long as their tokens do, up to rounding.

    So do those of a causal language model. One that reads a prompt in both directions, as PaliGemma
    does, has quite other activations there as soon as what follows is another.
    """
    out = next((c.output for path in reversed(blocks) for c in calls if c.path == path), None)
    if out is None or not per_token(out):
        return True
    one, other = out[:, :SHARED].float()
    off = (one - other).norm(dim=-1) / one.norm(dim=-1).clamp_min(torch.finfo(one.dtype).tiny)
    # Rounding of half precision and of quantised products stays below.
    return bool(off.max() <= max(0.05, 16 * torch.finfo(out.dtype).eps))


def _kinds(hf: nn.Module, blocks: int) -> list[str | None]:
    """What the configuration calls each block (`layer_types`), where it says."""
    config: Any = getattr(hf, "config", None)
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    told = getattr(text, "layer_types", None)
    if not isinstance(told, (list, tuple)) or len(told) != blocks:
        return [None] * blocks
    return [str(one) for one in told]


def _numbers(blocks: Iterable[int]) -> str:
    """Numbers of blocks for a message; a long list is cut."""
    shown = list(map(str, blocks))
    more = f" and {len(shown) - 12} more" if len(shown) > 12 else ""
    return ", ".join(shown[:12]) + more
