"""Bugs that were put into plugins: `harness plugins check` finds each, and lets its twin pass.

Two seeds here, one where a model runs; `python tests/authoring/test_seeded_bugs.py 20` tries twenty
of everything, and prints how often.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli.main import main

HERE = Path(__file__).parent / "seeded_bugs"
FOUND_BY = {
    "merge_order": "merge is commutative|any split|a document without|the order of",
    "batch_mean": "split|order|padding",
    "writes_input": "inputs",
    "reads_unselected": "unselected",
    "noise": "deterministic",
    "noise_sae": "deterministic",
    "reads_padding": "padding and batch change nothing",
    "leaves_hook": "no hook is left on the model",
    "judge_of_batch": "answers do not influence each other",
    "judge_flips": "deterministic|answers do not influence each other|order does not matter",
}
"""By bug, the law that names it."""
HEAVY = {"reads_padding", "leaves_hook"}
"""Those that run a model."""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The plugins, installed beside ours."""
    install(tmp_path)
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "seeded_bugs"]:
        del sys.modules[name]


def install(folder: Path) -> None:
    info = folder / "seeded_bugs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: seeded-bugs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness]\nseeded_bugs = seeded_bugs.plugin\n")


@pytest.mark.slow
@pytest.mark.usefixtures("asked_once")
@pytest.mark.parametrize("bug", FOUND_BY)
def test_a_bug_is_named_by_its_law_and_its_twin_passes(
    installed: None, bug: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(1 if bug in HEAVY else 2):
        monkeypatch.setenv("SEEDED", str(seed))
        assert main(["plugins", "check", f"{bug}_twin", "--seed", str(seed)]) == 0
        assert "FAILED" not in capsys.readouterr().out
        assert main(["plugins", "check", f"{bug}_bug", "--seed", str(seed)]) == 2
        said = " ".join(capsys.readouterr().out.split())
        assert re.search(f"FAILED the laws of its kind .*: ({FOUND_BY[bug]})", said), said[-400:]


def measured(seeds: int) -> None:
    """Prints how often each bug was found, and how often its twin passed."""
    import contextlib
    import functools
    import io
    import os
    import tempfile

    from harness.authoring.conformance import check

    # What a plugin imports is the same with every seed, and takes a process to find out.
    check.imports_of = functools.cache(check.imports_of)  # type: ignore[attr-defined]
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        sys.path[:0] = [str(HERE), folder]
        for bug in FOUND_BY:
            caught = passed = 0
            for seed in range(seeds):
                os.environ["SEEDED"] = str(seed)
                with (
                    contextlib.redirect_stdout(io.StringIO()),
                    contextlib.redirect_stderr(io.StringIO()),
                ):
                    caught += main(["plugins", "check", f"{bug}_bug", "--seed", str(seed)]) == 2
                    passed += main(["plugins", "check", f"{bug}_twin", "--seed", str(seed)]) == 0
            sys.stdout.write(
                f"{bug:<18} found {caught} of {seeds}, twin passed {passed} of {seeds}\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    measured(int(sys.argv[1]))
