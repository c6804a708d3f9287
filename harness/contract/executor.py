"""Executors: who computes the parts of a run, and where.

A run is cut into parts: shards of documents, batches of completions, completions to be judged, arms
of a benchmark. The process that was started, the *head*, makes the parts, puts together what comes
back, and writes all files. An executor has *workers* and moves bytes: it starts workers wherever
it can, hands each one part at a time, and gives back the replies. It knows no model and no number.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Protocol, cast, runtime_checkable

from pydantic import Field

from harness.contract.options import Options


class ExecutorOptions(Options):
    """Base of an executor's options: the keys of `[executor]` beside `method`."""

    local: ClassVar[bool] = False
    """Whether all workers are on the machine of the head and share its memory and its devices, and
    the head is one of them."""

    workers: Annotated[int | None, Field(ge=1, le=4096)] = None
    """How many workers; without it, as many as the executor finds places for."""

    def size(self) -> int | None:
        """How many workers there will be, for a plan; None where only the place can tell."""
        return self.workers


@runtime_checkable
class Worker(Protocol):
    """Computes parts, one at a time, and keeps the models that they needed."""

    def work(self, shared: bytes, part: bytes) -> bytes:
        """The reply to one part. `shared` is what the parts of one call of `Crew.compute` have in
        common; the same bytes again cost nothing.

        Never raises: what went wrong is in the reply, and the head raises it.
        """


def start_worker(text: str) -> Worker:
    """A worker of this process, from the `text` of an `Outfit`. Imports torch.

    Never raises: a worker that cannot be (another version of a package, a plugin that is missing)
    says so in each of its replies.
    """
    module, _, name = str(json.loads(text)["maker"]).partition(":")
    maker = cast(Callable[[str], Worker], getattr(importlib.import_module(module), name))
    return maker(text)


@dataclass(frozen=True)
class Outfit:
    """What an executor gets to make workers of."""

    text: str
    """What `start_worker` needs in any process in which the same packages are installed."""
    here: Worker
    """The worker of the head's own process, which has the models that the head has loaded. An
    executor need not use it."""
    folder: Path
    """A folder of the run for the executor's own files; it may not be there yet. What it keeps
    there is there again when a run that was cut off goes on."""
    say: Callable[[str], None]
    """Shows one line to whoever started the run, such as that a worker was lost. May be called from
    any thread."""


@dataclass(frozen=True)
class Reply:
    """What came back for one part."""

    part: int
    """Its number: the parts of one call are counted from 0."""
    worker: str
    """Who computed it, such as `gpu-node-3/1`."""
    content: bytes
    """What `Worker.work` gave back."""


@runtime_checkable
class Crew(Protocol):
    """The workers of an executor, while a run goes on."""

    @property
    def size(self) -> int:
        """How many workers there are, at least 1."""

    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        """Has every part computed; yields each reply once, in any order, as soon as it is there.

        Parts are taken from `parts` in order, in the caller's thread, when somebody is there to
        compute them: there may be more than fit in memory. The head calls this again and again,
        never twice at a time, and may stop taking replies early: no part of that call is begun
        after the generator is closed, and what comes back of those at hand is dropped.

        A worker that ends without a reply is replaced, and its part given to another one. Raises
        MachineError where workers keep ending, and UsageError where none can be started.
        """


@runtime_checkable
class Executor(Protocol):
    """Starts workers. Built as `Class(options)`."""

    def crew(self, outfit: Outfit) -> AbstractContextManager[Crew]:
        """The workers of one run; they are gone when the block is left, however that happens.

        Raises UsageError where there is no place for them: no cluster at the address, a site's
        limit. The message says what is wrong, what is allowed, and what to do.
        """
