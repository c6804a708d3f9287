"""The executor `ray`: workers are actors on a Ray cluster, or on one that it starts here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.contract import Crew, Outfit
from harness_executors.options import RayOptions
from harness_executors.ray_connection import connected
from harness_executors.ray_crew import RayCrew


def most_taken(workers: int) -> int:
    """How many parts may have been taken whose replies were not used: two for each worker."""
    return 2 * workers


class Ray:
    """Workers are actors that stay until the end of the run, and keep their models.

    They are none of Ray's detached actors: when the head ends, however that happens, Ray ends them.
    Source: docs.ray.io, "Actors"; tried with Ray 2.60.
    """

    def __init__(self, options: RayOptions) -> None:
        self._options = options

    @contextmanager
    def crew(self, outfit: Outfit) -> Iterator[Crew]:
        """Connects or starts a cluster, and asks it for workers."""
        with connected(self._options.address, outfit.say) as link:
            # A cluster of our own has what this process imports, from wherever that is. In another
            # one, the folders of this machine mean nothing.
            path = [str(Path(folder).absolute()) for folder in sys.path] if link.own else []
            crew = RayCrew(self._options, outfit, link, path)
            try:
                crew.wait_for_room()
                yield crew
            finally:
                crew.close()
