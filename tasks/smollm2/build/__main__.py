"""Build the SAEs and LoRAs of SmolLM2: `python tasks/smollm2/build --out FOLDER [--text FILES …]`.

Every step goes on where it stopped. First: `python tasks/smollm2/get --debian`.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import NoReturn

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


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage above it."""

    def error(self, message: str) -> NoReturn:
        """End with the message."""
        self.exit(2, f"{message}. See python tasks/smollm2/build --help.\n")


def threads(text: str) -> int:
    """A number of threads."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def sources(given: list[Path] | None, inputs: Path) -> list[Path]:
    """The text to train SAEs on: what was given, or what `get` left, the web's before Debian's."""
    if given:
        return given
    found = sorted((inputs / "text").glob("*.jsonl"))
    web = [inputs / "text" / name for name in ("c4_demo.json", "wiki_demo.txt")]
    return [*web, *(f for f in found if not f.stem.startswith("domain"))]


def main() -> None:
    """Run the steps in order; a step not asked for must have left its files in `--out`."""
    parser = Parser(prog="python tasks/smollm2/build", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--inputs", type=Path, default=HERE / "inputs", help="what `get` fetched")
    parser.add_argument("--text", type=Path, nargs="+", help="training text for the SAEs")
    parser.add_argument("--only", nargs="+", choices=STEPS, default=list(STEPS), metavar="STEP",
                        help=f"steps to run, of {', '.join(STEPS)}")  # fmt: skip
    parser.add_argument("--threads", type=threads, default=os.cpu_count() or 1)
    parser.add_argument("--part", type=part, default=(0, 1), metavar="I/N",
                        help="share activations or saes between N processes")  # fmt: skip
    arguments = parser.parse_args()
    files = sources(arguments.text, arguments.inputs)
    sys.path.append(str(HERE / "get"))
    from needs import problem
    from sources import GGUF_SHA256

    wrong = problem(arguments.only, files, arguments.inputs, arguments.out, GGUF_SHA256)
    if wrong:
        sys.exit(wrong)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    torch.set_num_threads(arguments.threads)
    from settings import FULL
    from steps import Build

    build = Build(FULL, arguments.inputs.resolve(), arguments.out.resolve(), arguments.part)
    for step in STEPS:
        if step in arguments.only:
            print(f"== {step}", flush=True)
            try:
                build.text(files) if step == "text" else getattr(build, step)()
            except ValueError as error:
                if step != "text":
                    raise
                sys.exit(str(error))  # a row of the given text, which names itself
            except ImportError as error:
                sys.exit(f"{step}: a package is missing: {str(error).strip().splitlines()[0]}")


if __name__ == "__main__":
    main()
