"""Makes the pictures of the docs: screens of runs as SVG, and their pages as PNG.

    python docs/pictures.py RUN... --to docs/pictures

For each RUN: the terminal at 80 and 120 columns (as text and as SVG), and, where a Chromium is
installed, the top of its page at 1,400 and 400 pixels.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from harness.registry import discover
from harness.report import write_report
from harness.report.screen import LINES, Footer, show_answer
from harness.results import load_results

COLUMNS = (80, 120)
PIXELS = ((1400, 1500), (400, 1500))
"""Widths and heights of the pictures of pages."""


def screens(run: Path, out: Path) -> None:
    """The answer of a run as a terminal shows it; fails where it is longer or wider."""
    footer = Footer(files=(f"Report: runs/{run.name}/report.html",))
    for columns in COLUMNS:
        console = Console(width=columns, record=True, file=io.StringIO(), force_terminal=True)
        show_answer(load_results(run), console, footer)
        text = console.export_text(clear=False)
        lines = text.rstrip("\n").split("\n")
        if len(lines) > LINES or max(map(len, lines)) > columns:
            sys.exit(f"{run}: {len(lines)} lines of {max(map(len, lines))} columns at {columns}.")
        name = f"{run.name}-{columns}"
        (out / f"{name}.txt").write_text(text, encoding="utf-8")
        console.save_svg(str(out / f"{name}.svg"), title=f"harness report {run.name}")


def pages(run: Path, out: Path, chromium: str) -> None:
    """The page of a run, written anew, as a browser of each width shows its top."""
    page = write_report(run, discover()).resolve()
    for width, height in PIXELS:
        picture = (out / f"{run.name}-{width}px.png").resolve()
        command = [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--window-size={width},{height}", "--virtual-time-budget=6000",
            f"--screenshot={picture}", page.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=300)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--to", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--chromium", default="/usr/bin/chromium", help="'' makes screens alone.")
    given = parser.parse_args()
    given.to.mkdir(parents=True, exist_ok=True)
    for run in given.runs:
        screens(run, given.to)
        if given.chromium:
            pages(run, given.to, given.chromium)


if __name__ == "__main__":
    main()
