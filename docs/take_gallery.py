"""Puts finished runs into the gallery: their records, tables and the figures that its page shows.

    harness eval tasks/smollm2/refusal.toml --out runs/smollm2-refusal
    python docs/take_gallery.py runs/smollm2-refusal
    python docs/build.py

Completions stay outside: they are answers to harmful prompts. Paths become relative.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
import tempfile
from pathlib import Path

from harness.export.export import export_run, read_run
from harness.registry import discover

HERE = Path(__file__).parent
RUNS = HERE / "gallery"
INPUTS = HERE.parent / "tasks" / "smollm2" / "inputs"  # may be a link
TEXT = HERE / "generator" / "gallery.md"
_FIGURE = re.compile(r"gallery/([\w-]+)/([\w.-]+\.svg)")


def main() -> None:
    """Takes each run that is named, under the name of its task."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", type=Path, nargs="+", help="Folders of finished runs.")
    for run in parser.parse_args().runs:
        sys.stdout.write(f"{take(run).relative_to(HERE.parent)}\n")


def take(run: Path) -> Path:
    """Copies what the gallery keeps of a run, and draws its figures; returns the new folder."""
    text = (run / "results.json").read_text(encoding="utf-8")
    folder = RUNS / json.loads(text)["task"]["name"]
    if folder.resolve() != run.resolve():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        text = text.replace(str(INPUTS.resolve()), "tasks/smollm2/inputs")
        text = re.sub(r'"[^"]*?/(?=tasks/smollm2/)', '"', text)
        (folder / "results.json").write_text(text, encoding="utf-8")
        if (run / "tables").is_dir():
            shutil.copytree(run / "tables", folder / "tables")
    draw(folder)
    return folder


def draw(folder: Path) -> None:
    """Writes the figures of a folder of the gallery that the page shows."""
    shown = {file for name, file in _FIGURE.findall(TEXT.read_text(encoding="utf-8"))
             if name == folder.name}  # fmt: skip
    with tempfile.TemporaryDirectory() as drawn:
        registry = discover()
        export_run(read_run(folder, registry), registry.find("export", "figures"), Path(drawn))
        missing = shown - {file.name for file in Path(drawn).glob("*.svg")}
        if missing:
            raise SystemExit(f"{folder.name} has no figure {', '.join(sorted(missing))}")
        for old in folder.glob("*.svg"):
            old.unlink()
        for name in shown:
            shutil.copy(Path(drawn) / name, folder / name)


if __name__ == "__main__":
    main()
