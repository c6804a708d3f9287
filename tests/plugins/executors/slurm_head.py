"""A head in a process of its own, to be killed: `slurm_head.py OPTIONS FOLDER PARTS`, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import slurm_maker as maker

from harness_executors.options import SlurmOptions
from harness_executors.slurm_jobs import Slurm


def main(options: str, folder: str, parts: str) -> None:
    said: list[str] = []
    home = Path(folder)
    with Slurm(SlurmOptions(**json.loads(options))).crew(maker.outfit(home, said)) as crew:
        told = [json.dumps(part).encode() for part in json.loads(parts)]
        for reply in crew.compute(maker.shared(home), told):
            print(reply.part, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
