"""What the contract asks of each kind of component."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from harness import contract
from harness.contract import Kind, Options
from harness.task import spec


@dataclass(frozen=True)
class Asked:
    """What the contract asks of the components of one kind."""

    options: type[Options]
    protocols: tuple[Any, ...]
    """The protocols of its object, which follows one of them."""
    checks: tuple[str, ...]
    """The names of its checks in `harness.testing`."""
    table: type[BaseModel] | None = None
    """The keys that the core keeps for itself in the task's table of such a component."""


KINDS: dict[Kind, Asked] = {
    "backend": Asked(
        contract.BackendOptions, (contract.Backend,), ("check_backend",), spec.ModelSpec
    ),
    "sae_format": Asked(
        contract.SaeOptions, (contract.SaeFormat,), ("check_sae_format",), spec.SaeSpec
    ),
    "metric": Asked(contract.MetricOptions, (contract.Metric,), ("check_metric",), spec.MetricSpec),
    "statistic": Asked(
        contract.StatisticOptions, (contract.Reduction,), ("check_statistic",), spec.StatisticSpec
    ),
    "direction": Asked(
        contract.DirectionOptions, (contract.Reduction,), ("check_direction",), spec.DirectionSpec
    ),
    "intervention": Asked(
        contract.InterventionOptions,
        (contract.Intervention, contract.SaeIntervention, contract.PairedIntervention),
        ("check_intervention",),
        spec.InterventionSpec,
    ),
    "evaluator": Asked(
        contract.EvaluatorOptions, (contract.Evaluator,), ("check_evaluator",), spec.EvaluatorSpec
    ),
    "labels": Asked(contract.LabelsOptions, (contract.Labels,), ("check_labels",), spec.LabelsSpec),
    "analysis": Asked(
        contract.AnalysisOptions, (contract.Analysis,), ("check_analysis",), spec.AnalysisSpec
    ),
    "section": Asked(contract.SectionOptions, (contract.Section,), ("check_section",)),
}
BENCHMARK = Asked(
    contract.BenchmarkOptions, (contract.Benchmark,), ("check_benchmark",), spec.EvaluatorSpec
)


def asked_of(kind: Kind, options: type[Options]) -> Asked:
    """What the contract asks of a component: an evaluator with a benchmark's options is one."""
    return BENCHMARK if issubclass(options, contract.BenchmarkOptions) else KINDS[kind]
