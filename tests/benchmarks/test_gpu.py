"""What runs on a GPU runs here on the CPU; without a GPU the script says so."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from gpu import PARTS, measured, well

HERE = Path(__file__).parent

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@no_gpu
@pytest.mark.parametrize("given", [pytest.param("python", marks=pytest.mark.slow), "none"])
def test_without_a_gpu_it_says_so_in_one_line(
    tmp_path: Path, given: str, request: pytest.FixtureRequest
) -> None:
    (out := tmp_path / "out").mkdir()
    env = {**os.environ, "OUT": str(out)}
    env = {k: v for k, v in env.items() if k != "PYTHON"}
    if given == "python":
        python = tmp_path / "python"
        words = request.getfixturevalue("warm_python")
        python.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        python.chmod(0o700)
        env["PYTHON"] = str(python)
    script = ["sh", HERE / "gpu.sh"]
    done = subprocess.run(script, env=env, cwd=out, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "no GPU" in done.stderr
    assert not list(out.iterdir())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_all_parts_run_on_the_cpu(tmp_path: Path) -> None:
    found = measured("cpu", True, time.monotonic() + 3600, tmp_path / "gpu.json")
    assert found["failed"] == {}
    assert found == json.loads((tmp_path / "gpu.json").read_text())
    assert {"about", *PARTS} <= found.keys()
    assert well(found)
    assert found["drift"]["harness"]["times the floor"][0] > 0
    assert len(found["profile"]) == 20
    assert 0 < sum(one["share"] for one in found["profile"]) <= 1 + 1e-9


def broken(device: str, toy: bool) -> Any:
    raise RuntimeError("CUDA out of memory")


def apart(holds: bool) -> Any:
    return lambda device, toy: [{"holds": holds}]


def test_a_part_that_fails_is_in_the_file_and_the_next_one_begins(tmp_path: Path) -> None:
    parts = {"sae": broken, "parity": apart(True)}
    found = measured("cpu", True, time.monotonic() + 60, tmp_path / "x", parts)
    assert found["failed"] == {"sae": "RuntimeError: CUDA out of memory"}
    assert found["parity"] == [{"holds": True}]
    assert not well(found)


@pytest.mark.parametrize("holds", [True, False])
def test_it_is_well_where_parity_holds(tmp_path: Path, holds: bool) -> None:
    parts = {"parity": apart(holds)}
    assert well(measured("cpu", True, time.monotonic() + 60, tmp_path / "x", parts)) is holds


def test_what_would_begin_too_late_is_left_out_by_name(tmp_path: Path) -> None:
    found = measured("cpu", True, time.monotonic() - 1, tmp_path / "x", {"parity": apart(True)})
    assert found["left out"] == ["parity"]
    assert not well(found)
