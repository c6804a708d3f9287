"""Issue 20, bad input: labels of another SAE, and a taxonomy with one cluster, one message each."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import main

TASKS = Path(__file__).parents[2] / "tasks"
MECHANISM = TASKS / "mechanism.toml"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("labels", "truth_1024",
         "analyses.kinds.labels: names truth_1024, which are labels of the SAE mid_1024, and the "
         "analysis is of mid. Allowed: labels of that SAE: read, truth."),
        ("against", '["truth_4096"]',
         "analyses.kinds.against: names truth_4096, which are labels of the SAE mid_4096, and the "
         "analysis is of mid. Allowed: labels of that SAE: read, truth."),
    ],
)  # fmt: skip
def test_labels_of_another_sae(
    key: str, value: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They came out as no label at all, after the run."""
    assert main(["check", str(MECHANISM), "--set", f"analyses.kinds.{key}={value}"]) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"harness: --set: {message}\n")


def test_a_taxonomy_with_one_cluster(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every feature was in it, and nothing was collateral."""
    (tmp_path / "one.toml").write_text('[clusters]\nother = "anything"\n')
    (tmp_path / "task.toml").write_text(
        f'extends = "{MECHANISM}"\n[analyses.kinds]\ntaxonomy = "one.toml"\ntask = []\n'
    )
    assert main(["check", str(tmp_path / "task.toml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "task.toml:3: analyses.kinds.taxonomy: one.toml has one cluster" in line
    assert "Needed: two or more" in line
