"""Why a worker of `ray` ended, in plain words. Imports ray."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ray import exceptions

from harness.text import for_terminal


@dataclass(frozen=True)
class Reason:
    """Why something ended."""

    why: str
    """As the end of a sentence: `its node is gone`."""
    advice: str = ""
    """What to do if it happens again; begins with a blank."""
    innocent: bool = False
    """Whether the place is at fault, and what ran there is not."""


_MEMORY = " Fewer workers on a node (more `cpus` or `gpus` for each) leave more memory to each."
_KNOWN = (
    (r"NODE_OUT_OF_MEMORY|running low on memory", "its node ran out of memory", _MEMORY),
    (r"ray\.kill|INTENDED_USER_EXIT", "somebody stopped it", ""),
    (
        r"SYSTEM_ERROR|worker process has died",
        "its process ended without a word (a crash, or killed for the memory that it took)",
        _MEMORY,
    ),
    (r"OutOfDisk|disk", "its node has no room left on disk", " Make room under Ray's folder."),
)
"""What Ray's text has in it, what that means, what to do. The first that fits counts: Ray mentions
an OOM killer in its text on every crash, too."""


def reason(error: BaseException) -> Reason:
    """Of an error that Ray raised for something that was asked of an actor."""
    if isinstance(error, exceptions.RayTaskError):
        lines = str(getattr(error, "cause", None) or error).strip().splitlines() or ["?"]
        kind = type(getattr(error, "cause", error)).__name__
        return Reason(f"it raised {kind}: {for_terminal(lines[-1])}")
    if isinstance(error, exceptions.OutOfMemoryError):
        return Reason("its node ran out of memory", _MEMORY)
    if isinstance(error, exceptions.ActorUnavailableError):
        return Reason("it cannot be reached any more")
    if isinstance(error, exceptions.ObjectLostError):
        return Reason("what it had computed was lost on the way, probably with its node")
    text = str(error)
    if getattr(error, "preempted", False):
        return Reason("its node was preempted", innocent=True)
    if isinstance(error, exceptions.NodeDiedError) or "node has died" in text:
        return Reason("its node is gone", innocent=True)
    for pattern, why, advice in _KNOWN:
        if re.search(pattern, text):
            return Reason(why, advice)
    return Reason(for_terminal(" ".join(text.split())) or type(error).__name__)
