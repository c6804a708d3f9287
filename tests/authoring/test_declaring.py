"""What it costs to declare plugins, and to import the laws that they are held to."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import harness.testing
from harness.registry import discover
from pace import slower

DECLARE = """
import sys, time
from harness.registry import discover
start = time.process_time()
found = discover()
seconds = time.process_time() - start
print(seconds, len(found.plugins), sum(plugin.status == "ready" for plugin in found.plugins))
print(*sorted(sys.modules))
"""


@pytest.mark.slow
def test_declaring_all_plugins_is_quick_and_imports_nothing_heavy() -> None:
    found = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", DECLARE], capture_output=True, text=True, check=True
        )
        numbers, modules = done.stdout.splitlines()
        seconds, plugins, ready = map(float, numbers.split())
        assert plugins == ready >= len(discover().plugins)
        heavy = {"torch", "numpy", "transformers", "sae_lens", "datasets", "pandas", "scipy"}
        assert not heavy & set(modules.split())
        found.append(seconds / slower())
    assert min(found) < 0.05


def test_importing_the_checks_imports_nothing_until_one_is_used() -> None:
    code = "import sys, harness.testing; print('torch' in sys.modules, 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
    with pytest.raises(AttributeError, match="check_everything"):
        harness.testing.check_everything  # noqa: B018
    for name in harness.testing._HOMES:
        assert getattr(harness.testing, name) is getattr(
            import_module(f"harness.testing.{harness.testing._HOMES[name]}"), name
        )
