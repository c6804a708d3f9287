"""Parts of tasks that several tests of tasks write, and what is wrong with them."""

from __future__ import annotations

import re

PROBE = '[directions.d]\nmethod = "probe"\n'
EXPERIMENT = """
[experiments.e]
view = "chat"
data = "web"
directions = ["d"]
evaluators = ["polite"]
intervention = { method = "shift" }
"""


def only(found: list[str], *said: str) -> None:
    """There is one problem, and it says all this."""
    assert len(found) == 1, found
    for part in said:
        assert re.search(part, found[0]), (part, found[0])
