"""One prompt of each view, made before any model is loaded: what a chat template refuses is found
before hours were spent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.errors import DataError, ModelError
from harness.planning.offline import NoTokenizer, is_here, prompts_of
from harness.planning.words import split_words
from harness.task.causes import Misfit, merged
from harness.task.prompts import FirstRows

if TYPE_CHECKING:
    from harness.contract import PromptPart
    from harness.errors import Problem
    from harness.planning.plan import Plan
    from harness.task.prompts import Prompts, Written


def unwritable(planned: Plan) -> Iterator[Problem]:
    """Views that make no prompt of the first row of data that they read, as problems.

    Where the task leaves out such rows (`on_bad_rows = "skip"`), one of the first rows must do.
    A view that cannot write several data sets is one problem, and so are rows that several views
    cannot write. So is a word that must be one token and is not. Silent where data or tokenizers
    are not here.
    """
    for one in merged([*_unwritable(planned), *split_words(planned)]):
        yield planned.task.source.problem(one.at, one.what)


def _unwritable(planned: Plan) -> Iterator[Misfit]:
    data = FirstRows(planned.task.spec, Path())
    prompts = prompts_of(planned.task, data)
    causes: dict[tuple[str, str], int] = {}
    for number, reading in enumerate(_read(planned)):
        views, name = reading.views, reading.data
        if not all(is_here(planned.task, view, name) for view in views):
            continue
        skip = planned.task.spec.data[name].on_bad_rows == "skip"
        tried = len(next(data.chunks(name), [])) if skip else 1
        try:
            next(
                reading.of(prompts, tried),
                None,
            )
        except NoTokenizer:
            continue
        except (DataError, ModelError):
            if skip and tried < data.count(name):
                continue  # a later row may do
            # All rows now, so that the error says how many there are.
            try:
                deque(
                    reading.of(prompts),
                    maxlen=0,
                )
            except (DataError, ModelError) as error:
                # Of a pair, either view may be the one that makes none.
                at = next(
                    (one for one in views if str(error).startswith(f"views.{one}: ")), views[0]
                )
                what = str(error).removeprefix(f"views.{at}: ")
                cause = causes.get(("view", at), causes.get(("data", name), number))
                causes |= {("view", at): cause, ("data", name): cause}
                yield Misfit(_key(at), what, cause)


def _key(view: str) -> tuple[str, ...]:
    """Where a task says how a view writes; `@model` is the plain view of a model."""
    return ("models", view[1:]) if view.startswith("@") else ("views", view, "prompt")


class _Reading(NamedTuple):
    """Some data that the run reads, and which prompts it asks for."""

    views: tuple[str, ...]
    """The views that read the rows together."""
    data: str
    query: bool = False
    """Whether it asks for the place of the query, too."""
    answered: bool = False
    """Whether the prompts are answered."""
    places: tuple[PromptPart, ...] = ()
    """What else must be told of where it stands in a prompt."""

    def of(self, prompts: Prompts, limit: int | None = None) -> Iterator[Written]:
        """The prompts of the first rows."""
        return prompts.chunks(
            self.views,
            self.data,
            limit,
            query=self.query,
            answered=self.answered,
            places=self.places,
        )


def _read(planned: Plan) -> Iterator[_Reading]:
    """What the run reads, each once."""
    found: dict[_Reading, None] = {}
    for work in (planned.preflight, *planned.passes):
        for one in work.renderings():
            spans = one.right is not None
            found[_Reading(one.views, one.data, query=spans, places=one.places)] = None
    for generation in planned.generations:
        spec = planned.task.spec.experiments[generation.experiment]
        if spec.data is not None:
            found[_Reading((spec.view,), spec.data, answered=True)] = None
    yield from found
