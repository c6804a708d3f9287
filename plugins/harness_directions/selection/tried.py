"""What all trials of a selection came to: scores, the table of candidates, and records."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from harness.contract import JSON, Axes, Inputs, Record, Site, State, Undefined
from harness.contract.sites import parse_site
from harness.results import interval as over_documents, replicate_weights
from harness_directions.selection.choice import Candidate, Filters, layer_of
from harness_directions.selection.closing import CLOSING, POSITIONS, same_ids
from harness_directions.selection.options import SelectedDirectionOptions, Trial
from harness_directions.selection.per_prompt import NOTHING, PerPrompt, per_prompt

_SETS = {"ablated": "positive", "added": "negative", "moved": "negative"}
"""By trial, the prompts that it is made on."""
_SCORES = (
    ("bypass", "ablated", "log-odds"),
    ("induce", "added", "log-odds"),
    ("kl", "moved", "nats"),
)
_NO_ID = "its position is not known, or prompts have different tokens there"


_NAMES = {"candidates", "view", "positive", "negative"}
"""Options that name something of the task, on which the meaning of no number depends."""


class Tried:
    """What all trials of a selection came to."""

    def __init__(self, options: SelectedDirectionOptions, state: State, inputs: Inputs) -> None:
        self.options = options
        names = type(options).model_fields.keys() - _NAMES
        self._said: dict[str, Any] = options.model_dump(mode="json", include=set(names))
        self._seed = inputs.seed
        self._state = state
        facts = inputs.facts.get(options.view)
        self.filters = Filters(
            options.kl_max,
            options.induce_min,
            options.depth_below,
            facts.layers if facts else None,
        )
        self.before = {name: per_prompt(state, name) for name in ("positive", "negative")}
        """By set of prompts, their scores without an edit."""
        self.kept = {name: self._kept(name) for name in self.before}
        self.trials = trials_of(options, inputs)
        self.candidates = [self._candidate(one, inputs) for one in self.trials]
        self._ids = same_ids(state, CLOSING, POSITIONS)

    def _kept(self, name: str) -> np.ndarray:
        scores = self.before[name]
        if not self.options.filter_prompts:
            return np.unique(scores.prompts)
        fine = scores.values > 0 if name == "positive" else scores.values < 0
        return np.unique(scores.prompts[fine])

    def _candidate(self, trial: Trial, inputs: Inputs) -> Candidate:
        return Candidate(
            dict(trial.axes),
            inputs.edits[trial.ablated],
            self.scores(trial, "ablated").mean,
            self.scores(trial, "added").mean,
            self.scores(trial, "moved").mean,
        )

    def scores(self, trial: Trial, what: str) -> PerPrompt:
        """The numbers of a trial, of the prompts that count."""
        name = f"{what} {trial.number}"
        return per_prompt(self._state, name).of(self.kept[_SETS[what]])

    def token(self, axes: Axes) -> int | None:
        """The token at a candidate's position, where it has one and all prompts have the same."""
        position = axes.get("position")
        within = isinstance(position, int) and -POSITIONS <= position < 0
        return self._ids[int(position or 0)] if within else None

    def row(self, place: int, choice: int | None) -> dict[str, JSON]:
        """A candidate in the table."""
        one = self.candidates[place]
        site = _site(one)
        why = self.filters.why_not(one)
        own = {key: value for key, value in one.axes.items() if key not in ("position", "site")}
        return {
            "position": one.axes.get("position"),
            "site": None if site is None else str(site),
            "variant": ", ".join(f"{key}={value}" for key, value in own.items()) or None,
            "layer": None if site is None else layer_of(site),
            "token_id": self.token(one.axes),
            "bypass": _number(one.bypass),
            "induce": _number(one.induce),
            "kl": _number(one.kl),
            "chosen": place == choice,
            "undefined": isinstance(one.direction, Undefined),
            "discarded": why,
        }

    def why_none(self) -> str:
        """Why no candidate passes, with how many each reason discards."""
        if not len(self.before["positive"].values) or not len(self.before["negative"].values):
            return "no prompt was read to try the candidates on"
        lacking = [name for name, kept in self.kept.items() if not len(kept)]
        if lacking:
            return f"filter_prompts leaves none of the {lacking[0]} prompts"
        kinds = Counter(self._kind(one) for one in self.candidates)
        said = "; ".join(f"{count} {kind}" for kind, count in kinds.items())
        return f"none of {len(self.candidates)} candidates passes the filters: {said}"

    def _kind(self, one: Candidate) -> str:
        if isinstance(one.direction, Undefined):
            return "undefined"
        if any(math.isnan(score) for score in (one.bypass, one.induce, one.kl)):
            return "without a number"
        loose = Filters(math.inf, -math.inf, self.filters.depth_below, self.filters.layers)
        if loose.why_not(one) is not None:
            return "too deep"
        return "above kl_max" if one.kl > self.filters.kl_max else "below induce_min"

    def records(self, place: int | None, why: str | None) -> Iterator[Record]:
        """The numbers of the chosen candidate, or undefined ones with the reason."""
        for name, what, unit in _SCORES:
            scores = NOTHING if place is None else self.scores(self.trials[place], what)
            null = self.before[_SETS[what]].of(self.kept[_SETS[what]]).mean if unit != "nats" else 0
            yield self._mean(f"selected_direction.{name}@1", scores, unit, null, why)
        sites = {} if place is None else self._where(place)
        for name, unit in (("position", "tokens"), ("layer", "blocks"), ("token", "token id")):
            value = sites.get(name)
            missing = why or ("its axes do not say" if name != "token" else _NO_ID)
            yield self._plain(name, value, unit, None if value is not None else missing)
        passed = sum(self.filters.why_not(one) is None for one in self.candidates)
        yield self._plain("passed", passed, "candidates")
        if self.options.filter_prompts:
            for name, kept in self.kept.items():
                record = self._plain("kept", len(kept), "prompts")
                yield record.on(prompts=name)

    def _where(self, place: int) -> Mapping[str, int | None]:
        one = self.candidates[place]
        assert not isinstance(one.direction, Undefined)
        position = one.axes.get("position")
        return {
            "position": position if isinstance(position, int) else None,
            "layer": layer_of(one.direction.site),
            "token": self.token(one.axes),
        }

    def _mean(
        self,
        id: str,
        scores: PerPrompt,
        unit: str,
        null: float,
        why: str | None,
    ) -> Record:
        ci, ci_why = interval(scores, self._seed) if why is None else (None, why)
        kind = "no edit" if math.isfinite(null) else None
        return Record(
            id,
            None if why is not None else scores.mean,
            len(scores.values),
            "prompts",
            unit,
            self._said,
            clusters=scores.clusters,
            ci=ci,
            ci_why=ci_why,
            null={"kind": kind, "value": null} if kind else None,
            undefined=why,
            axes={"view": self.options.view},
        )

    def _plain(self, name: str, value: int | None, unit: str, why: str | None = None) -> Record:
        return Record(
            f"selected_direction.{name}@1",
            value,
            len(self.candidates),
            "candidates",
            unit,
            self._said,
            ci_why="says which candidate was chosen, or counts; not an estimate",
            undefined=why,
            axes={"view": self.options.view},
        )


def interval(scores: PerPrompt, seed: int) -> tuple[tuple[float, float] | None, str | None]:
    """The 95% interval of a mean over prompts, by different prompts; or why none."""
    weights = replicate_weights([str(one) for one in scores.prompts.tolist()], seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = weights @ scores.values / weights.sum(1)
    return over_documents(means, scores.clusters, "prompts")


def trials_of(options: SelectedDirectionOptions, inputs: Inputs) -> list[Trial]:
    """The trials whose directions the core has found, in the order of the candidates."""
    variants = dict.fromkeys(edit.axes for edit in inputs.edits if edit.method == "ablation")
    found = enumerate(variants)
    return [Trial(number, axes, options.candidates, options.mode) for number, axes in found]


def _site(one: Candidate) -> Site | None:
    """Where a candidate lives; of one that does not exist, what its axes say."""
    if not isinstance(one.direction, Undefined):
        return one.direction.site
    written = one.axes.get("site")
    return parse_site(written) if isinstance(written, str) else None


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
