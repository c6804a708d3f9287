"""The light half of every component: the options that a task writes, without torch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict

from harness.contract.sites import parse_site


@dataclass(frozen=True)
class Ref:
    """Marks an options field as the name of an entry of one of the task's tables."""

    table: str


@dataclass(frozen=True)
class Place:
    """Marks an options field as a path beside its task file or, with `hub`, a hub id."""

    hub: bool = False


def _site_text(text: str) -> str:
    parse_site(text)
    return text


def _server_base(text: str) -> str:
    """The address without endpoint and version, which the client adds."""
    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        fine = False
    if not fine or re.search(r"[^!-~]", text):
        raise ValueError('must be a URL such as "http://localhost:8000"')
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be a URL without key, query or fragment; see api_key_variable")
    base = text.rstrip("/").removesuffix("/completions").removesuffix("/chat")
    return base.removesuffix("/v1")


ModelRef = Annotated[str, Ref("models")]
ViewRef = Annotated[str, Ref("views")]
SaeRef = Annotated[str, Ref("saes")]
DataRef = Annotated[str, Ref("data")]
DirectionRef = Annotated[str, Ref("directions")]
PairRef = Annotated[str, Ref("pairs")]
StatisticRef = Annotated[str, Ref("statistics")]
LabelsRef = Annotated[str, Ref("labels")]
Location = Annotated[str, Place(hub=True)]
LocalPath = Annotated[str, Place()]
ServerUrl = Annotated[str, AfterValidator(_server_base)]
"""The address of an OpenAI-compatible server, without the path of an endpoint."""
SiteName = Annotated[str, AfterValidator(_site_text)]


class Options(BaseModel):
    """What a task writes for a component; unknown keys are errors; every field has a docstring."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
