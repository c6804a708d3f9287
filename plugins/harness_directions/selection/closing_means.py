"""The difference in means at every token that closes a prompt, and at every site, in one pass."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from harness.contract import (
    JSON,
    Batch,
    Direction,
    Found,
    Inputs,
    ModelFacts,
    Outcome,
    Site,
    State,
    Undefined,
)
from harness.contract.sites import parse_site
from harness_directions import states
from harness_directions.places import located
from harness_directions.selection.closing import from_the_end, id_sums, same_ids
from harness_directions.selection.options import ClosingMeansOptions
from harness_directions.selection.scores import last_tokens, refusal_scores

ROUNDING = 1e-12
"""Relative size below which a float64 difference of sums is rounding and counts as zero."""
_CLASSES = ("positive", "negative")
_FIXED = ("layers", "words")
"""What the state knows from its start, and no batch adds to."""


class ClosingMeans:
    """Finds r(p, s) = mean⁺ x(p, s) − mean⁻ x(p, s) for every position p and site s.

    p counts the tokens that close a prompt from its end: −1 is the last one. mean⁺ and mean⁻ are
    over the prompts of each set that have a token there; x: Float[Tensor, "prompts d_site"], sums
    in float64; r: Float64 `[1, d_site]`, raw. mean⁻ is the direction's origin. Each pair of both is
    a direction of its own, with the axes `position` and `site`.
    With `filter_prompts` only prompts count to which the model reacts as it should, by its own
    predictions for the next token: see `selected_direction`.
    Undefined: where no prompt of a set has a token at p, where both means are equal (at the input
    of the first block, a token that all prompts have tells nothing yet), and where they are not
    finite. Table `candidates`: for each, the token's id where all prompts have one, ‖r‖, and the
    prompts of each set.
    Source: Arditi et al. 2024, section 2.3; andyrdt/refusal_direction, `generate_directions.py`.
    """

    def __init__(self, given: ClosingMeansOptions) -> None:
        self.options = given

    def start(self, inputs: Inputs) -> State:
        """No sum; how many blocks there are, and the tokens of the words."""
        layers = _facts(inputs, self.options.view).layers or 0
        words = [inputs.words[word] for word in self.options.refusal_words]
        return {
            "layers": np.array([layers], dtype=np.int64),
            "words": np.array(words, dtype=np.int64),
        }

    def update(self, state: State, batch: Batch) -> State:
        """Adds the batch's activations to the sums of their class, position and site."""
        count, prefix = self.options.positions, f"{batch.stream}_"
        chosen, from_end = batch.selected, from_the_end(batch)
        terms: dict[str, np.ndarray | int] = {}
        if self.options.filter_prompts and len(chosen):
            fine, left_out = self._expected(state, batch)
            chosen, from_end = chosen[fine], from_end[fine]
            terms["left_out"] = left_out
        terms["longer"] = int((from_end == -count - 1).sum())
        terms["prompts"] = int((from_end == -1).sum())
        within = from_end >= -count
        chosen, from_end = chosen[within], from_end[within]
        if len(chosen):
            sums = id_sums(batch.ids[chosen], from_end, count)
            terms |= {name: sum_.numpy() for name, sum_ in sums.items()}
            for name in self._sites(int(state["layers"][0])):
                x = batch.left.x(parse_site(name))
                terms[f"sum {name}"] = _summed(x, chosen, from_end + count, count)
        return _merged(state, states.plus({}, terms, prefix))

    def merge(self, left: State, right: State) -> State:
        """The sums of both."""
        return _merged(left, right)

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """One direction for each position and site, and the table of all."""
        facts, count = _facts(inputs, self.options.view), self.options.positions
        ids = [same_ids(state, f"{name}_", count) for name in _CLASSES]
        found, rows = [], []
        for place in range(count):
            for name in self._sites(facts.layers or 0):
                site, position = located(parse_site(name), facts), place - count
                direction = self._direction(state, name, site, place)
                found.append(Found(direction, axes={"position": position, "site": name}))
                alike = ids[0][place] if ids[0][place] == ids[1][place] else None
                rows.append(
                    {
                        "position": position,
                        "site": name,
                        "token_id": alike,
                        **_described(direction),
                        **{f"{one}_prompts": _tokens(state, one, place) for one in _CLASSES},
                    }
                )
        notes = tuple(self._notes(state))
        return Outcome(tables={"candidates": rows}, directions=tuple(found), notes=notes)

    def _sites(self, layers: int) -> tuple[str, ...]:
        """The sites as they are written, or every block's input."""
        return self.options.sites or tuple(f"resid_pre.{layer}" for layer in range(layers))

    def _expected(self, state: State, batch: Batch) -> tuple[Tensor, int]:
        """Which selected tokens are of prompts to which the model reacts as it should, and how
        many prompts it does not."""
        documents, last = last_tokens(batch)
        logits = batch.left.logits()
        words = state["words"].tolist()
        scores = refusal_scores(logits[last.to(logits.device)], words).cpu()
        fine = scores > 0 if batch.stream == "positive" else scores < 0
        kept = torch.zeros(len(batch.documents), dtype=torch.bool)
        kept[documents] = fine
        return kept[batch.document[batch.selected]], int((~fine).sum())

    def _direction(self, state: State, name: str, site: Site, place: int) -> Direction | Undefined:
        """The direction, or why there is none."""
        position = place - self.options.positions
        for one in _CLASSES:
            if not states.count(state, f"{one}_prompts"):
                data = getattr(self.options, one)
                return Undefined(f"no prompt of the {one} data {data!r} has a closing token")
        for one in _CLASSES:
            if not _tokens(state, one, place):
                data = getattr(self.options, one)
                return Undefined(
                    f"no prompt of the {one} data {data!r} is closed with {-position} tokens"
                )
        positive, negative = (
            state[f"{one}_sum {name}"][place] / _tokens(state, one, place) for one in _CLASSES
        )
        with np.errstate(invalid="ignore"):  # inf − inf: reported below, in words
            vector = positive - negative
        norm = float(np.linalg.norm(vector))
        if not np.isfinite(norm):
            return Undefined(f"the activations at {site}, position {position}, are not finite")
        if norm <= ROUNDING * max(np.linalg.norm(positive), np.linalg.norm(negative)):
            return Undefined(
                f"both sets of prompts have the same mean at {site}, position {position}"
            )
        return Direction(site, vector[None], reference_norm=norm, origin=negative)

    def _notes(self, state: State) -> Iterator[str]:
        """What of the prompts is no candidate, and which prompts were left out."""
        count = self.options.positions
        for one in _CLASSES:
            data, prompts = getattr(self.options, one), states.count(state, f"{one}_prompts")
            if longer := states.count(state, f"{one}_longer"):
                yield (
                    f"{longer} of {prompts} prompts of {data} are closed with more than {count} "
                    "tokens, and only the last of them are candidates. Raise positions for more."
                )
            if left_out := states.count(state, f"{one}_left_out"):
                yield (
                    f"{left_out} of {left_out + prompts} prompts of {data} are left out: the model "
                    "does not react to them as it should (filter_prompts)."
                )


def _facts(inputs: Inputs, view: str) -> ModelFacts:
    return inputs.facts.get(view) or ModelFacts()


def _tokens(state: State, one: str, place: int) -> int:
    """Prompts of a class that have a token at a place."""
    tokens = state.get(f"{one}_tokens")
    return 0 if tokens is None else int(tokens[place])


def _described(direction: Direction | Undefined) -> dict[str, JSON]:
    if isinstance(direction, Undefined):
        return {"norm": None, "undefined": direction.reason}
    return {"norm": float(np.linalg.norm(direction.vectors)), "undefined": None}


def _summed(
    x: Float[Tensor, "tokens d"], chosen: Tensor, at: Int[Tensor, " chosen"], count: int
) -> Float[np.ndarray, "positions d"]:
    """The activations of some tokens, added up by position, in float64."""
    x = x.detach().cpu() if x.device.type == "mps" else x.detach()  # MPS knows no float64
    some = x.index_select(0, chosen.to(x.device)).double()
    total = some.new_zeros(count, some.shape[1]).index_add_(0, at.to(x.device), some)
    array: np.ndarray = total.cpu().numpy()
    return array


def _merged(left: State, right: State) -> State:
    """The sums of both, beside what both know from their start."""
    fixed = {name: array for name, array in {**right, **left}.items() if name in _FIXED}
    sums = ({k: v for k, v in one.items() if k not in _FIXED} for one in (left, right))
    return {**states.merged(*sums), **fixed}
