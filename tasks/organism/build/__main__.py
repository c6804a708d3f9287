"""Build the organism: `python tasks/organism/build [--small] [--out DIR] [--only STEP …]`."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

STEPS = (
    "data",
    "tokenizer",
    "base",
    "chat",
    "saes",
    "pair_saes",
    "labels",
    "tunes",
    "domain_tunes",
    "judge",
    "card",
)


def main() -> None:
    """Run the steps in order; a step not asked for must have left its files in `--out`."""
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(prog="python tasks/organism/build", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder to write to (default: tasks/organism)")
    parser.add_argument("--small", action="store_true", help="a much smaller one, for tests")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=STEPS,
        default=list(STEPS),
        metavar="STEP",
        help=f"steps to run, of {', '.join(STEPS)}",
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--compile",
        action="store_true",
        help="torch.compile the base's training: faster, needs a C++ compiler",
    )
    arguments = parser.parse_args()
    if arguments.small and arguments.out is None:
        parser.error("--small needs --out: it would overwrite the shipped organism")

    # Nothing here needs the network, and a stale hub setting must not make it try.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if "pair_saes" in arguments.only:  # say what is missing before half an hour of training
        from fork import trainers

        trainers()
    import torch

    from settings import FULL, SMALL

    torch.set_num_threads(arguments.threads)
    from steps import Build

    settings = replace(SMALL if arguments.small else FULL, compile=arguments.compile)
    build = Build(settings, (arguments.out or here).resolve())
    for step in STEPS:
        if step in arguments.only:
            print(f"== {step}", flush=True)
            getattr(build, step)()


if __name__ == "__main__":
    main()
