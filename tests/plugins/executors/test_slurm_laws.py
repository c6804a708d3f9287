"""The laws of executors, with a stand-in for SLURM; its samples try them with processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

pytest.importorskip("submitit")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from slurm_stand_in import StandIn  # noqa: E402

from harness.testing import check_executor  # noqa: E402
from harness_executors.options import SlurmOptions  # noqa: E402
from harness_executors.slurm_jobs import Slurm, most_taken  # noqa: E402


@pytest.mark.slow
def test_slurm_keeps_the_laws_on_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = StandIn(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("PATH", f"{site.bin}{os.pathsep}{os.environ['PATH']}")
    options = SlurmOptions(workers=2, gpus=0, ask_every=0.2)
    (tmp_path / "run").mkdir()
    try:
        check_executor(Slurm, options, tmp_path / "run", ahead=most_taken(2))
    finally:
        site.close()
