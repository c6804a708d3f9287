"""How the processes of one machine divide its devices and its cores."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS = "OMP_NUM_THREADS"


@dataclass(frozen=True)
class Share:
    """What one process gets."""

    devices: tuple[str, ...] = ()
    """CUDA devices, as `CUDA_VISIBLE_DEVICES` names them; none where there are none."""
    threads: int | None = None
    """Threads of its products; None where the person has set `OMP_NUM_THREADS`."""

    def variables(self) -> dict[str, str]:
        """What a process with this share finds in its environment, beside what is there."""
        found = {VISIBLE: ",".join(self.devices)} if self.devices else {}
        return found if self.threads is None else {**found, THREADS: str(self.threads)}


def shares(devices: Sequence[str], workers: int, threads: int | None) -> tuple[Share, ...]:
    """One share for each worker, the head's first.

    With more devices than workers each gets several, side by side, so that a model that is larger
    than a device can be spread over them; with fewer they take turns. `threads` are those of all.
    """
    each = None if threads is None else max(1, threads // workers)
    many = len(devices)
    return tuple(
        Share(tuple(devices[number * many // workers : (number + 1) * many // workers]), each)
        if workers <= many
        else Share((devices[number % many],) if many else (), each)
        for number in range(workers)
    )


def named_devices(preset: str | None, count: int) -> tuple[str, ...]:
    """The names of the CUDA devices of this process, from `CUDA_VISIBLE_DEVICES` and how many CUDA
    sees. Of MIG slices it sees the first only, and each process can have one of its own."""
    if not count:
        return ()
    if preset is None:
        return tuple(map(str, range(count)))
    names = tuple(name for one in preset.split(",") if (name := one.strip()))
    return names if all(name.startswith("MIG-") for name in names) else names[:count]


def cuda_devices() -> tuple[str, ...]:
    """Those of this process. Imports torch, but wakes no device."""
    import torch

    return named_devices(os.environ.get(VISIBLE), torch.cuda.device_count())


def may_have_devices() -> bool:
    """Whether there could be CUDA or ROCm devices, asked of the disk alone: torch says it for sure,
    and takes seconds to import."""
    files = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")
    return sys.platform == "win32" or any(Path(file).exists() for file in files)


def cores() -> int:
    """How many cores this process may use."""
    given = getattr(os, "sched_getaffinity", None)
    return len(given(0)) if given is not None else os.cpu_count() or 1


def threads_here() -> int | None:
    """The threads of torch in this process; None where `OMP_NUM_THREADS` is set."""
    if THREADS in os.environ:
        return None
    import torch

    return torch.get_num_threads()


@contextmanager
def kept_to(share: Share, all_devices: Sequence[str]) -> Iterator[bool]:
    """A block in which this process uses its share alone. Yields whether it can: once CUDA is
    awake, devices stay visible."""
    import torch

    before = torch.get_num_threads()
    narrowed = len(share.devices) < len(all_devices)
    able = not narrowed or not torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    variables: Mapping[str, str] = share.variables() if narrowed and able else {}
    old = os.environ.get(VISIBLE)
    if VISIBLE in variables:
        os.environ[VISIBLE] = variables[VISIBLE]
    if share.threads is not None:
        torch.set_num_threads(share.threads)
    try:
        yield able
    finally:
        torch.set_num_threads(before)
        if VISIBLE in variables:
            if old is None:
                del os.environ[VISIBLE]
            else:
                os.environ[VISIBLE] = old
