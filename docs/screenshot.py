"""Makes the picture of the README from the report of a real run.

    harness eval refusal --out runs/refusal
    python docs/screenshot.py runs/refusal

Needs Chromium on the path. Before the picture is taken, the page is opened and checked: figures
are drawn, nothing is wider than a phone, and markup that would have escaped us does not run.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from harness.registry import discover
from harness.report import write_report

PICTURE = Path(__file__).with_name("report.png")
MOST = 300_000
WIDTH, HEIGHT = 1280, 1230
PHONE = 390
LARGEST = 2_000_000
"""Bytes of a page that has no figure of a stranger."""
_RAN = "document.documentElement.setAttribute('data-ran', 'yes')"
_INJECTED = f'<script>{_RAN}</script><img src="x" onerror="{_RAN}"><svg onload="{_RAN}"></svg>'


def main() -> int:
    """Writes `report.png` beside this file; 1 where a check fails."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="The folder of a run.")
    report = write_report(parser.parse_args().run, discover()).resolve()
    problems = check(report)
    chromium(report, f"--screenshot={PICTURE}", f"--window-size={WIDTH},{HEIGHT}")
    size = PICTURE.stat().st_size
    if size > MOST:
        problems.append(f"{PICTURE} has {size} bytes, more than {MOST}")
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    sys.stdout.write(f"{PICTURE}: {size} bytes\n")
    return 1 if problems else 0


def check(report: Path) -> list[str]:
    """What is wrong with the page as a browser shows it."""
    text = report.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        return [
            *_figures(text, report), *_injection(text, Path(folder)), *_width(text, Path(folder)),
            *_size(text),
        ]  # fmt: skip


def _size(text: str) -> list[str]:
    size = len(text.encode("utf-8"))
    return [f"the page has {size} bytes, more than {LARGEST}"] if size > LARGEST else []


def _figures(text: str, report: Path) -> list[str]:
    figures = text.count('<figure class="chart">')
    shown = chromium(report, "--dump-dom")
    # Our own are in the page; the script that says their values has put a tip into each.
    drawn = shown.count('class="tip"') + shown.count('class="plot js-plotly-plot"')
    return [] if drawn == figures else [f"{drawn} of {figures} figures were drawn"]


def _injection(text: str, folder: Path) -> list[str]:
    """Markup that escaping let through does not run; without the policy it does, so we'd see."""
    problems = []
    hole = text.replace("<h1>", f"<h1>{_INJECTED}", 1)
    for name, page, runs in (("guarded", hole, False), ("control", _without_policy(hole), True)):
        file = folder / f"{name}.html"
        file.write_text(page, encoding="utf-8")
        start = chromium(file, "--dump-dom")[:500]
        if ('data-ran="yes"' in start) is not runs:
            problems.append(f"injected markup ran: {not runs} in the {name} page")
    return problems


def _width(text: str, folder: Path) -> list[str]:
    """The page in a frame as wide as a phone: Chromium's own window cannot be that narrow."""
    told = "parent.postMessage(document.documentElement.scrollWidth, '*')"
    last = f"<script>addEventListener('load', () => setTimeout(() => {told}, 500))</script></body>"
    page = _without_policy(text).replace("</body>", last)
    (folder / "page.html").write_text(page, encoding="utf-8")
    frame = folder / "frame.html"
    frame.write_text(
        f'<!doctype html><iframe src="page.html" style="width:{PHONE}px;height:900px;border:0">'
        "</iframe><script>addEventListener('message', event => "
        "document.documentElement.setAttribute('data-wide', event.data))</script>",
        encoding="utf-8",
    )
    found = re.search(r'data-wide="(\d+)"', chromium(frame, "--dump-dom"))
    if found is None or int(found[1]) > PHONE:
        return [f"on a phone of {PHONE} pixels the page is {found and found[1]} wide"]
    return []


def _without_policy(text: str) -> str:
    return re.sub(r"<meta http-equiv=[^>]*>", "", text, count=1)


def chromium(page: Path, *options: str) -> str:
    """Runs Chromium on a page, without a window, a profile or a network; returns what it prints."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("Chromium is not on the path. Install it: apt-get install chromium.")
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
                 "--disable-background-networking", "--disable-component-update",
                 "--hide-scrollbars", f"--user-data-dir={profile}",
                 "--virtual-time-budget=8000"]  # fmt: skip
        done = subprocess.run([browser, *flags, *options, page.as_uri()], capture_output=True,
                              text=True, timeout=120, check=True)  # fmt: skip
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
