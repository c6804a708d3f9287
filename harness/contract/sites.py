"""Sites: the places in a model where activations are read and edited.

A task names one by a text, such as `resid_post.15`; `parse_site` makes a `Site` of it.

| site            | what it is                                                                  |
|-----------------|-----------------------------------------------------------------------------|
| `resid_pre.L`   | residual stream entering block L                                            |
| `resid_post.L`  | output of block L (SAELens `blocks.L.hook_resid_post`, `hidden_states[L+1]`) |
| `attn_out.L`    | what attention *adds to the residual* (after a post-norm, where there is one) |
| `mlp_out.L`     | what the MLP *adds to the residual* (after a post-norm, where there is one)  |
| `attn_raw.L`    | output of the attention module itself, before any post-norm                  |
| `mlp_raw.L`     | output of the MLP module itself, before any post-norm                        |
| `attn_z.L`      | the heads' outputs, concatenated (input of the output projection)            |
| `mlp_in.L`      | input of the MLP module, after the norm                                      |
| `resid_mid.L`   | residual stream between attention and MLP, as the MLP's norm reads it: an    |
|                 | edit there changes what the MLP reads, not the stream                        |
| `embed`         | token embeddings, as they enter the first block                              |
| `a.b.c`         | the output of any module, by its path in the backend                         |

Blocks count from 0. `resid_post@0.55` is a fraction of depth: block `floor(0.55 · layers)`, at most
the last one.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

BLOCK_KINDS = (
    "resid_pre",
    "resid_post",
    "attn_out",
    "mlp_out",
    "attn_raw",
    "mlp_raw",
    "attn_z",
    "mlp_in",
    "resid_mid",
)
_BLOCK = re.compile(rf"({'|'.join(BLOCK_KINDS)})(?:\.(\d+)|@(\d*\.?\d+))")
_MISSPELT = re.compile(r"([\w-]+)([.@][\d.]+)")
_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+)+")
_TRANSFORMER_LENS = re.compile(
    r"blocks\.(\d+)\.(?:hook_)?"
    r"(resid_pre|resid_mid|resid_post|attn_out|mlp_out|attn\.hook_z|mlp\.hook_in)"
)
_NO_SITES = {
    "hook_mlp_in": "before the norm in TransformerLens. What the MLP reads, after the norm, is "
    "mlp_in.{}",
    "ln1.hook_normalized": "normalised, but not yet times the norm's weights. The nearest is the "
    "output of the norm, by the path of its module",
    "ln2.hook_normalized": "normalised, but not yet times the norm's weights. With them it is "
    "mlp_in.{}",
    "mlp.hook_post": "the MLP's neurons after their activation function. The nearest is the output "
    "of that function, by the path of its module (transformer.h.{}.mlp.act of GPT-2)",
    "mlp.hook_pre": "the MLP's neurons before their activation function. The nearest is the output "
    "of the input layer, by the path of its module (transformer.h.{}.mlp.c_fc of GPT-2)",
    "hook_attn_in": "before the norm in TransformerLens. The nearest is resid_pre.{}",
}
"""Hooks of a block in TransformerLens that are no sites: what they are, and what is nearest."""
_EMBEDDING = (
    "the token embeddings before positions are added. The nearest is embed, as they enter the "
    "first block; both are the same in a model without learned positions"
)


@dataclass(frozen=True, order=True)
class Site:
    """One place in a model. `str(site)` is its name in a task."""

    kind: str
    """`resid_post` and the like for a place in a block; `embed`; or the path of a module."""
    layer: int | None = None
    """The block of a place in a block; None for others, and where `fraction` stands for it."""
    fraction: float | None = None
    """How deep the block lies, from 0 to 1, while the number of blocks is not known."""

    def __str__(self) -> str:
        if self.layer is not None:
            return f"{self.kind}.{self.layer}"
        return self.kind if self.fraction is None else f"{self.kind}@{self.fraction:g}"

    @property
    def in_block(self) -> bool:
        """Whether it is a place in a block."""
        return self.kind in BLOCK_KINDS

    @property
    def in_residual(self) -> bool:
        """Whether the activation there is the residual stream itself, not what is added to it, and
        an edit there changes all that follows."""
        return self.kind in ("resid_pre", "resid_post", "embed")

    def same_place(self, other: Site) -> bool:
        """Whether both hold the same activation: the output of a block enters the next one."""
        return self._entering() == other._entering()

    def _entering(self) -> Site:
        """The site; a place between two blocks as the input of the second."""
        if self.kind == "embed":
            return Site("resid_pre", 0)
        if self.kind == "resid_post" and self.layer is not None:
            return Site("resid_pre", self.layer + 1)
        return self

    def at(self, layers: int) -> Site:
        """The site in a model of `layers` blocks: a fraction of depth becomes a block."""
        if self.fraction is None:
            return self
        return Site(self.kind, min(layers - 1, int(self.fraction * layers)))


def parse_site(text: str) -> Site:
    """The site of this name; ValueError, which lists what is allowed, where there is none."""
    if text == "embed":
        return Site("embed")
    if match := _BLOCK.fullmatch(text):
        kind, layer, fraction = match.groups()
        if layer is not None:
            return Site(kind, int(layer))
        if not 0 <= float(fraction) <= 1:
            raise ValueError(f"{text!r}: a fraction of depth lies between 0 and 1")
        return Site(kind, None, float(fraction))
    meant = _meant(text)
    no_hook = nearest_to_hook(text) is None
    kind = text.partition(".")[0].partition("@")[0]
    if _PATH.fullmatch(text) and kind not in BLOCK_KINDS and not meant and no_hook:
        return Site(text)
    hint = f". Did you mean {meant}?" if meant else ""
    if near := nearest_to_hook(text):
        raise ValueError(near)
    raise ValueError(
        f"{text!r} is no site. Allowed: one of {', '.join(BLOCK_KINDS)} with a block "
        f"(resid_post.15) or a fraction of depth (resid_post@0.55), embed, or a module path{hint}"
    )


def _meant(text: str) -> str:
    """The site that a misspelt one (`resid_pots.2`), or a hook name of TransformerLens, means.

    No module of a model lies at such a path; what only loading can tell, the backend says.
    """
    if hook := site_from_hook_name(text):
        return str(hook)
    if not (match := _MISSPELT.fullmatch(text)):
        return ""
    if match[1] == "embed":
        return "embed"
    close = difflib.get_close_matches(match[1].lower(), BLOCK_KINDS, n=1, cutoff=0.7)
    return f"{close[0]}{match[2]}" if close else ""


def site_from_hook_name(hook: str) -> Site | None:
    """The site that a TransformerLens hook name (`blocks.4.hook_resid_post`) means, if known."""
    match = _TRANSFORMER_LENS.fullmatch(hook)
    return Site(match[2].replace(".hook_", "_"), int(match[1])) if match else None


def nearest_to_hook(hook: str) -> str | None:
    """A sentence on a hook of TransformerLens that is no site: what it is, and what is nearest.

    None for a hook that is a site, and for other names.
    """
    if hook == "hook_embed":
        return f"{hook} is no site: it is {_EMBEDDING}"
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)", hook)
    if match is None or match[2] not in _NO_SITES:
        return None
    return f"{hook} is no site: it is {_NO_SITES[match[2]].format(match[1])}"
