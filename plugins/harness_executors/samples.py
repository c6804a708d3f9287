"""What `harness plugins check` tries the executors on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.testing import check_executor
from harness_executors.local import Local, most_taken
from harness_executors.options import LocalOptions, RayOptions, SlurmOptions

Samples = Iterator[partial[None]]


def local(folder: Path) -> Samples:
    """The head alone, and with one and two others: they share whatever there is."""
    for workers in (1, 2, 3):
        place = folder / str(workers)
        place.mkdir()
        ahead = most_taken(workers)
        yield partial(check_executor, Local, LocalOptions(workers=workers), place, ahead=ahead)


def ray(folder: Path) -> Samples:
    """Two workers on a cluster of their own, with half a CPU each: they fit on every machine."""
    from harness_executors.ray_cluster import Ray, most_taken

    options = RayOptions(address="local", workers=2, cpus=0.5, gpus=0)
    yield partial(check_executor, Ray, options, folder, ahead=most_taken(2))


def slurm(folder: Path) -> Samples:
    """Jobs as processes of this machine: on a cluster, the commands of SLURM are called instead."""
    from harness_executors.slurm_jobs import Slurm, most_taken

    options = SlurmOptions(workers=2, cluster="local", gpus=0, ask_every=0.2)
    yield partial(check_executor, Slurm, options, folder, ahead=most_taken(2))
