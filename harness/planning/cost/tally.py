"""An estimate in the making: what the stages so far need, and what had to be assumed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.planning.cost.earlier import Written
from harness.planning.cost.figures import Cut, Work
from harness.planning.cost.lengths import PromptLengths
from harness.planning.cost.network import Network, network
from harness.task.task import Task


@dataclass(frozen=True)
class Encoder:
    """The sizes of an SAE's encoder."""

    parameters: float
    """d_in·d_sae; nan where one of them is unknown."""
    latents: int

    @property
    def flops(self) -> float:
        """Operations for one token."""
        return 2.0 * self.parameters


@dataclass
class Tally:
    """Adds up what the stages of a plan take."""

    task: Task
    default_bytes: int
    earlier: Mapping[str, Written]
    prompts: PromptLengths
    work: list[Work] = field(default_factory=list)
    peak: tuple[int, str] = (0, "")
    disk: int = 0
    unknown: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    networks: dict[str, Network] = field(default_factory=dict)
    saes: dict[str, int] = field(default_factory=dict)
    cuts: list[Cut] = field(default_factory=list)

    def network(self, name: str) -> Network:
        """The sizes of a model; named as unknown where they are."""
        if name not in self.networks:
            needs, facts = self.task.models[name].options.needs(), self.task.model_facts[name]
            if "activations" not in facts.capabilities and facts.parameters is None:
                self.notes.append(f"models.{name}: runs elsewhere: its time is not planned.")
                self.networks[name] = Network(block=0.0)
                return self.networks[name]
            found = network(f"models.{name}", facts, needs, self.default_bytes, self.notes)
            if isinstance(found, str):
                self.unknown.append(found)
                found = Network()
            self.networks[name] = found
        return self.networks[name]

    def encoder(self, name: str) -> Encoder:
        """The sizes of an SAE; named as unknown where they are."""
        facts = self.task.sae_facts(name)
        if not facts.d_in or not facts.d_sae:
            self.unknown.append(
                f"saes.{name}: its d_in or d_sae is unknown offline; state both in expect."
            )
            return Encoder(math.nan, 0)
        size = self.task.saes[name].options.needs().number_bytes or 4
        self.saes[name] = 2 * facts.d_in * facts.d_sae * size
        return Encoder(facts.d_in * facts.d_sae, facts.d_sae)

    def lengths(
        self,
        view: str,
        data: str,
        limit: int | None = None,
        *,
        answered: bool = False,
        views: Sequence[str] = (),
    ) -> tuple[int, ...]:
        """The lengths of prompts, shortest first; none where their number is unknown."""
        found = self.prompts.of(view, data, limit, answered=answered, views=views)
        if found is None:
            self.unknown.append(f"data.{data}: its number of rows is unknown offline; state limit.")
            return ()
        if found.note:
            self.notes.append(found.note)
        return found.tokens

    def stands(self, size: int, stage: str) -> None:
        """Keeps the largest of what some work needs in memory beside weights."""
        self.peak = max(self.peak, (size, stage), key=lambda found: found[0])

    def cut(self, stage: str, parts: int, before: int, **travels: int) -> None:
        """Adds the work since there were `before` pieces of it as one that is cut into parts."""
        self.cuts.append(Cut(stage, parts, tuple(self.work[before:]), **travels))
