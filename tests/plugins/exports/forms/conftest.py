"""The run that is exported here."""

from __future__ import annotations

import pytest

from fakes.handmade_run import exported_run
from harness.contract import ExportedRun


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> ExportedRun:
    """A small run by hand, with its directions in its folder."""
    return exported_run(tmp_path_factory.mktemp("run"))
