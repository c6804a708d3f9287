"""Opens pages in a browser, where one is installed, and tells what a script of a test saw there."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, _NAMES)), None)
"""The command of a browser, or None."""


def dom(file: Path, width: int = 1400) -> str:
    """What a browser makes of a file."""
    assert BROWSER is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update", "--disable-quic",
             f"--user-data-dir={file.parent / 'profile'}", "--virtual-time-budget=8000",
             f"--window-size={width},1000", "--dump-dom", file.as_uri()]  # fmt: skip
    done = subprocess.run([BROWSER, *flags], capture_output=True, timeout=600, check=True)
    return done.stdout.decode("utf-8", "replace")


def seen(page: str, script: str, folder: Path) -> Any:
    """What a script gives back that runs in a page once it is loaded, under the page's own policy.

    The script is the body of an async function; what it returns becomes JSON.
    """
    driver = (
        f"addEventListener('load', async () => {{ let found; try {{ found = await (async () => {{"
        f"{script}\n}})(); }} catch (error) {{ found = String(error.stack); }} "
        "document.documentElement.setAttribute('data-seen', JSON.stringify(found)); });"
    )
    hashed = base64.b64encode(hashlib.sha256(driver.encode()).digest()).decode()
    allowed = re.sub(r"script-src ", f"script-src 'sha256-{hashed}' ", page, count=1)
    whole = allowed.replace("</body>", f"<script>{driver}</script></body>")
    assert whole != page
    file = folder / "page.html"
    file.write_text(whole, encoding="utf-8")
    found = re.search(r'data-seen="([^"]*)"', dom(file))
    assert found is not None, "the page's script did not end"
    return json.loads(html.unescape(found[1]))


def seen_on_a_phone(page: str, script: str, folder: Path) -> Any:
    """The same in a frame of 390 pixels: a browser's own window cannot be that narrow."""
    told = (
        "addEventListener('load', async () => "
        f"parent.postMessage(await (async () => {{{script}}})(), '*'))"
    )
    bare = re.sub(r"<meta http-equiv=[^>]*>", "", page, count=1)
    (folder / "page.html").write_text(
        bare.replace("</body>", f"<script>{told}</script></body>"), encoding="utf-8"
    )
    frame = folder / "frame.html"
    frame.write_text(
        '<!doctype html><iframe src="page.html" style="width:390px;height:800px;border:0"></iframe>'
        "<script>addEventListener('message', event => document.documentElement.setAttribute("
        "'data-seen', JSON.stringify(event.data)))</script>",
        encoding="utf-8",
    )
    found = re.search(r'data-seen="([^"]*)"', dom(frame))
    assert found is not None, "the page's script did not end"
    return json.loads(html.unescape(found[1]))
