"""Small runs with known numbers, written into folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Record, Results
from harness.registry import Registry, discover
from harness.results.write import write_results


def make_record(id: str, value: float | None, **axes: Any) -> Record:
    ci = None if value is None else (value - 0.1, value + 0.1)
    why = None if value is not None else "no token was left"
    return Record(f"{id}@1", value, 100, "tokens", "ratio", ci=ci, undefined=why, axes=axes)


def make_run(
    records: Sequence[Record] = (), model: str = "a", seed: int = 0, **more: Any
) -> Results:
    """A run whose tuned model lies at `/models/<model>`; its hash is that of its name."""
    task: dict[str, Any] = {
        "name": "tiny", "title": "A tiny task", "seed": seed,
        "models": {"base": {"path": "/models/base"}, "chat": {"path": f"/models/{model}"}},
        "metrics": {"cosine": {"pair": "web"}},
    }  # fmt: skip
    prints = {"base": {"fingerprint": "0" * 64}, "chat": {"fingerprint": model.encode().hex()}}
    status = more.pop("status", "complete")
    task |= more.pop("task", {})
    provenance = {"harness": "0.1.0", "seed": seed, "models": prints, **more.pop("provenance", {})}
    return Results(status, task, provenance, tuple(records), **more)


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a run into a folder of the given name, as `harness eval` leaves one."""

    def write(name: str, results: Results, *, report: bool = True) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        write_results(folder, results)
        (folder / ".task").write_text("0" * 64)
        if report:
            (folder / "report.html").write_text("a report")
        return folder

    return write


@pytest.fixture
def run() -> Callable[..., Results]:
    return make_run


@pytest.fixture
def record() -> Callable[..., Record]:
    return make_record


@pytest.fixture
def grid(write: Write) -> Callable[..., list[Path]]:
    """Writes runs by (model, seed) whose numbers are given by id: one place for each."""

    def grid(values: Mapping[tuple[str, int], Mapping[str, float | None]]) -> list[Path]:
        return [
            write(
                f"{model}-{seed}",
                make_run([make_record(id, value, pair="web", site="resid_post.2")
                          for id, value in mine.items()], model, seed),
            )
            for (model, seed), mine in values.items()
        ]  # fmt: skip

    return grid


@pytest.fixture(scope="session")
def sections() -> Registry:
    """The installed sections alone."""
    name = "harness_sections"
    return discover(candidates=[EntryPoint(name, f"{name}.plugin", "harness")])
