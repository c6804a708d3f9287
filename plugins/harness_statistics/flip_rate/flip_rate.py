"""Which latents a fine-tune turns on and off, and how many of them a few directions explain."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import Batch, Direction, Inputs, Outcome, State, Undefined
from harness.contract.sites import parse_site
from harness.errors import ModelError
from harness.results.replicates import GROUPS, group_rows
from harness_statistics.flip_rate import injections
from harness_statistics.flip_rate.counts import Counter, Tokens, above
from harness_statistics.flip_rate.injections import NONE, Condition, conditions
from harness_statistics.flip_rate.options import FlipRateOptions as Options
from harness_statistics.flip_rate.results import outcome
from harness_statistics.inputs import components

_SHARED = ("vectors", "seed")
"""What merging keeps rather than adds."""
_PIECE = 2**22
"""Numbers of edited activations that exist at a time."""


class FlipRate:
    """Counts, token by token, the latents that are on for one of h_b and h′ and off for the other.

    A latent is on where |z| > τ. h_b: the left activations; h′ by `injection`:

    | injection | h′ |
    |---|---|
    | `none` | h_t, the right ones: what the fine-tune itself flips |
    | `pcs` | h_b + (Δh V_k) V_kᵀ, Δh = h_t − h_b; k = d gives h_t back |
    | `constant` | h_b + α Σ_{i≤k} σ_i/√N v_i |
    | `random` | h_b + ‖(Δh V_k) V_kᵀ‖ u, u a random unit vector of that token and `draw` |

    all re-encoded by the same SAE; no model runs. x: Float[Tensor, "tokens d_site"].

    | record | formula | range |
    |---|---|---|
    | `flip_rate.token@1` | flips per token, all latents together | [0, d_sae] |
    | `flip_rate.all@1` | flips / (tokens · d_sae) | [0, 1] |
    | `flip_rate.micro@1` | Σ_j flips_j / Σ_j support_j | [0, 1] |
    | `flip_rate.latent@1` | mean of flips_j / support_j over latents with enough support | [0, 1] |
    | `flips.off_on@1`, `flips.on_off@1` | how many turn on, and off | counts |
    | `flip_rate.over_random@1` | flips under `pcs` over the mean under `random` | [0, ∞) |

    support_j: tokens on which latent j is on before or after. Records of a random draw are the
    first and the fourth only. Intervals are by documents; both counts of a ratio are
    of the same groups of them. Null of `none`: 0 for identical models.
    Table `features`: the latents with most flips between the two models. Arrays, by
    `<pair>/<sae>/<site>/<condition>/<what>`: see `flip_rate.arrays`.
    Undefined: without tokens; injections where `pcs` is undefined or has fewer than k vectors;
    the mean over latents where none has the support; rates of nothing that was ever on.
    Raises ModelError where `pcs` lives elsewhere or has another width, where the sides differ in
    width, and for SAEs that need whole sequences.
    Source: arXiv 2605.11426; METHODS section 4 says what its definitions leave open.
    """

    def __init__(self, given: Options) -> None:
        self.options = given
        self.site = parse_site(given.site)

    def start(self, inputs: Inputs) -> State:
        """Counts of zero, and the components, so that a pass can resume from the state alone."""
        vectors = self._vectors(inputs)
        ran = conditions(self.options, len(vectors))
        state: State = {
            "seed": np.array([inputs.seed], dtype=np.int64),
            "tokens": np.zeros(1 + GROUPS),
            "clusters": np.zeros(1, dtype=np.int64),
            "vectors": vectors,
        }
        for name in self._saes(inputs):
            facts = inputs.saes[name].facts
            if facts.needs_sequence:
                raise ModelError(
                    f"sae {name!r}: it reads whole sequences, and flips re-encode single tokens. "
                    "Allowed: SAEs whose rows are independent. Leave it out of saes"
                )
            assert facts.d_sae is not None, "a loaded SAE knows its width"
            state |= self._counter(name).start(facts.d_sae, len(ran))
        return state

    def update(self, state: State, batch: Batch) -> State:
        """Adds the flips of a batch under every condition; a batch without tokens adds none."""
        if not len(batch.selected):
            return state
        right = batch.right
        assert right is not None, "flip_rate reads a pair"
        owner = batch.document[batch.selected.to(batch.document.device)]
        rows = group_rows(batch.documents, int(state["seed"][0]))
        sizes = torch.bincount(owner, minlength=len(batch.documents)).cpu().double().numpy()
        counts = {name: array.copy() for name, array in state.items()}
        counts["tokens"] += rows @ sizes
        counts["clusters"] += batch.clusters(sizes)
        tokens, tau = Tokens(owner, rows), self.options.tau
        names = [name for name in self.options.saes if self._counter(name).is_in(state)]
        order = {one: index for index, one in enumerate(self._conditions(state))}
        before = {name: above(batch.left.latents(name, self.site), tau) for name in names}
        for name, was in before.items():
            after = above(right.latents(name, self.site), tau)
            self._counter(name).add_before(counts, was, tokens)
            self._counter(name).add_after(counts, order[NONE], was, after, tokens)
        for piece in self._pieces(state, batch):
            mine = {
                name: latents.take(piece.to(latents.offsets.device))
                for name, latents in before.items()
            }
            for condition, x in self._edited(state, batch, batch.selected[piece]):
                for name, was in mine.items():
                    after = above(batch.left.encode(name, x), tau)
                    cut, at = tokens.take(piece), order[condition]
                    self._counter(name).add_after(counts, at, was, after, cut)
        return counts

    def _counter(self, sae: str) -> Counter:
        return Counter(self.options.saes.index(sae))

    def merge(self, left: State, right: State) -> State:
        """Adds the counts of two states that saw different documents."""
        if any(not np.array_equal(left[name], right[name]) for name in _SHARED):
            raise ValueError("two states with different components or seeds do not merge")
        return {
            name: array if name in _SHARED else array + right[name] for name, array in left.items()
        }

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """Makes the records, the table of features and the arrays from the counts."""
        direction = None if self.options.pcs is None else inputs.directions.get(self.options.pcs)
        why = direction.reason if isinstance(direction, Undefined) else None
        return outcome(self.options, state, self._saes(inputs), self._conditions(state), why)

    # ── What is injected ──

    def _pieces(self, state: State, batch: Batch) -> Iterator[Int[Tensor, " rows"]]:
        """Splits the selected tokens into pieces that fit in memory; none without components."""
        if not len(state["vectors"]):
            return
        step = max(1, _PIECE // state["vectors"].shape[1])
        places = torch.arange(len(batch.selected))
        yield from (places[start : start + step] for start in range(0, len(places), step))

    def _edited(
        self, state: State, batch: Batch, rows: Int[Tensor, " rows"]
    ) -> Iterator[tuple[Condition, Float[Tensor, "rows d"]]]:
        """Each injection, and the activations of some tokens with it added."""
        x, tuned = self._both(state, batch, rows)
        delta = injections.wide(tuned) - injections.wide(x)
        raw = torch.from_numpy(state["vectors"]).to(delta)
        basis = raw / raw.norm(dim=1, keepdim=True)
        lengths: dict[int | None, Tensor] = {}
        for one in self._injected("pcs", state):
            added = injections.along(delta, basis[: one.k])
            lengths[one.k] = added.norm(dim=1, keepdim=True)
            yield one, injections.plus(x, added)
        for one in self._injected("constant", state):
            yield one, injections.plus(x, self.options.alpha * raw[: one.k].sum(0))
        seed = int(state["seed"][0])
        for draw, ranks in groupby(self._injected("random", state), lambda one: one.draw):
            assert draw is not None
            noise = injections.unit_noise(batch, rows, x.shape[1], seed, draw).to(delta)
            for one in ranks:
                yield one, injections.plus(x, lengths[one.k] * noise)

    def _both(
        self, state: State, batch: Batch, rows: Int[Tensor, " rows"]
    ) -> tuple[Float[Tensor, "rows d"], Float[Tensor, "rows d"]]:
        """Left and right activations of some tokens; ModelError where their widths differ."""
        assert batch.right is not None
        left, right = (side.x(self.site) for side in (batch.left, batch.right))
        widths = left.shape[1], right.shape[1], state["vectors"].shape[1]
        if len(set(widths)) > 1:
            raise ModelError(
                f"pairs.{self.options.pair}: {widths[0]} numbers per token at {self.site} on the "
                f"left, {widths[1]} on the right, {widths[2]} in {self.options.pcs!r}. Allowed: "
                "the same hidden size. Compare a model with its own fine-tune, and take "
                "components of this pair"
            )
        return left[rows.to(left.device)], right[rows.to(right.device)]

    def _conditions(self, state: State) -> tuple[Condition, ...]:
        """The conditions that run, with as many components as there are."""
        return conditions(self.options, len(state["vectors"]))

    def _injected(self, injection: str, state: State) -> list[Condition]:
        return [one for one in self._conditions(state) if one.injection == injection]

    def _vectors(self, inputs: Inputs) -> Float[np.ndarray, "rank d"]:
        """The components with their lengths; no row where there are none to inject."""
        name = self.options.pcs
        found = None if name is None else components(inputs, name, self.site, "flips are counted")
        if not isinstance(found, Direction):
            return np.zeros((0, 0))
        units = found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)
        if np.abs(units @ units.T - np.eye(len(units))).max() > 1e-6:
            raise ModelError(
                f"directions.{name}: its vectors are not orthogonal. Allowed: principal "
                "components. Find them with principal_components"
            )
        return np.asarray(found.vectors, dtype=np.float64)

    def _saes(self, inputs: Inputs) -> tuple[str, ...]:
        return tuple(name for name in self.options.saes if name in inputs.saes)
