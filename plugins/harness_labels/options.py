"""What a task may write for the labels. Imports nothing heavy."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from harness.contract import LabelsOptions, LocalPath, ModelRef, StatisticRef, Transport

SITE = "https://www.neuronpedia.org"
EXPORTS = "https://neuronpedia-datasets.s3.us-east-1.amazonaws.com"
KEY = "NEURONPEDIA_API_KEY"
"""The environment variable that holds a key; most features need none."""


class NeuronpediaOptions(LabelsOptions):
    """Options of `neuronpedia`."""

    id: str | None = None
    """The SAE's id there, "model/source"; without it, the one in the SAE's own metadata."""
    kind: str | None = None
    """Only explanations of this type, such as "oai_token-act-pair"; without it, the first."""
    offline: Annotated[bool, Transport()] = False
    """Ask nobody: only what earlier runs kept. HF_HUB_OFFLINE=1 does the same."""
    bulk: Annotated[int, Transport()] = Field(200, ge=0)
    """More unknown features than this are read from the bulk export instead, one download."""
    interval: Annotated[float, Transport()] = Field(0.1, ge=0)
    """Seconds between two questions, at least."""
    timeout: Annotated[float, Transport()] = Field(30.0, gt=0)
    """Seconds for one answer."""
    retries: Annotated[int, Transport()] = Field(5, ge=0)
    """How often a question that failed is asked again, after longer and longer pauses."""
    server: str = SITE
    """Base URL of the site. It says whose labels they are: a mirror may hold others."""
    exports: str = EXPORTS
    """Base URL of the bulk exports."""

    @field_validator("id")
    @classmethod
    def _two_parts(cls, id: str | None) -> str | None:
        if id is not None and not is_id(id):
            raise ValueError(
                f'{id!r} is no id. Allowed: "model/source", such as '
                '"gemma-2-2b/20-gemmascope-res-16k"'
            )
        return id

    @field_validator("server", "exports")
    @classmethod
    def _base(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:
            fine = False
        if not fine or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(f'must be a URL such as "{SITE}", without key, query or fragment')
        return url.rstrip("/")


class ContextsOptions(LabelsOptions):
    """Options of `contexts`."""

    statistic: StatisticRef
    """The statistic of the method `contexts` that collected them, on the same SAE."""
    model: ModelRef
    """The model whose tokenizer writes the tokens as text."""
    words: int = Field(5, ge=1, le=50)
    """How many tokens make up a description."""


class FileOptions(LabelsOptions):
    """Options of `file`."""

    path: LocalPath
    """A .csv or .jsonl file with the columns feature and description, cluster or both."""
    only: dict[str, str] = Field(default_factory=dict)
    """Only rows with these values in these columns, such as { sae = "layer_12" }."""

    @field_validator("path")
    @classmethod
    def _known_form(cls, path: str) -> str:
        if not path.lower().endswith((".csv", ".jsonl")):
            raise ValueError(f"{path}: is neither .csv nor .jsonl. Write the labels as one of them")
        return path


def is_id(text: str) -> bool:
    """Whether a text is a Neuronpedia id, "model/source", and fit to be put into paths and URLs."""
    part = r"[A-Za-z0-9_][\w.-]*"
    return re.fullmatch(f"{part}/{part}", text, re.ASCII) is not None
