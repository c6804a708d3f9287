"""Each tracker with its real library, without a network: what it keeps is read back from its files.

A library that is not installed is a reason to skip; `pip install 'sae-harness[wandb]'` brings one.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Event, Observer, RunFailed, Stamp
from harness.running.observers.masking import Mask
from harness.testing.observer import hostile, run_of

Kept = Callable[[], dict[str, Any]]
LIBRARIES = ("wandb", "trackio", "mlflow")
HERE = Path(__file__)


def needs(library: str) -> pytest.MarkDecorator:
    reason = f"{library} is not installed: pip install 'sae-harness[{library}]'"
    return pytest.mark.skipif(find_spec(library) is None, reason=reason)


each = pytest.mark.parametrize(
    "library", [pytest.param(one, marks=needs(one)) for one in LIBRARIES]
)
"""The trackers whose libraries are there."""


# ── In a process of its own: told, and read back ─────────────────────────────────────────────────


def values(items: Any) -> dict[str, Any]:
    """The values of W&B's items, by their keys."""
    keys = (item.key or "/".join(item.nested_key) for item in items)
    return {key: json.loads(item.value_json) for key, item in zip(keys, items, strict=True)}


def entries(data: bytes) -> Iterator[bytes]:
    """The entries of a W&B file: LevelDB's log, in blocks of 32 KiB, after a header of 7 bytes."""
    place, entry = 7, b""
    while place + 7 <= len(data):
        if (left := 2**15 - place % 2**15) < 7:
            place += left
            continue
        size, kind = struct.unpack_from("<HB", data, place + 4)
        entry += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part of one
            yield entry
            entry = b""


def _wandb(folder: Path) -> tuple[Callable[[], Observer], Kept]:
    from harness_observers.options import WandbOptions
    from harness_observers.wandb_run import Wandb

    def kept() -> dict[str, Any]:
        from wandb.proto import wandb_internal_pb2 as messages

        (file,) = (folder / "wandb").glob("offline-run-*/run-*.wandb")
        found: dict[str, Any] = {"config": {}}
        numbers: dict[str, Any] = {}
        summary: dict[str, Any] = {}
        artifacts = []
        for data in entries(file.read_bytes()):
            message = messages.Record()
            message.ParseFromString(data)
            match message.WhichOneof("record_type"):
                case "history":
                    numbers |= values(message.history.item)
                case "summary":
                    summary |= values(message.summary.update)
                case "run":
                    found |= {"project": message.run.project, "name": message.run.display_name,
                              "group": message.run.run_group}  # fmt: skip
                    found["config"] |= values(message.run.config.update)
                case "artifact":
                    artifacts.append(message.artifact)
                case "exit":
                    found["exit"] = message.exit.exit_code
        (table,) = (folder / "wandb").rglob("records_*.table.json")
        rows = json.loads(table.read_text(encoding="utf-8"))
        records = [dict(zip(rows["columns"], row, strict=True)) for row in rows["data"]]
        kinds = [one.type for one in artifacts]
        return {**found, "numbers": numbers, "records": records, "report": "report" in kinds,
                "status": summary["status"], "warnings": summary["warnings"],
                "ending": {0: "finished", 1: "failed"}[found["exit"]]}  # fmt: skip

    options = WandbOptions(mode="offline", project="p", folder=str(folder))
    return partial(Wandb, options), kept


def _trackio(folder: Path) -> tuple[Callable[[], Observer], Kept]:
    from harness_observers.options import TrackioOptions
    from harness_observers.trackio_run import Trackio

    def kept() -> dict[str, Any]:
        from trackio.sqlite_storage import SQLiteStorage

        (run,) = SQLiteStorage.get_run_records("p")
        logs = SQLiteStorage.get_logs("p", run["name"])
        numbers = {name: value for log in logs for name, value in log.items()}
        outcome = {row["what"]: row["text"] for row in numbers["outcome"]["_value"]}
        config = SQLiteStorage.get_run_config("p", run["name"]) or {}
        names = [one["name"] for one in SQLiteStorage.list_artifacts("p")]
        return {"project": "p", "name": run["name"].rpartition("-")[0], "numbers": numbers,
                "group": config["_Group"], "config": config, "status": outcome["status"],
                "records": numbers["records"]["_value"], "warnings": [outcome["warning"]],
                "report": any(name.startswith("report-") for name in names),
                "ending": "finished"}  # fmt: skip

    return partial(Trackio, TrackioOptions(project="p")), kept


def _mlflow(folder: Path) -> tuple[Callable[[], Observer], Kept]:
    from harness_observers.mlflow_run import Mlflow
    from harness_observers.options import MlflowOptions

    uri = f"sqlite:///{folder}/mlflow.db"

    def kept() -> dict[str, Any]:
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name("p")
        assert experiment is not None
        (run,) = client.search_runs([experiment.experiment_id])
        files = {one.path: client.download_artifacts(run.info.run_id, one.path)
                 for one in client.list_artifacts(run.info.run_id)}  # fmt: skip
        table = json.loads(Path(files["records.json"]).read_text(encoding="utf-8"))
        task = json.loads(Path(files["task.json"]).read_text(encoding="utf-8"))
        ending = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "stopped"}
        return {"project": "p", "name": run.info.run_name, "group": "small",
                "numbers": run.data.metrics, "config": {"task": task},
                "records": [dict(zip(table["columns"], row, strict=True)) for row in table["data"]],
                "report": "report.html" in files, "status": run.data.tags["harness.status"],
                "warnings": [run.data.tags["harness.warnings"]],
                "ending": ending[run.info.status]}  # fmt: skip

    return partial(Mlflow, MlflowOptions(uri=uri, project="p")), kept


def told(library: str, which: str, folder: Path) -> None:
    """Tells a tracker some events, or prints (`kept`) what it has kept of them, as JSON."""
    make, kept = {"wandb": _wandb, "trackio": _trackio, "mlflow": _mlflow}[library](folder)
    if which == "kept":
        sys.stderr.write(f"\nKEPT {json.dumps(kept())}\n")
        return
    runs: dict[str, Callable[[Path], list[Event]]] = {
        "whole": run_of,
        "hostile": hostile,
        "stopped": lambda at: [*run_of(at)[:8], RunFailed(Stamp("r", 9, 2e9), "interrupted", 130)],
    }
    observer, mask = make(), Mask.of(os.environ)
    for event in runs[which](folder / "run"):
        observer.see(mask.handed(event))


@pytest.fixture
def keeping(tmp_path: Path, warm_python: list[str]) -> Callable[[str, str], dict[str, Any]]:
    """What a tracker keeps of a run, in a process and a home of its own."""

    def keeping(library: str, which: str) -> dict[str, Any]:
        own = ("WANDB", "MLFLOW", "TRACKIO")
        environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(own)},
            "HOME": str(tmp_path), "TRACKIO_DIR": str(tmp_path / "trackio"), "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": os.pathsep.join(map(str, filter(None, sys.path))),
            "WANDB_ERROR_REPORTING": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true",
        }  # fmt: skip
        for what in (which, "kept"):
            done = subprocess.run(
                [*warm_python, HERE, library, what, tmp_path],
                cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1800,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            assert done.stdout == ""
        line = next(one for one in done.stderr.splitlines() if one.startswith("KEPT "))
        found: dict[str, Any] = json.loads(line.removeprefix("KEPT "))
        return found

    return keeping


NUMBERS = {
    "wandb": {"l0_1/k_4/pair_both/site_resid_post_3": 30.5,
              "l0_1/k_8/pair_both/site_resid_post_3": 31.5},
    "trackio": {"l0@1/k=4/pair=both/site=resid_post.3": 30.5,
                "l0@1/k=8/pair=both/site=resid_post.3": 31.5},
    "mlflow": {"l0_1/k 4/pair both/site resid_post.3": 30.5,
               "l0_1/k 8/pair both/site resid_post.3": 31.5},
}  # fmt: skip
PROGRESS = {
    "wandb": "progress/activations__pass_1_of_1",
    "trackio": "progress/activations, pass 1 of 1",
    "mlflow": "progress/activations_ pass 1 of 1",
}


@pytest.mark.slow
@each
def test_a_tracker_keeps_the_run(
    keeping: Callable[[str, str], dict[str, Any]], library: str
) -> None:
    kept = keeping(library, "whole")
    numbers = kept["numbers"]
    assert {name: numbers.get(name) for name in NUMBERS[library]} == NUMBERS[library]
    assert not [name for name in numbers if "fvu" in name]
    assert numbers[PROGRESS[library]] == 1.0
    assert numbers["tokens_per_second"] == 400.0
    assert numbers["memory_bytes"] == 2**30
    assert (kept["project"], kept["name"], kept["group"]) == ("p", "small", "small")
    assert kept["config"]["task"] == {"name": "small"}
    assert kept["report"] is True
    assert (kept["status"], kept["ending"]) == ("complete", "finished")
    assert [" ".join(kept["warnings"])] == ["saes.mid: it was trained on another model."]
    first, _, last = kept["records"]
    assert (first["id"], first["value"], first["low"], first["high"]) == ("l0@1", 30.5, 29.0, 32.0)
    assert (first["k"], first["site"], first["pair"]) == (4, "resid_post.3", "both")
    assert (last["value"], last["undefined"]) == (None, "nothing was measured")


@pytest.mark.slow
@each
def test_hostile_text_is_kept_as_text(
    keeping: Callable[[str, str], dict[str, Any]], library: str
) -> None:
    kept = keeping(library, "hostile")
    assert len(kept["records"]) == 3
    values = [value for value in kept["numbers"].values() if value in (30.5, 31.5)]
    assert sorted(values) == [30.5, 31.5]
    assert kept["status"] == "complete"


@pytest.mark.slow
@each
def test_a_run_that_a_person_stopped_is_no_finished_one(
    keeping: Callable[[str, str], dict[str, Any]], library: str
) -> None:
    kept = keeping(library, "stopped")
    ending = {"wandb": "failed", "mlflow": "stopped", "trackio": "finished"}  # has no such state
    assert (kept["status"], kept["ending"]) == ("failed", ending[library])
    assert len(kept["records"]) == 3


@pytest.mark.slow
@needs("wandb")
def test_wandb_asks_for_no_key(tmp_path: Path, warm_python: list[str]) -> None:
    """Nobody is logged in: a sentence, and no prompt."""
    code = (
        "from pathlib import Path; from harness.testing.observer import run_of;"
        "from harness_observers.wandb_run import Wandb;"
        "from harness_observers.options import WandbOptions;"
        f"Wandb(WandbOptions()).see(run_of(Path({str(tmp_path)!r}))[0])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")}
    environment |= {"HOME": str(tmp_path), "NETRC": str(tmp_path / "none")}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [*warm_python, "-c", code], env=environment, capture_output=True, text=True, timeout=600,
        input="y\n",
    )  # fmt: skip
    assert "UsageError: wandb: nobody is logged in. Allowed: a key in WANDB_API_KEY" in done.stderr


# ── Where a library is missing ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_that_is_missing_is_one_sentence(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import EntryPoint

    from harness.errors import PluginError
    from harness.registry import discover

    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"harness_observers.{library}_run", raising=False)
    point = EntryPoint("harness_observers", "harness_observers.plugin", "harness")
    owned = discover(candidates=[point]).find("observer", library)
    with pytest.raises(PluginError) as caught:
        owned.load()
    assert f"It needs: pip install 'sae-harness[{library}]'." in str(caught.value)


@pytest.mark.parametrize("library", LIBRARIES)
def test_laws_are_not_tried_where_a_library_is_missing(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from importlib.metadata import EntryPoint

    from harness.authoring.conformance import check as conformance
    from harness.authoring.conformance.lightness import Imports
    from harness.registry import discover

    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"harness_observers.{library}_run", raising=False)
    light = Imports({"declaring": [], "harness_observers.options": []})
    monkeypatch.setattr(conformance, "imports_of", lambda plugin: light)
    point = EntryPoint("harness_observers", "harness_observers.plugin", "harness")
    owned = discover(candidates=[point]).find("observer", library)
    results = {result.law: result for result in conformance.check([owned])}
    for law in ("what it names can be loaded", "the laws of its kind"):
        assert results[law].outcome == "not tried"
        assert f"pip install 'sae-harness[{library}]'" in results[law].why
    assert not [one for one in results.values() if one.outcome == "FAILED"]


@pytest.mark.slow
def test_declaring_them_imports_none_of_them() -> None:
    code = (
        "import sys, harness_observers.plugin, harness_observers.options;"
        f"print({{'torch', *{LIBRARIES}}} & sys.modules.keys())"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


if __name__ == "__main__":
    told(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
