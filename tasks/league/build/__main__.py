"""Build the league's models: `python tasks/league/build [NAME …] [--out DIR] [--saes]`.

A NAME is a kind (`trigger`) or a model (`trigger-1`); without one, all are built. What is there
already stays: delete a model's folder to have it built again.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
LEAGUE = HERE.parent
ORGANISM = LEAGUE.parent / "organism"


def main() -> None:
    """Build what is asked for, one model after the other, then the card."""
    sys.path.append(str(ORGANISM / "build"))
    from strengths import SEEDS
    from truth import KINDS

    models = [f"{kind}-{seed}" for kind in KINDS for seed in SEEDS]
    parser = argparse.ArgumentParser(prog="python tasks/league/build", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all without one")
    parser.add_argument("--out", type=Path, default=LEAGUE, help="folder to write to")
    parser.add_argument("--saes", action="store_true",
                        help="train SAEs of each with its base, into saes/")  # fmt: skip
    parser.add_argument("--measure", action="store_true", help="measure again what is there")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - {*KINDS, *models}):
        allowed = f"{', '.join(KINDS)}, each with -0, -1 or -2 for one model"
        parser.error(f"{', '.join(unknown)}: no such model. Allowed: {allowed}.")

    # Nothing here needs the network, and a stale hub setting must not make it try.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    torch.set_num_threads(arguments.threads)
    from building import Build

    asked = arguments.names or list(KINDS)
    chosen = [name for name in models if name in asked or name.rpartition("-")[0] in asked]
    build = Build(ORGANISM, arguments.out.resolve())
    if arguments.saes:
        build.saes(chosen)
        return
    if arguments.measure:
        build.measure(chosen)
    else:
        build.organisms(chosen)
    build.card()


if __name__ == "__main__":
    main()
