"""The sizes of a model on which its cost depends: products for each token, and bytes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from harness.contract import ModelFacts, Needs, Site


@dataclass(frozen=True)
class Network:
    """A model's sizes. A product of a weight with a number counts as two operations.

    Left out, as less than a hundredth in models of 100 million parameters and more: norms,
    activation functions, softmax and edits. Every parameter of a block is taken to be used for
    every token, so a mixture of experts is overestimated. The defaults are those of a model of
    which nothing is known.
    """

    parameters: int = 0
    layers: int = 0
    block: float = math.nan
    """Parameters of one block."""
    head: int = 0
    """Parameters of the output over the vocabulary."""
    width: int = 0
    attention: int = 0
    """Numbers of all heads together, per token."""
    kept: int = 0
    """Numbers that are kept for each token while completions are written."""
    widest: int = 0
    vocabulary: int = 0
    number_bytes: int = 4
    weight_bytes: float | None = None
    """Bytes of one weight of a block, where that is not `number_bytes`."""

    @property
    def weights(self) -> int:
        """Bytes of the weights."""
        if self.weight_bytes is None:
            return self.parameters * self.number_bytes
        inside = self.block * self.layers
        return round(inside * self.weight_bytes + (self.parameters - inside) * self.number_bytes)

    def flops(self, tokens: int, pairs: int, depth: int, ends: int = 0) -> float:
        """Operations of forwards to `depth` blocks.

        2·block·depth for each token, 4·attention·depth for each pair of a token and one that it
        looks at (itself and those before it: q·k and the weighted sum of v), and 2·head for each
        of the `ends` positions whose next token is asked for.
        """
        return (
            2.0 * self.block * depth * tokens
            + 4.0 * self.attention * depth * pairs
            + 2.0 * self.head * ends
        )

    def depth(self, sites: Iterable[Site]) -> int:
        """Blocks of a forward that stops at the deepest of `sites`; one begun counts whole."""
        return max((self._depth(site) for site in sites), default=0)

    def _depth(self, site: Site) -> int:
        if site.kind == "embed":
            return 0
        layer = site.at(self.layers).layer
        if layer is None:
            return self.layers  # a module path: it may lie anywhere
        return layer + (site.kind != "resid_pre")

    def at(self, site: Site) -> int:
        """Numbers per token at a site; of a module path, the width of the residual stream."""
        return self.attention if site.kind == "attn_z" else self.width

    # ── Bytes that are needed beside the weights for a while ──

    def forward_bytes(self, positions: int) -> int:
        """Most bytes of a forward: those in an MLP (residual stream, norm, three hidden layers)."""
        return positions * (2 * self.width + 3 * self.widest) * self.number_bytes

    def generation_bytes(self, rows: int, prompt: int, steps: int) -> int:
        """Bytes of a batch of completions: its keys and values, and the forward over its prompts.

        The buffers of keys and values grow by doubling, so they hold up to twice the tokens; then
        the logits of each row, and a copy in float32.
        """
        cache = 2 * rows * (prompt + steps) * self.kept * self.number_bytes
        logits = rows * self.vocabulary * (self.number_bytes + 4)
        return cache + self.forward_bytes(rows * prompt) + logits


def network(
    where: str, facts: ModelFacts, needs: Needs, default_bytes: int, notes: list[str]
) -> Network | str:
    """The sizes of a model, or a sentence that says which facts are missing.

    `where` names the model in messages, `default_bytes` are those of a number whose dtype is
    `auto`. What is assumed is added to `notes`.
    """
    missing = [name for name in ("layers", "d_model", "parameters") if getattr(facts, name) is None]
    if facts.layers is None or facts.d_model is None or facts.parameters is None:
        *others, last = missing
        what = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        return f"{where}: its {what} unknown offline; state {'them' if others else 'it'} in expect."
    width, vocabulary = facts.d_model, facts.vocabulary or 0
    head, looked_up = vocabulary * width, needs.looked_up
    if not vocabulary:
        notes.append(f"{where}: vocabulary unknown; all parameters are taken to be in its blocks.")
    elif looked_up is None:
        looked_up = 0
        notes.append(f"{where}: the output is taken to share the weights of the input embedding.")
    attention, kept = facts.d_attn_z or width, needs.kept
    if kept is None:
        kept = 2 * attention * facts.layers
        notes.append(
            f"{where}: keys and values are taken to be {attention} numbers each in every "
            "block; with grouped queries they are fewer, and completions take less memory."
        )
    if needs.widest is None:
        notes.append(f"{where}: the MLP is taken to be 4 times as wide as the model.")
    size = needs.number_bytes or default_bytes
    if needs.number_bytes is None:
        notes.append(f"{where}: dtype auto is taken to be {size} bytes for each number.")
    return Network(
        parameters=facts.parameters,
        layers=facts.layers,
        block=max(0, facts.parameters - head - (looked_up or 0)) / facts.layers,
        head=head,
        width=width,
        attention=attention,
        kept=kept,
        widest=needs.widest or 4 * width,
        vocabulary=vocabulary,
        number_bytes=size,
        weight_bytes=needs.weight_bytes,
    )
