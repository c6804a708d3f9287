"""The league: at which rank each method finds what was planted in models whose change is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from harness.contract import Findings, Model, Outcome, Record
from harness_analyses.difference_lens.head import Head
from harness_analyses.found.completions import Writing
from harness_analyses.found.options import FoundOptions, MethodOptions
from harness_analyses.found.planted import Items, Line, Planted, Said, units
from harness_analyses.found.records import Report
from harness_analyses.found.scoring import Entrant, Organism, scored
from harness_analyses.found.sources import Candidates, said_of
from harness_analyses.found.tables import rows
from harness_analyses.found.truth import Sort, direction_of, read_truth
from harness_statistics.records import number

VECTORS = "vectors"
"""The array of the statistic `kept_vectors`."""


class Found:
    """Ranks what was planted among all candidates, by what each method of the task has found.

    A method scores tokens, latents or directions; a truth file says which of them were planted.
    With N candidates, m of them planted:

    | record | formula | null |
    |---|---|---|
    | `found.rank@1` | 1 + how many others score at least as high as the best planted one | chance |
    | `found.permuted@1` | (1 + #{p_j ≤ p}) / (1 + J), over the truths of J others | likewise |
    | `found.cosine@1` | largest abs cos of the planted direction with a vector found | permuted |
    | `found.best@1` | 1 − (1 − min p)^M over the M methods that looked | 0.5 |
    | `found.of_others@1` | 1 − (1 − min_j p_j)^J, in an organism where nothing was planted | 0.5 |
    | `found.worst_rank@1` | the worst rank over the organisms of a kind | chance |
    | `found.hits@1` | share of organisms with a rank up to `k` | permuted |
    | `found.mrr@1` | mean of 1 / rank over organisms | permuted |
    | `found.beyond_baseline@1` | mean of log10 p of the baseline − log10 p of the method | 0 |

    *Chance*: p = 1 − C(N − r, m)/C(N, m), how likely the best of m in random order ranks r or
    better; `value` is (N + 1)/(m + 1), the usual rank. Ties count against the method: what a list
    leaves out comes last. *Label-permuted truth*: the organism is scored with the truths of others
    of the same sort, those left out that share an item with its own (or a direction, abs cos 0.9);
    it knows that some tokens rank high in any list, and chance does not. Methods are not
    independent, so `found.best` is on the careful side.

    Candidates: all tokens; all latents of the SAE; and for directions always the same ones: the
    SAE's decoder rows, the rows of the unembedding (times the final norm's gain), and `random`
    directions of the task's seed. The score of a direction is its largest abs cos with one of the
    vectors that a method found. The baseline sees completions alone: a token's score is
    ln((c + a)/(n + aV − c − a)) in those of the tuned model minus the same in those of the base.

    Axes `method`, `pair`, `kind` (`all`: every organism where something was planted), `seed`, `k`.
    Intervals by organisms, the same for every method, from 10 organisms on;
    of `found.hits` Wilson's. `found.worst_rank` is exact: nothing was drawn.
    Table `league`: a row for each method and organism, those without a rank too, with the reason.
    Undefined: where a method found nothing about a pair. There is no record where a truth names
    nothing of the method's sort, or nothing was planted.
    Source: METHODS 2, section 6; of our own making.
    """

    def __init__(self, options: FoundOptions) -> None:
        self.options = options

    def run(self, findings: Findings) -> Outcome:
        """Scores every method on every organism."""
        given = self.options
        model = findings.tools.models.get(given.model)
        if model is None:
            why = f"the model {given.model} is not there"
            return Outcome((_nothing(why),))
        organisms = [organism(Path(given.truths), pair) for pair in given.pairs]
        head = Head(model)
        among = candidates(head, _dictionary(findings, given.dictionary), given, findings.seed)
        entrants = [
            *_methods(given.methods, findings, among),
            *self._baseline(findings, model, among),
        ]
        scores = scored(entrants, organisms)
        records = tuple(Report(scores, given.top, findings.seed).records())
        return Outcome(records, {"league": list(rows(scores, model))})

    def _baseline(self, findings: Findings, model: Model, among: Candidates) -> list[Entrant]:
        given = self.options.baseline
        if given is None:
            return []
        written: Sequence[Mapping[str, Any]] = findings.tables.get("completions", ())
        writing = Writing(model, written, among.vocabulary, given.smoothing)
        asked = dict(zip(self.options.pairs, given.tuned, strict=True))
        says = partial(_written, writing, asked, given.base)
        return [Entrant(given.name, "tokens", says, "baseline")]


def organism(truths: Path, pair: str) -> Organism:
    """A pair with its truth, each sort of it ready to be looked for."""
    truth = read_truth(truths, pair)
    planted: dict[Sort, Planted] = {}
    if truth.tokens:
        planted["tokens"] = Items(tuple(truth.tokens))
    if truth.latents:
        planted["latents"] = Items(tuple(truth.latents))
    if truth.direction:
        planted["directions"] = Line(direction_of(truths, pair))
    return Organism(pair, truth, planted)


def candidates(
    head: Head, decoder: Float64[np.ndarray, "d_sae d"] | None, given: FoundOptions, seed: int
) -> Candidates:
    """All tokens, latents and directions; the latter are the same whatever was planted."""
    if decoder is None or not any(one.sort == "directions" for one in given.methods):
        latents = None if decoder is None else len(decoder)
        return Candidates(head.vocabulary, latents, np.zeros((0, 0)))
    width = decoder.shape[1]
    drawn = np.random.default_rng([seed, width]).standard_normal((given.random, width))
    rows = head.rows(range(head.vocabulary)).double().numpy()
    parts = [decoder, *([rows] if rows.shape[1] == width else []), drawn]
    return Candidates(head.vocabulary, len(decoder), units(np.concatenate(parts)))


def _dictionary(findings: Findings, statistic: str | None) -> Float64[np.ndarray, "d_sae d"] | None:
    for kept in findings.arrays:
        if kept.statistic == statistic and VECTORS in kept.values:
            return np.asarray(kept.values[VECTORS], np.float64)
    return None


def _methods(
    methods: Sequence[MethodOptions], findings: Findings, among: Candidates
) -> list[Entrant]:
    return [
        Entrant(
            one.name,
            one.sort,
            _reader(one, findings, among),
            "control" if one.control else "method",
        )
        for one in methods
    ]


def _reader(
    method: MethodOptions, findings: Findings, among: Candidates
) -> Callable[[Organism], Said | str]:
    return lambda one: said_of(method, one.pair, findings, among)


def _written(writing: Writing, asked: Mapping[str, str], base: str, one: Organism) -> Said | str:
    return writing.said(asked[one.pair], base)


def _nothing(why: str) -> Record:
    return number(
        "found.rank@1", None, why, ci_why=why, n=0, n_of="candidates", unit="rank", axes={}
    )
