"""What a task may write of a judge behind a server. Imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Protocol

from pydantic import Field

from harness.contract import Transport

KeyVariable = Annotated[
    str | None,
    Field(
        description="Server: the environment variable that holds the key, where the server wants "
        "one."
    ),
    Transport(),
]
Timeout = Annotated[float, Field(gt=0, description="Server: seconds for one answer."), Transport()]
Retries = Annotated[
    int,
    Field(
        ge=0,
        description="Server: how often a request that failed is sent again, after longer and "
        "longer pauses.",
    ),
    Transport(),
]
Concurrency = Annotated[int, Field(description="Server: requests at a time."), Transport()]

PerMinute = Annotated[
    float | None,
    Field(
        gt=0,
        description="Server: the most requests that are begun in a minute, repeated ones included.",
    ),
    Transport(),
]


class ServerOptions(Protocol):
    """The options that say which server is asked, for which of its models, and how patiently.

    A class of options with these fields takes `ServerUrl` for the first and the types above for
    the last four: they change no answer, and their mark keeps them out of records and keys. It may
    have `requests_per_minute: PerMinute = None`, too.
    """

    @property
    def server(self) -> str | None:
        """Base URL of an OpenAI-compatible server; None where a model of the task judges."""

    @property
    def server_model(self) -> str | None:
        """The name under which it serves the model."""

    @property
    def api_key_variable(self) -> str | None:
        """The environment variable that holds the key, where the server wants one."""

    @property
    def timeout(self) -> float:
        """Seconds for one answer."""

    @property
    def retries(self) -> int:
        """How often a request that failed is sent again."""

    @property
    def concurrency(self) -> int:
        """Requests at a time."""

    @property
    def model_fields_set(self) -> set[str]:
        """The options that the task wrote."""


def check_server(options: ServerOptions, *needed: str) -> None:
    """Raises ValueError where a server lacks an option, or an option its server.

    Beside `server_model`, a server needs the options called `needed`, which are of no use without
    one.
    """
    needed = ("server_model", *needed)
    if options.server is not None:
        missing = [name for name in needed if not getattr(options, name)]
        if missing:
            raise ValueError(f"server needs {missing[0]}")
        return
    transport = ("api_key_variable", "timeout", "retries", "concurrency", "requests_per_minute")
    for name in (*needed, *transport):
        if name in options.model_fields_set:
            raise ValueError(f"{name} belongs to server, and there is none")
