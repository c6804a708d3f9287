"""Plugins in files beside a task: the contract of an installed one, and what is wrong."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fakes
from fakes.local import GROWTH, MINE, PAIR, SECTION, ran
from harness.planning.planner import plan
from harness.planning.steps import MetricJob
from harness.registry import Owned, Registry
from harness.registry.local import admit
from harness.registry.local_code import PREFIX, read_local
from harness.results.read import load_results
from harness.task.file import read_source
from harness.task.resolve import resolve
from harness.task.task import Task, task_hash
from harness.task.trust import Trust

Said = Callable[..., tuple[int, str, str]]


# ── With trust: the same contract ────────────────────────────────────────────────────────────────


def trusted(task: Path, registry: Registry) -> Task:
    return resolve(read_source(task), registry, Trust(allowed=True, memory=None))


@pytest.mark.slow
def test_it_runs_like_an_installed_one(
    mine: Callable[..., Path], said: Said, fake_dist: Callable[..., Path]
) -> None:
    task = mine(text=PAIR + GROWTH + "[gates.g]\nassert = 'growth > 0'\n")
    code, _, err = said("eval", task, "--out", "run", "--trust-local-code")
    assert code == 0, err
    results = load_results(Path("run"))
    (record,) = [one for one in results.records if one.id == "growth@1"]
    code_ = read_local(task.parent / "my_metric.py")
    kept = {"path": str(code_.file), "sha256": code_.sha256, "components": ["metric: growth"]}
    assert results.provenance["local_code"] == {"my_metric": kept}
    used = results.provenance["plugins"]["my_metric"]
    assert used == {"distribution": "my_metric.py", "version": f"sha256:{code_.sha256}"}
    assert "metric: my_metric/growth" in results.provenance["components"]
    # The run's own task file runs again, as it is.
    assert said("check", "run/task.toml")[0] == 0
    # And an installed one gives the very same record.
    fake_dist("acme-growth", MINE.replace("my_metric:", "acme_growth:"))
    installed = task.with_name("installed.toml")
    installed.write_text(task.read_text().replace('["./my_metric.py"]', "[]"))
    assert said("eval", installed, "--out", "other")[0] == 0
    (same,) = [one for one in load_results(Path("other")).records if one.id == "growth@1"]
    assert record == same
    assert record.value is not None
    assert record.value > 1


def test_a_gate_on_what_it_does_not_measure_is_said(mine: Callable[..., Path], said: Said) -> None:
    task = mine(text=PAIR + GROWTH + "[gates.g]\nassert = 'grwoth > 0'\n")
    code, _, err = said("check", task, "--trust-local-code")
    assert code == 2
    assert "nothing in this task measures grwoth" in err
    assert "growth" in err


def test_a_changed_file_repeats_what_depends_on_it_and_nothing_else(
    mine: Callable[..., Path], said: Said, registry: Registry
) -> None:
    task = mine()
    file = task.parent / "my_metric.py"

    def identities() -> tuple[dict[str, object], str]:
        loaded = trusted(task, registry)
        jobs = [job for one in plan(loaded).passes for job in one.jobs]
        found = {job.entry: job.identity(loaded) for job in jobs if isinstance(job, MetricJob)}
        return found, task_hash(loaded)

    before, same = identities()
    assert said("eval", task, "--out", "run", "--trust-local-code")[0] == 0
    file.write_text(file.read_text().replace('[sums["r"] /', '[1 + sums["r"] /'))
    after, hashed = identities()
    assert before["gap"] == after["gap"]
    assert before["growth"] != after["growth"]
    assert hashed == same  # the same task: its run is continued in its folder
    first = {one.id: one.value for one in load_results(Path("run")).records}
    code, _, err = said("eval", task, "--out", "run", "--trust-local-code")
    assert code == 0, err
    second = {one.id: one.value for one in load_results(Path("run")).records}
    assert second["growth@1"] == pytest.approx(first["growth@1"] + 1)
    assert second["gap.mean@1"] == first["gap.mean@1"]


@pytest.mark.slow
def test_another_run_uses_what_the_same_file_has_made(
    mine: Callable[..., Path], said: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    lab: fakes.Lab,
) -> None:  # fmt: skip
    """The cache that runs share has the file's hash in its keys."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    task = mine()
    file = task.parent / "my_metric.py"

    def value(out: str) -> tuple[float, int]:
        before = len(lab.batches)
        code, _, err = said("eval", task, "--out", out, "--trust-local-code")
        assert code == 0, err
        (found,) = [one for one in load_results(Path(out)).records if one.id == "growth@1"]
        assert found.value is not None
        return found.value, len(lab.batches) - before

    first, work = value("one")
    assert work
    assert value("two") == (first, 0)
    file.write_text(file.read_text().replace('[sums["r"] /', '[1 + sums["r"] /'))
    changed, _ = value("three")
    assert changed == pytest.approx(first + 1)


def test_a_name_that_two_have_is_written_with_the_files(
    mine: Callable[..., Path], said: Said
) -> None:
    task = mine(MINE.replace('"growth"', '"gap"'), text=PAIR + GROWTH.replace("growth", "gap_"))
    code, _, err = said("check", task, "--trust-local-code")
    assert code == 2
    assert "fake/gap, my_metric/gap" in err
    task.write_text(
        task.read_text().replace("[metrics.gap]", "[metrics.gap]\nmethod = 'my_metric/gap'")
        .replace("[metrics.gap_]", "[metrics.gap_]\nmethod = 'fake/gap'")
    )  # fmt: skip
    assert said("check", task)[0] == 0


def test_its_classes_load_in_another_process(mine: Callable[..., Path]) -> None:
    plugin = admit(read_local(mine().parent / "my_metric.py"))
    sent = pickle.dumps(Owned(plugin.components[0], plugin))
    del sys.modules[plugin.code.module_name]  # type: ignore[union-attr]
    there = pickle.loads(sent)
    assert there.load().__name__ == "Growth"
    assert there.options().on_sae is False


def test_what_a_task_requires_is_installed(mine: Callable[..., Path], said: Said) -> None:
    task = mine(key='plugins = ["./my_metric.py"]\nrequires = ["my_metric.py>=1"]\n')
    code, _, err = said("check", task, "--trust-local-code")
    assert code == 2
    assert "no plugin of 'my_metric.py' is installed" in err


# ── Its part in a report ─────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_its_section_is_shown_while_it_is_trusted_and_the_same(
    mine: Callable[..., Path], said: Said, state: Path
) -> None:
    task = mine(SECTION, "shows.py", PAIR)
    page = Path("run/report.html")
    assert said("eval", task, "--out", "run", "--trust-local-code")[0] == 0
    assert "Shown by a file" in page.read_text()
    code, _, err = said("report", "run")
    assert (code, err) == (0, "")
    assert "Shown by a file" in page.read_text()
    (state / "sae-harness" / "trusted.jsonl").unlink()
    ran(task)
    code, _, err = said("report", "run")
    assert code == 0
    assert "what plugin shows shows is left out: shows.py is code" in err
    assert not ran(task)
    assert "Shown by a file" not in page.read_text()
    assert said("report", "run", "--trust-local-code")[0] == 0
    assert "Shown by a file" in page.read_text()
    file = task.parent / "shows.py"
    file.write_text(file.read_text() + "\n")
    code, _, err = said("report", "run", "--trust-local-code")
    assert code == 0
    assert "shows.py has changed since the run" in err


# ── Files that are wrong ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("code", "line", "what"),
    [
        ("\n1 / 0", 3, "ZeroDivisionError: division by zero"),
        ("def f():\n    raise KeyError('k')\nf()", 3, "KeyError: 'k'"),
        ("import no_such_module", 2, "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def broken(:", 2, "SyntaxError"),
        ("raise SystemExit(5)", 2, "SystemExit: 5"),
        ("raise KeyboardInterrupt", 2, "KeyboardInterrupt"),
        ("import time\ntime.sleep(60)", 3, "importing it takes more than 0.5 s"),
        ("while True:\n    pass", None, "importing it takes more than 0.5 s"),
        ("x = 1", None, "has no harness_components marked with @hookimpl"),
        (MINE.replace("    where =", "    1 / 0, "), 18, "ZeroDivisionError"),
        (MINE.replace("return [Component", "return [5, Component"), None, "not 5"),
        (MINE.replace('"metric"', '"metrics"'), None, "unknown kind of component 'metrics'"),
        ("x = '\x00'", None, "null bytes"),
        ("(" * 5000 + ")" * 5000, None, "my_metric.py"),
        ("raise ValueError('\x1b[31mred\\n\\nmore\u202e')", 2, "ValueError: �[31mred  more�"),
    ],
    ids=["divides", "raises", "needs", "syntax", "exits", "interrupts", "sleeps", "loops",
         "no-hook", "hook-raises", "no-component", "kind", "null", "deep", "hostile"],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_one_sentence_with_its_line(
    mine: Callable[..., Path], said: Said, monkeypatch: pytest.MonkeyPatch,
    code: str, line: int | None, what: str,
) -> None:  # fmt: skip
    monkeypatch.setattr("harness.registry.guard.SLOWEST", 0.5)
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)
    task = mine(code)
    ended, out, err = said("check", task, "--trust-local-code")
    assert (ended, out, len(err.strip().splitlines())) == (2, "", 1), err
    assert "Traceback" not in err
    assert what in err
    assert f"my_metric.py:{line}: " in err or line is None
    assert "plugins[0]: my_metric.py" in err
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGALRM)) == before
    assert not [name for name in sys.modules if name.startswith(PREFIX)]


def test_the_user_may_still_interrupt_it(mine: Callable[..., Path], said: Said) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        task = mine("import os, signal\nos.kill(os.getpid(), signal.SIGINT)")
        assert said("check", task, "--trust-local-code")[0] == 130
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_it_prints_is_not_in_our_output(mine: Callable[..., Path], said: Said) -> None:
    code, out, err = said("check", mine("print('hello')\n" + MINE), "--trust-local-code")
    assert (code, "hello" in out, "hello" in err) == (0, False, True)


def test_an_error_in_a_run_is_the_files_and_has_its_line(
    mine: Callable[..., Path], said: Said
) -> None:
    task = mine(MINE.replace("left, right =", "self.oops, "))
    code, _, err = said("eval", task, "--out", "run", "--trust-local-code")
    assert code == 2
    assert "my_metric.py:12: AttributeError: 'Growth' object has no attribute 'oops'" in err
    assert "Traceback" not in err
    assert "bug of ours" not in err


def test_what_makes_check_slow_is_said_and_allowed(
    mine: Callable[..., Path],
    said: Said,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    (tmp_path / "jax.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "jax", raising=False)
    # Not with monkeypatch, which would put the empty one back at the end: scipy looks into it.
    request.addfinalizer(lambda: sys.modules.pop("jax", None))
    task = mine("import jax\n" + MINE)
    code, out, _ = said("check", task, "--trust-local-code")
    assert code == 0
    assert "note: my_metric.py imports jax at its top" in out
    del sys.modules["jax"]
    sys.modules.pop(next(name for name in sys.modules if name.startswith(PREFIX)))
    code, out, _ = said("plugins", "check", task.parent / "my_metric.py")
    assert code == 0
    assert "not tried  declaring the plugin imports nothing heavy" in out
    assert "my_metric.py imports jax at its top" in " ".join(out.split())


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ('plugins = ["./gone.py"]', "'./gone.py': no such file or folder"),
        ('plugins = ["acme-harness"]', "'acme-harness': is no file of Python"),
        ('plugins = ["web.jsonl"]', "'web.jsonl': is no file of Python"),
        ('plugins = ["folder.py"]', "folder.py: is no plain file"),
        ('plugins = ["pipe.py"]', "pipe.py: is no plain file"),
        ('plugins = ["large.py"]', "has more than 1048576 bytes"),
        ('plugins = ["2.py"]', "its name is that of the plugin"),
        ('plugins = ["my_metric.py", "my_metric.py"]', "'my_metric' is offered by"),
        ('plugins = ["my_metric.py", "sub/my_metric.py"]', "Names are unique"),
        ('plugins = ["fake.py"]', "'fake' is offered by fake.py and by the installed acme-fake"),
        ('plugins = ["\\u0000.py"]', "no such file"),
        (f'plugins = ["{"x" * 5000}.py"]', "plugins[0]: 'xxxx"),
        ('plugins = "my_metric.py"', "plugins: input should be a list"),
        ("plugins = [3]", "plugins[0]: input should be a valid string"),
    ],
)
def test_what_is_no_plugin_is_said(
    mine: Callable[..., Path], said: Said, key: str, what: str
) -> None:
    task = mine(key=key + "\n")
    folder = task.parent
    (folder / "folder.py").mkdir()
    os.mkfifo(folder / "pipe.py")
    (folder / "large.py").write_bytes(b"#" * (2**20 + 1))
    (folder / "2.py").touch()
    (folder / "fake.py").write_text(MINE)
    (folder / "sub").mkdir()
    (folder / "sub" / "my_metric.py").write_text(MINE)
    code, out, err = said("check", task, "--trust-local-code")
    assert (code, out) == (2, "")
    assert what in err
    assert "Traceback" not in err


# ── The sum that a short metric is made of ───────────────────────────────────────────────────────


def test_by_document_adds_up_what_is_selected() -> None:
    import torch

    from harness.testing import array_batch

    rng = np.random.default_rng(0)
    document = np.sort(rng.integers(0, 5, 40))
    selected = np.sort(rng.choice(40, 25, replace=False))
    values = rng.normal(size=25).astype(np.float32)
    batch: Any = array_batch(document.tolist(), {}, selected=selected.tolist())
    sums, counts = [0.0] * len(batch.documents), [0] * len(batch.documents)
    for value, token in zip(values.tolist(), selected.tolist(), strict=True):
        sums[int(document[token])] += value
        counts[int(document[token])] += 1
    found = batch.by_document(torch.tensor(values))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), sums, rtol=1e-12)
    np.testing.assert_array_equal(batch.by_document().numpy(), counts)
    yes = torch.tensor(values > 0)
    assert float(batch.by_document(yes).sum()) == int((values > 0).sum())
