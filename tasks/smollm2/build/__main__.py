"""Build the SAEs and LoRAs of SmolLM2: `python tasks/smollm2/build --out FOLDER [--text FILES …]`.

Every step goes on where it stopped. First: `python tasks/smollm2/get --debian`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

STEPS = (
    "model", "text", "written", "safety", "python", "activations", "saes", "measure", "card",
)  # fmt: skip
HERE = Path(__file__).resolve().parent.parent


def part(text: str) -> tuple[int, int]:
    """`I/N` as two numbers: the I-th (from 0) of N processes."""
    number, of = map(int, text.split("/"))
    if not 0 <= number < of:
        raise ValueError
    return number, of


def sources(given: list[Path] | None, inputs: Path) -> list[Path]:
    """The text to train SAEs on: what was given, or what `get` left, the web's before Debian's."""
    if given:
        return given
    found = sorted((inputs / "text").glob("*.jsonl"))
    web = [inputs / "text" / name for name in ("c4_demo.json", "wiki_demo.txt")]
    return [*web, *(f for f in found if not f.stem.startswith("domain"))]


def main() -> None:
    """Run the steps in order; a step not asked for must have left its files in `--out`."""
    parser = argparse.ArgumentParser(prog="python tasks/smollm2/build", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--inputs", type=Path, default=HERE / "inputs", help="what `get` fetched")
    parser.add_argument("--text", type=Path, nargs="+", help="training text for the SAEs")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS), metavar="STEP",
                        help=f"steps to run, of {', '.join(STEPS)}")  # fmt: skip
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--part", type=part, default=(0, 1), metavar="I/N",
                        help="share activations or saes between N processes")  # fmt: skip
    arguments = parser.parse_args()
    files = sources(arguments.text, arguments.inputs)
    for file in [arguments.inputs / "heldout.jsonl", *files]:
        if not file.exists():
            sys.exit(f"{file}: there is no such file. Run python tasks/smollm2/get first, or name "
                     "other text with --text.")  # fmt: skip
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.path.append(str(HERE / "get"))
    import torch

    torch.set_num_threads(arguments.threads)
    from settings import FULL
    from steps import Build

    build = Build(FULL, arguments.inputs.resolve(), arguments.out.resolve(), arguments.part)
    for step in STEPS:
        if step in arguments.only:
            print(f"== {step}", flush=True)
            build.text(files) if step == "text" else getattr(build, step)()


if __name__ == "__main__":
    main()
