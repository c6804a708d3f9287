"""The candidate without which a model refuses least, of those that pass Arditi's filters."""

from __future__ import annotations

import numpy as np

from harness.contract import Batch, Found, Inputs, Outcome, State, Undefined
from harness_directions import states
from harness_directions.selection.choice import chosen
from harness_directions.selection.closing import CLOSING, POSITIONS, from_the_end, id_sums
from harness_directions.selection.options import SelectedDirectionOptions
from harness_directions.selection.per_prompt import added, joined
from harness_directions.selection.scores import divergences, last_tokens, refusal_scores
from harness_directions.selection.tried import Tried

_WORDS = "words"


class SelectedDirection:
    """Chooses among the variants of a direction by three numbers, each a mean over prompts.

    At the last position of a prompt, s = log(p + 1e-8) − log(1 − p + 1e-8) is its refusal score,
    p the probability that the next token is one of `refusal_words`.

    - bypass: mean s of the positive prompts while the candidate is ablated everywhere
      (`ablation`, `mode`);
    - induce: mean s of the negative prompts while it is added at its own site, as long as it is;
    - kl: mean of `Σ_v p_v (log(p_v + 1e-6) − log(q_v + 1e-6))` over the negative prompts, p as the
      model predicts, q while the candidate is ablated.

    Discarded are candidates that are undefined or have a score that is not a number, those from
    layer `int(depth_below · L)` on (the input of block l and the output of block l − 1 are layer
    l), those with kl > `kl_max`, and those with induce < `induce_min`. Of the others, that of the
    lowest bypass is chosen; of equal ones, the first. With `filter_prompts` only positive prompts
    with s > 0 and negative ones with s < 0 count, by the model as it is.
    The direction is the candidate itself: Float64 `[rank, d_site]`.

    Records: `selected_direction.bypass@1`, `.induce@1` (log-odds, in [−18.4, 18.4], beside the
    score without an edit) and `.kl@1` (nats) of the chosen one, with intervals over prompts;
    `.position@1`, `.layer@1`, `.token@1` (the id of the token there: in templates that pre-fill a
    thought it is no token of the turn's header); `.passed@1` (candidates); `.kept@1` (prompts, with
    `filter_prompts`). Table `candidates`: all of them, and why each was discarded.
    Undefined, with the reason, where no candidate passes. Source: Arditi et al. 2024, appendix C;
    andyrdt/refusal_direction, `select_direction.py`.
    """

    def __init__(self, given: SelectedDirectionOptions) -> None:
        self.options = given

    def start(self, inputs: Inputs) -> State:
        """No prompt; the tokens of the words."""
        words = [inputs.words[word] for word in self.options.refusal_words]
        return {_WORDS: np.array(sorted(set(words)), dtype=np.int64)}

    def update(self, state: State, batch: Batch) -> State:
        """Adds a number for each prompt: its score, or how far its predictions were moved."""
        if batch.stream == "closing":
            return _with_ids(state, batch)
        documents, last = last_tokens(batch)
        if not len(last):
            return state
        logits = batch.left.logits()
        before = logits[last.to(logits.device)]
        if batch.right is None:
            values = refusal_scores(before, state[_WORDS].tolist())
        else:
            moved = batch.right.logits()
            values = divergences(before, moved[last.to(moved.device)])
        found = values.cpu().numpy()
        return added(state, batch.stream, batch, documents.numpy(), found)

    def merge(self, left: State, right: State) -> State:
        """The prompts of both."""
        parts = [{k: v for k, v in one.items() if not _summed(k)} for one in (left, right)]
        sums = [{k: v for k, v in one.items() if k.startswith(CLOSING)} for one in (left, right)]
        return {**joined(*parts), **states.merged(*sums), _WORDS: left[_WORDS]}

    def finish(self, state: State, inputs: Inputs) -> Outcome:
        """The chosen candidate, its records, and the table of all."""
        tried = Tried(self.options, state, inputs)
        place = chosen(tried.candidates, tried.filters)
        rows = [tried.row(n, place) for n in range(len(tried.candidates))]
        if place is None:
            why = tried.why_none()
            found = Found(Undefined(why), records=tuple(tried.records(None, why)))
        else:
            direction = tried.candidates[place].direction
            found = Found(direction, records=tuple(tried.records(place, None)))
        return Outcome(tables={"candidates": rows}, directions=(found,))


def _with_ids(state: State, batch: Batch) -> State:
    """The state with the ids of a batch's closing tokens."""
    from_end, chosen_ = from_the_end(batch), batch.selected
    within = from_end >= -POSITIONS
    sums = id_sums(batch.ids[chosen_[within]], from_end[within], POSITIONS)
    terms = {f"{CLOSING}{name}": one.numpy() for name, one in sums.items()}
    before = {name: array for name, array in state.items() if name.startswith(CLOSING)}
    return {**state, **states.merged(before, terms)}


def _summed(name: str) -> bool:
    return name == _WORDS or name.startswith(CLOSING)
