"""The tools beside the tests: what holds two runs against each other, and what counts code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from safetensors.numpy import save_file

from code_lines import code_lines
from compare_runs import differences

HERE = Path(__file__).parent
RECORDS = [
    {"id": "cosine.raw@1", "value": 0.75, "n": 8, "ci": [0.5, 0.9], "axes": {"pair": "tuned"}},
    {"id": "fvu.pooled@1", "value": None, "n": 0, "ci": None, "axes": {"pair": "tuned"}},
    {"id": "cosine.raw@1", "value": 0.25, "n": 8, "ci": [0.1, 0.4], "axes": {"pair": "other"}},
]
SAMPLES = [
    {"example": "a", "completion": "yes", "verdicts": {"polite": {"refusal": True}}},
    {"example": "b", "completion": "no", "verdicts": {"polite": {"refusal": False}}},
]
FEATURES = {"feature": [3, 1], "delta": [0.5, 0.25]}


def write(folder: Path, records: list[Any], samples: list[Any], table: dict[str, Any]) -> None:
    """Writes what a run leaves, as far as it is compared."""
    for name in ("samples", "tables", "directions", "work"):
        (folder / name).mkdir(parents=True)
    results = {"schema": 1, "status": "complete", "task": {"seed": 0}, "records": records}
    (folder / "results.json").write_text(json.dumps(results))
    lines = "".join(json.dumps(row) + "\n" for row in samples)
    (folder / "samples" / "e.jsonl").write_text(lines)
    parquet.write_table(pa.table(table), folder / "tables" / "features.parquet")
    vectors = {"vectors": np.eye(2)}
    save_file(vectors, folder / "directions" / "d.safetensors")
    (folder / "work" / "usage.jsonl").write_text("{}\n")


@pytest.fixture
def one(tmp_path: Path) -> Path:
    # Below a folder that is called like the one of a run that is passed over.
    write(tmp_path / "work" / "one", RECORDS, SAMPLES, FEATURES)
    return tmp_path / "work" / "one"


@pytest.fixture
def other(one: Path) -> Path:
    """A run equal to `one`, for a test to change."""
    return Path(shutil.copytree(one, one.with_name("other")))


def rewrite(run: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes the results of a run."""
    results = json.loads((run / "results.json").read_text())
    change(results)
    (run / "results.json").write_text(json.dumps(results))


def test_equal_runs_are_the_same(one: Path, other: Path) -> None:
    (other / "work" / "usage.jsonl").write_text("what a run remembers for itself\n")
    assert differences(one, other) == []


@pytest.mark.parametrize(("change", "place"), [
    (lambda r: r["records"][0].update(value=0.75 + 2**-53), "records[0].value: 0.75 and"),
    (lambda r: r["records"][0]["ci"].__setitem__(1, 0.91), "records[0].ci[1]"),
    (lambda r: r["records"][1].update(value=0.0), "records[1].value: None and 0.0"),
    (lambda r: r["records"][0].update(n=8.0), "records[0].n"),
    (lambda r: r["records"][0]["axes"].update(site="embed"), "records[0].axes.site: only in one"),
    (lambda r: r["records"].reverse(), "records[0].value: 0.75 and 0.25"),
    (lambda r: r["records"].pop(), "records: 3 rows and 2"),
    (lambda r: r["task"].update(seed=1), "seed: 0 and 1"),
    (lambda r: r.update(status="failed"), "status: 'complete' and 'failed'"),
])  # fmt: skip
def test_changed_results_are_found(
    one: Path, other: Path, change: Callable[[dict[str, Any]], object], place: str
) -> None:
    rewrite(other, change)
    for pair in ((one, other), (other, one)):
        assert differences(*pair)
    assert differences(one, other)[0].startswith(place)


def test_a_changed_sample_is_found(one: Path, other: Path) -> None:
    file = other / "samples" / "e.jsonl"
    file.write_text(file.read_text().replace("false", "true"))
    name = "samples/e.jsonl[1].verdicts.polite.refusal"
    assert differences(one, other) == [f"{name}: False and True"]


def test_a_changed_table_is_found(one: Path, other: Path) -> None:
    file = other / "tables" / "features.parquet"
    parquet.write_table(pa.table({**FEATURES, "feature": [1, 3]}), file)
    found = differences(one, other)
    assert found[0] == "tables/features.parquet[0].feature: 3 and 1"
    assert len(found) == 2
    file.unlink()
    assert differences(one, other) == ["tables/features.parquet: only in one run"]


def test_a_changed_direction_is_found(one: Path, other: Path) -> None:
    save_file({"vectors": -np.eye(2)}, other / "directions" / "d.safetensors")
    assert any(line.startswith("directions/d.safetensors[0].vectors") for line in
               differences(one, other))  # fmt: skip


def test_within_allows_a_relative_difference_of_numbers(one: Path, other: Path) -> None:
    rewrite(other, lambda r: r["records"][0].update(value=0.75 * (1 + 1e-10)))
    assert len(differences(one, other)) == 1
    assert len(differences(one, other, 1e-11)) == 1
    assert differences(one, other, 1e-9) == []
    rewrite(other, lambda r: r["records"][0].update(id="cosine.raw@2"))
    assert len(differences(one, other, 1e-9)) == 1


@pytest.mark.slow
def test_the_command_says_it_and_exits_with_it(one: Path, other: Path) -> None:
    command = [sys.executable, str(HERE / "compare_runs.py"), str(one), str(other)]
    equal = subprocess.run(command, capture_output=True, text=True, check=True)
    assert equal.stdout == "the same\n"
    rewrite(other, lambda r: r["records"][0].update(value=0.75 * (1 + 1e-10)))
    unequal = subprocess.run(command, capture_output=True, text=True, check=False)
    assert unequal.returncode == 1
    assert unequal.stdout.endswith("1 differences\n")
    allowed = [*command, "--within", "1e-9"]
    assert (
        subprocess.run(allowed, capture_output=True, text=True, check=True).stdout == "the same\n"
    )


@pytest.mark.parametrize(("text", "lines"), [
    ("", 0),
    ('"""What it is."""\n\nx = 1\n', 1),
    ("# why\nx = 1  # what\n", 1),
    ('def f():\n    """Does it.\n\n    At length."""\n    return (\n        1,\n\n    )\n', 4),
    ('class C:\n    x: int\n    """What it is."""\n', 2),
    ('x = """one\n\ntwo"""\n', 3),
])  # fmt: skip
def test_only_code_counts(text: str, lines: int) -> None:
    assert code_lines(text) == lines


def test_samples_and_templates_do_not_count(tmp_path: Path) -> None:
    for name in ("a/code.py", "a/samples.py", "a/templates/new.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    command = [sys.executable, str(HERE / "code_lines.py"), "a"]
    out = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    assert out.split() == ["1", "a/code.py", "1", "in", "all"]
