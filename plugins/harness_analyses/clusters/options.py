"""What a task may write for `clusters`. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, computed_field, field_validator, model_validator

from harness.contract import (
    AnalysisOptions,
    LabelsRef,
    LocalPath,
    ModelRef,
    PairRef,
    SaeRef,
    ServerUrl,
    StatisticRef,
)
from harness.judges.options import (
    Concurrency,
    KeyVariable,
    PerMinute,
    Retries,
    Timeout,
    check_server,
)
from harness_analyses.clusters.taxonomy import OTHER, sha256, taxonomy
from harness_analyses.flips.options import Condition


class ClustersOptions(AnalysisOptions):
    """Options of `clusters`. Those that change no number are not part of a record's options."""

    sae: SaeRef
    """The SAE whose features are sorted."""
    taxonomy: LocalPath
    """A .toml or .json file with a table `clusters`: name = "what belongs to it"."""
    labels: LabelsRef
    """The labels of the features: their own clusters, or the descriptions that a judge reads."""
    judge: ModelRef | None = None
    """A model of the task that assigns the clusters from the descriptions; or else `server`."""
    server: ServerUrl | None = None
    """Base URL of an OpenAI-compatible chat server, such as "http://localhost:8000"."""
    server_model: str | None = None
    """Server: the name of the model that it serves."""
    api_key_variable: KeyVariable = None
    timeout: Timeout = 60.0
    retries: Retries = 5
    concurrency: Concurrency = Field(default=4, ge=1, le=64)
    requests_per_minute: PerMinute = None
    max_tokens: int = Field(default=64, ge=8)
    """Longest answer of a judge."""
    against: tuple[LabelsRef, ...] = ()
    """Other labels with clusters of their own, such as a person's: agreement with each."""
    flips: StatisticRef | None = None
    """A statistic of the method `flip_rate` on this SAE."""
    condition: Condition = "none"
    """Whose flips: `none` for the fine-tune's own, `pcs.3` for an injection of 3 components."""
    shift: StatisticRef | None = None
    """A statistic of the method `feature_shift` on this SAE."""
    pair: PairRef | None = None
    """Only this pair's flips and shifts: `task` is what one fine-tuning was meant for."""
    task: tuple[str, ...] = ()
    """The clusters that the fine-tuning was meant to change; what else flips is collateral."""
    top: int = Field(default=100, ge=1)
    """Label share: among so many features that shifted most."""
    within: int = Field(default=500, ge=1)
    """Recall: how many of the features of the task's clusters are among so many."""

    @computed_field  # type: ignore[prop-decorator]
    @property
    def taxonomy_sha256(self) -> str:
        """Hash of the taxonomy."""
        return sha256(taxonomy(self.taxonomy))

    @property
    def judged(self) -> bool:
        """Whether a judge assigns the clusters."""
        return self.judge is not None or self.server is not None

    @field_validator("taxonomy")
    @classmethod
    def _sound(cls, file: str) -> str:
        if Path(file).is_file():  # what is not there is the core's to say
            taxonomy(file)
        return file

    @model_validator(mode="after")
    def _one_judge(self) -> ClustersOptions:
        if self.judge is not None and self.server is not None:
            raise ValueError("give judge or server, not both")
        check_server(self)
        if self.labels in self.against:
            raise ValueError(
                f"against names {self.labels!r}, which is what it would be compared to"
            )
        return self

    @model_validator(mode="after")
    def _known_clusters(self) -> ClustersOptions:
        if self.task and Path(self.taxonomy).is_file():
            known = taxonomy(self.taxonomy)
            for name in self.task:
                if name not in known:
                    raise ValueError(
                        f"task names the cluster {name!r}. Allowed: {', '.join(known)}"
                    )
            if OTHER in self.task:
                raise ValueError(f'task must not name "{OTHER}": nobody fine-tunes for it')
        return self
