"""Renders lm-eval's templates where they can read what they are given, and nothing else.

lm-eval renders the Jinja of a task's file as it stands. From any value there a path leads to
Python's modules, so a file without a line of Python could run whatever its author likes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from jinja2 import Environment
from jinja2.sandbox import ImmutableSandboxedEnvironment
from lm_eval import utils


def sandbox_of(theirs: Environment) -> ImmutableSandboxedEnvironment:
    """An environment that writes what `theirs` writes, and raises SecurityError where it reaches
    for what is inside Python."""
    safe = ImmutableSandboxedEnvironment(
        loader=theirs.loader,
        undefined=theirs.undefined,
        keep_trailing_newline=theirs.keep_trailing_newline,
    )
    safe.filters.update(theirs.filters)
    safe.tests.update(theirs.tests)
    return safe


@contextmanager
def sandboxed() -> Iterator[None]:
    """In the block, all templates of lm-eval's tasks are rendered in a sandbox."""
    theirs = utils.env
    utils.env = sandbox_of(theirs)
    try:
        yield
    finally:
        utils.env = theirs
