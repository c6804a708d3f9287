"""Whatever a task of lm-eval raises, as an error for people that names the task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from harness.errors import DataError, HarnessError, MachineError


@contextmanager
def blamed(name: str, what: str) -> Iterator[None]:
    """Turns what is raised inside into `fault`; the harness's own errors pass as they are."""
    try:
        yield
    except HarnessError:
        raise
    except Exception as error:
        raise fault(name, error, what) from error


def fault(name: str, error: Exception, what: str) -> HarnessError:
    """The error that says which task is at fault and why; MachineError where the network is."""
    lines = str(error).strip().splitlines()
    why = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    if any(kind.__name__.startswith(("Connect", "OfflineMode")) for kind in type(error).__mro__):
        return MachineError(
            f"lm-eval task {name}: its data cannot be fetched ({why}). Connect, or name a local "
            "copy with data_dir, and run the same command again."
        )
    return DataError(f"lm-eval task {name}: {what} ({why}). Mend the task, or leave it out.")
