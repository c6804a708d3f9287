"""What the contract asks of each kind of component."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from harness import contract
from harness.contract import Options
from harness.registry import Owned
from harness.task import spec


@dataclass(frozen=True)
class Asked:
    """What the contract asks of the components of one kind."""

    kind: str
    """The kind, or `benchmark` for an evaluator that is one."""
    options: type[Options]
    protocols: tuple[Any, ...]
    """The protocols of its object, which follows one of them."""
    table: type[BaseModel] | None
    """The keys that the core keeps for itself in the task's table of such a component."""

    @property
    def check(self) -> str:
        """The name of its check in `harness.testing`."""
        return f"check_{self.kind}"


_ASKED = (
    Asked("backend", contract.BackendOptions, (contract.Backend,), spec.ModelSpec),
    Asked("sae_format", contract.SaeOptions, (contract.SaeFormat,), spec.SaeSpec),
    Asked("metric", contract.MetricOptions, (contract.Metric,), spec.MetricSpec),
    Asked("statistic", contract.StatisticOptions, (contract.Reduction,), spec.StatisticSpec),
    Asked("direction", contract.DirectionOptions, (contract.Reduction,), spec.DirectionSpec),
    Asked(
        "intervention",
        contract.InterventionOptions,
        (
            contract.Intervention,
            contract.SaeIntervention,
            contract.PairedIntervention,
            contract.PairedSaeIntervention,
        ),
        spec.InterventionSpec,
    ),
    Asked("evaluator", contract.EvaluatorOptions, (contract.Evaluator,), spec.EvaluatorSpec),
    Asked("labels", contract.LabelsOptions, (contract.Labels,), spec.LabelsSpec),
    Asked("analysis", contract.AnalysisOptions, (contract.Analysis,), spec.AnalysisSpec),
    Asked("observer", contract.ObserverOptions, (contract.Observer,), spec.ObserverSpec),
    Asked("executor", contract.ExecutorOptions, (contract.Executor,), spec.ExecutorSpec),
    Asked("section", contract.SectionOptions, (contract.Section,), None),
    Asked("export", contract.ExportOptions, (contract.Export,), None),
)
KINDS = {asked.kind: asked for asked in _ASKED}
BENCHMARK = Asked("benchmark", contract.BenchmarkOptions, (contract.Benchmark,), spec.EvaluatorSpec)


def asked_of(owned: Owned) -> Asked:
    """What the contract asks of a component: an evaluator with a benchmark's options is one."""
    benchmark = issubclass(owned.options(), contract.BenchmarkOptions)
    return BENCHMARK if benchmark else KINDS[owned.component.kind]
