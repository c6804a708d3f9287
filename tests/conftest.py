"""Fixtures of the core's tests: small tasks over the fake plugin of `fakes.py`, fake dists."""

from __future__ import annotations

import compileall
import gc
import json
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from importlib.metadata import (
    Distribution,
    EntryPoint,
    EntryPoints,
    distributions,
    entry_points,
)
from pathlib import Path

import pytest
from hypothesis import HealthCheck, find, settings
from hypothesis.strategies import none

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))  # components are loaded by name: `fakes:FakeModel`

import fakes  # noqa: E402
from harness.cli.main import main  # noqa: E402
from harness.errors import TaskError  # noqa: E402
from harness.planning.planner import plan  # noqa: E402
from harness.registry import Registry, discover  # noqa: E402
from harness.registry.plugins import GROUP  # noqa: E402
from harness.results.read import Results  # noqa: E402
from harness.running.runner import run  # noqa: E402
from harness.running.session import Session  # noqa: E402
from harness.task.file import read_source  # noqa: E402
from harness.task.resolve import resolve  # noqa: E402
from harness.task.task import Task  # noqa: E402
from slow_first import pytest_collection_modifyitems  # noqa: E402, F401  (a hook of ours)
from warm import warm  # noqa: E402

# Every run of the suite tries the same examples, however busy the machine is: what fails somewhere
# fails here.
settings.register_profile(
    "same", derandomize=True, database=None, deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
settings.load_profile("same")

# No test finds what another, or the person who runs them, has made; nor does a fixture of a module.
os.environ["HARNESS_CACHE"] = ""
os.environ["HARNESS_CONFIG"] = ""


# Half the time of collecting is the rewriting of asserts: kept, whatever the environment says.
sys.dont_write_bytecode = False


def pytest_configure(config: pytest.Config) -> None:
    # `--dist loadfile` would give out the files with many tests first. Those with few take longest.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False
    if not hasattr(config, "workerinput"):
        # Each of the hundreds of commands that tests start would compile what it imports again.
        for folder in ("harness", "plugins"):
            compileall.compile_dir(HERE.parent / folder, quiet=2)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting makes millions of objects that stay: looking through them for garbage is vain."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="session", autouse=True)
def _drawn() -> None:
    """Hypothesis makes its chance on first use, and asks the garbage collector who holds it. After
    `gc.freeze` nobody would seem to, which 6.130 warns of."""
    find(none(), lambda _: True)


@pytest.fixture(scope="module", autouse=True)
def _settled(_drawn: None) -> None:
    """What is there before a file's first test stays, and is looked through no more.

    A run collects garbage before it counts memory. That looks at every object of the process:
    with torch, scipy and eleven thousand tests loaded, it took longer than all that a small run
    does otherwise.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def warm_python() -> Iterator[list[str]]:
    """The first words of a command of our Python, with what most import imported already; it is
    there from the first test on that asks for it."""
    with warm() as words:
        yield words


@pytest.fixture(scope="session", autouse=True)
def _powered() -> Iterator[None]:
    """No test cuts the power, so none waits for the disk. What must be on it, and when, is asked of
    `fsync` by tests that put their own in its place, and by those that start processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _installed() -> Iterator[None]:
    """What is installed is looked up once: each look reads two files of each of 200 packages. What
    a test puts on the path is looked up whenever it is asked for."""
    path = [*sys.path]
    known = [(one, one.dist._normalized_name) for one in entry_points(group=GROUP)]

    def looked_up(*, group: str) -> EntryPoints:
        if group != GROUP or [one for one in sys.path if one in path] != path:
            return entry_points(group=group)
        new: dict[str, Distribution] = {}
        for one in distributions(path=[one for one in sys.path if one not in path]):
            new.setdefault(one._normalized_name, one)  # of its folder: `name` reads its metadata
        its = [point for one in new.values() for point in one.entry_points.select(group=group)]
        return EntryPoints([*its, *(one for one, name in known if name not in new)])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.registry.plugins.entry_points", looked_up)
        yield


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DISABLE", raising=False)
    fakes.LAB.clear()


@pytest.fixture
def lab() -> fakes.Lab:
    return fakes.LAB


@pytest.fixture(scope="module", autouse=True)
def _left_alone(registry: Registry) -> Iterator[None]:
    """What all tests share is, after each file of them, as it was before."""
    before = _shared(registry)
    yield
    after = _shared(registry)
    # Libraries set variables of their own when they are imported first.
    assert {name: after.get(name) for name in before} == before


def _shared(registry: Registry) -> dict[str, object]:
    here: dict[str, object] = {"registry": repr(registry), "folder": Path.cwd()}
    return here | {name: value for name, value in os.environ.items() if "PYTEST" not in name}


@pytest.fixture(scope="session")
def registry() -> Registry:
    """A registry of the fake plugin alone."""
    return discover(candidates=[EntryPoint("fake", "fakes", "harness")])


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes `TINY` and more as a task file, with the data beside it."""

    def write(text: str = "", name: str = "task.toml", head: str = fakes.TINY) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(head + text, encoding="utf-8")
        rows = "".join(json.dumps({"text": line}) + "\n" for line in fakes.WEB)
        (file.parent / "web.jsonl").write_text(rows, encoding="utf-8")
        return file

    return write


@pytest.fixture
def task(write: Callable[..., Path], registry: Registry) -> Callable[..., Task]:
    """The task that `TINY` with more text and overrides describes."""

    def task(text: str = "", *overrides: str) -> Task:
        return resolve(read_source(write(text), overrides), registry)

    return task


@pytest.fixture
def problems(task: Callable[..., Task]) -> Callable[..., list[str]]:
    """What is wrong with a task; fails when nothing is."""

    def problems(text: str = "", *overrides: str) -> list[str]:
        with pytest.raises(TaskError) as caught:
            task(text, *overrides)
        return [str(problem) for problem in caught.value.problems]

    return problems


@pytest.fixture
def session(task: Callable[..., Task], tmp_path: Path) -> Callable[..., Session]:
    def session(text: str = "", *overrides: str) -> Session:
        return Session(task(text, *overrides), tmp_path / "cache", tmp_path / "verdicts")

    return session


@pytest.fixture
def run_task(
    task: Callable[..., Task], registry: Registry, tmp_path: Path
) -> Callable[..., Results]:
    """Runs a task into `tmp_path/run`."""

    def run_task(text: str = "", *overrides: str, fresh: bool = False) -> Results:
        return run(plan(task(text, *overrides)), registry, tmp_path / "run", fresh=fresh)

    return run_task


@pytest.fixture
def said(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in an empty folder: its exit code, output and complaints."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def said(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return said


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> Callable[[Sequence[str]], None]:
    """Sets the rows of `web`, before a task is written."""
    return lambda lines: monkeypatch.setattr(fakes, "WEB", list(lines))


@pytest.fixture
def fake_dist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs a third party's distribution: a folder on `sys.path` with its module and metadata.

    `entry_points` are the lines of its group `harness`; without them, its one module.
    """

    def fake_dist(
        name: str,
        code: str = "",
        *,
        version: str = "1.0",
        requires: tuple[str, ...] = (),
        entry_points: tuple[str, ...] | None = None,
    ) -> Path:
        module = name.replace("-", "_")
        folder = tmp_path / "dists" / name
        info = folder / f"{module}-{version}.dist-info"
        info.mkdir(parents=True)
        (folder / f"{module}.py").write_text(code, encoding="utf-8")
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {text}" for text in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
        points = (f"{module} = {module}",) if entry_points is None else entry_points
        (info / "entry_points.txt").write_text("\n".join(["[harness]", *points]) + "\n")
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, module, raising=False)
        return folder

    yield fake_dist
    for folder in (tmp_path / "dists").glob("*"):
        sys.modules.pop(folder.name.replace("-", "_"), None)


@pytest.fixture
def fake_plugin(fake_dist: Callable[..., Path]) -> Path:
    """Installs `fakes.py` as the plugin `fake`, beside the built-in ones."""
    return fake_dist("acme-fake", entry_points=("fake = fakes",))


@pytest.fixture
def environment(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """The environment of a subprocess that sees `folders` first on its path."""

    def environment(*folders: Path) -> dict[str, str]:
        path = [*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])]
        more = {"PYTHONPATH": os.pathsep.join(path), "HF_HUB_OFFLINE": "1"}
        return {**os.environ, **more}

    return environment
