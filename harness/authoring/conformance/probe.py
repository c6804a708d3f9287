"""Run as a process of its own: what importing a plugin and its options brings along."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points

HEAVY = re.compile("torch|transformers|sae_lens|datasets|lm_eval|tensorflow|jax")
DECLARING = "declaring"


def main(plugin: str, modules: Sequence[str]) -> None:
    """Prints, as JSON, the heavy packages that came with the declaration and with each module."""
    found = {}
    (point,) = entry_points(group="harness", name=plugin)
    list(point.load().harness_components())
    seen = _heavy()
    found[DECLARING] = sorted(seen)
    for module in modules:
        importlib.import_module(module)
        found[module] = sorted(_heavy() - seen)
        seen = _heavy()
    sys.stdout.write(f"\n{json.dumps(found)}\n")


def _heavy() -> set[str]:
    return {name for name in sys.modules if HEAVY.fullmatch(name)}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
