"""Options: what a task may write for a component. The base of every kind's, and field types.

The core reads the table of a task into the options, checks that what it names exists, and hands
them to the object. A field that names something else of the task is typed as a reference
(`view: ViewRef`); one that names files is a `LocalPath` or a `Location`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from harness.contract.capabilities import WRITES, Capability
from harness.contract.described import Described, fields_of
from harness.contract.sites import parse_site


@dataclass(frozen=True)
class Ref:
    """Marks a field as the name of an entry of a table of the task.

    `check` says where there is no such entry, and a run makes that entry first. Most have a type
    of their own (`ViewRef`); for other tables: `Annotated[str, Ref("evaluators")]`.
    """

    table: str
    """The table, such as `views` for `[views.NAME]`."""


@dataclass(frozen=True)
class Place:
    """Marks a field as a path of files. The core makes it absolute before anyone reads it: a
    relative path starts at the folder of the task file that wrote it."""

    hub: bool = False
    """Whether a hub id (`owner/name`) is allowed too; what is no file beside the task is one."""


@dataclass(frozen=True)
class Transport:
    """Marks a field that says how something is reached and never what comes out of it: an address,
    seconds to wait, how often to try again, the name of a key's variable.

    Options leave such fields out wherever they are dumped, so they are neither part of a record
    nor of the key of anything that is remembered. What is asked for stays in: the name of the
    model that a server has, the template, the length of an answer.
    """


@dataclass(frozen=True)
class ByHand:
    """Marks a field of an executor that decides whose code runs in this process, or where ours
    goes: a task file, which may come from anybody, must not say it. A person says it on the command
    line, in a call, or in their configuration file."""

    harmless: tuple[str, ...] = ()
    """Values that a task file may write all the same."""


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
ServerUrl = Annotated[str, AfterValidator(_server_base), Transport()]
"""The address of an OpenAI-compatible server: `http://localhost:8000`. The path of an endpoint
(`/v1/chat/completions`) may be written and is taken off. No part of a number: see `Transport`."""
SiteName = Annotated[str, AfterValidator(_site_text)]
"""The name of a site, such as `resid_post.15`; `parse_site` makes a `Site` of it."""


class Options(Described):
    """The base of all options: a frozen pydantic model whose fields are keys of the task.

    Unknown keys, NaN and infinity are errors. Each field has a docstring below it, with its unit:
    `harness plugins NAME`, the JSON Schema and the documentation show it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model_needs: ClassVar[frozenset[Capability]] = WRITES
    """What the models that it names (fields of type `ModelRef`) must offer; `check` refuses others.
    By default they are asked for completions."""

    @model_serializer(mode="wrap")
    def _what_counts(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        left_out = transport_fields(type(self))
        return {name: value for name, value in dump(self).items() if name not in left_out}


@cache
def transport_fields(options: type[Options]) -> frozenset[str]:
    """The fields of these options that bear the mark `Transport`, also inside `X | None`."""
    return frozenset(
        name
        for name, field in fields_of(options).items()
        if any(isinstance(m, Transport) for m in (*field.metadata, *_marks(field.annotation)))
    )


def reached_elsewhere(options: Options) -> bool:
    """Whether a field that bears the mark `Transport` was written in the task."""
    return bool(transport_fields(type(options)) & options.model_fields_set)


def _marks(annotation: object) -> Iterator[object]:
    """What stands in `Annotated` anywhere in a type."""
    yield from getattr(annotation, "__metadata__", ())
    for inner in get_args(annotation):
        yield from _marks(inner)
