"""Opens pages in a browser where one is installed, and says what ran in them."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--virtual-time-budget=4000", "--dump-dom",
)  # fmt: skip
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')


_TITLE = re.compile(r"<title>[^<]*</title>")
_SCRIPT = re.compile(r"<script>.*?</script>", re.DOTALL)
QUIET = "nothing ran"
"""The title of a page in which nothing runs but what draws figures."""


def browser() -> str | None:
    """The command of a browser, or None."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


def ran(pages: Sequence[str], folder: Path, proxy: str) -> str:
    """The title of some pages, one below the other, once all has run that runs in them: `QUIET`
    where nothing has changed it.

    They are opened without the policy that they give themselves, so that what is escaped is all
    that protects them. Every address that they ask for is asked of `proxy`.
    """
    command = browser()
    assert command is not None
    file = folder / "opened.html"
    shown = "\n".join(_TITLE.sub("", _POLICY.sub("", page)) for page in _once(pages))
    head = f"<!doctype html><meta charset=utf-8><title>{QUIET}</title>"
    file.write_text(f"{head}{shown}", encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=folder) as profile:
        done = subprocess.run(
            [command, *_FLAGS, f"--user-data-dir={profile}", f"--proxy-server={proxy}",
             "--proxy-bypass-list=<-loopback>", file.as_uri()],
            capture_output=True, timeout=300, check=False,
        )  # fmt: skip
    text = done.stdout.decode("utf-8", "replace")
    title = re.search(r"<title>(.*?)</title>", text, re.DOTALL)
    if done.returncode or title is None:
        raise RuntimeError(f"the browser did not open the page: {done.stderr[-500:]!r}")
    return title[1]


def _once(pages: Sequence[str]) -> Iterator[str]:
    """The pages, the first with scripts of ours that draw; in the others they would draw again."""
    drawn = False
    for page in pages:
        yield _SCRIPT.sub("", page) if drawn else page
        drawn = drawn or _SCRIPT.search(page) is not None
