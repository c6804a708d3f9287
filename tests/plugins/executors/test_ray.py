"""The executor `ray` on a cluster of two nodes with one CPU each, on this machine."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from harness.contract import Crew, Executor, Outfit, Reply
from harness.errors import MachineError, UsageError
from harness.testing import check_executor
from harness_executors.options import RayOptions

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from ray_worker import part  # noqa: E402

from harness_executors.ray_cluster import Ray, most_taken  # noqa: E402

ROOT = HERE.parents[2]
STORE = 100 * 2**20


class Nodes:
    """Two nodes, of which one comes and goes."""

    def __init__(self, folder: str) -> None:
        from ray.cluster_utils import Cluster

        head = {
            "num_cpus": 1, "object_store_memory": STORE, "include_dashboard": False,
            "temp_dir": folder,
        }  # fmt: skip
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.second: Any = None
        self.add()

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def add(self) -> None:
        if self.second is None:
            self.second = self.cluster.add_node(num_cpus=1, object_store_memory=STORE)

    def remove(self) -> None:
        self.cluster.remove_node(self.second)
        self.second = None


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """The nodes find the harness and `ray_worker` by PYTHONPATH, as if they were installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, ROOT / "plugins", HERE))))
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.delenv("OMP_NUM_THREADS", raising=False)
        with tempfile.TemporaryDirectory(
            prefix="ray-", dir="/tmp", ignore_cleanup_errors=True
        ) as folder:
            # Where it notes the cluster that runs here; it makes no folder for that itself.
            patch.setenv("RAY_TMPDIR", folder)
            Path(folder, "ray").mkdir()
            made = Nodes(folder)
            try:
                yield made
            finally:
                made.cluster.shutdown()


class Run:
    """A folder, and what was said."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.said = folder, []

    def outfit(self, **more: object) -> Outfit:
        text = json.dumps({"maker": "ray_worker:make", "folder": str(self.folder), **more})
        return Outfit(text, here=None, folder=self.folder / "own", say=self.said.append)

    @property
    def begun(self) -> list[int]:
        log = self.folder / "log"
        return [int(line) for line in log.read_text().split()] if log.exists() else []


@contextmanager
def at_work(
    nodes: Nodes, folder: Path, outfit: Mapping[str, object] | None = None, **options: Any
) -> Iterator[tuple[Crew, Run]]:
    """A crew on both nodes."""
    nodes.add()
    run = Run(folder)
    executor = Ray(RayOptions(**{"address": nodes.address, **options}))
    assert isinstance(executor, Executor)
    with executor.crew(run.outfit(**(outfit or {}))) as crew:
        assert isinstance(crew, Crew)
        yield crew, run
    assert not ray.is_initialized()


@pytest.fixture
def start(nodes: Nodes, tmp_path: Path) -> Callable[..., Any]:
    return partial(at_work, nodes, tmp_path)


def told(replies: list[Reply]) -> dict[int, dict[str, Any]]:
    assert len({reply.part for reply in replies}) == len(replies)
    return {reply.part: json.loads(reply.content) for reply in replies}


def check_all(replies: list[Reply], given: list[bytes], shared: bytes) -> None:
    """Each part has one reply, to the bytes that were given."""
    found = told(replies)
    assert sorted(found) == list(range(len(given)))
    for number, content in enumerate(given):
        assert found[number]["part"] == sha256(content).hexdigest()
        assert found[number]["shared"] == sha256(shared).hexdigest()


@pytest.mark.parametrize(("workers", "cpus", "names"), [(1, None, 1), (4, 0.5, 4)])
def test_all_parts_are_done_by_all_workers(
    start: Callable[..., Any], workers: int, cpus: float | None, names: int
) -> None:
    with start(workers=workers, cpus=cpus) as (crew, run):
        _check_a_crew(crew, run, names)


def _check_a_crew(crew: Crew, run: Run, size: int) -> None:
    assert crew.size == size
    assert list(crew.compute(b"nothing", iter(()))) == []
    given = [part(n, sleep=0.1) for n in range(40)]
    replies = list(crew.compute(b"first", given))
    check_all(replies, given, b"first")
    numbers = {reply.worker.rpartition("/")[2] for reply in replies}
    assert numbers == {str(n + 1) for n in range(size)}
    made = {one["process"] for one in told(replies).values()}
    assert len(made) == size
    again = [part(n, say=f"hello {n}\x1b[31m") for n in range(20)]
    replies = list(crew.compute(b"second", again))
    check_all(replies, again, b"second")
    assert {one["process"] for one in told(replies).values()} <= made  # they have stayed
    assert {one["threads"] for one in told(replies).values()} == {"1"}


class TestTwoWorkersThatStay:
    """As many as there are nodes, from test to test."""

    @pytest.fixture(scope="class")
    @classmethod
    def two(
        cls, nodes: Nodes, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[tuple[Crew, Run]]:
        with at_work(nodes, tmp_path_factory.mktemp("two")) as both:
            yield both

    def test_a_crew(self, two: tuple[Crew, Run], capfd: pytest.CaptureFixture[str]) -> None:
        crew, run = two
        _check_a_crew(crew, run, 2)
        until = time.monotonic() + 10
        while not any("from a process 19" in line for line in run.said):
            assert time.monotonic() < until, run.said
            time.sleep(0.1)
        assert any("hello 19�[31m" in line for line in run.said)
        out, err = capfd.readouterr()
        assert out == ""
        assert "hello" not in err

    def test_parts_are_taken_when_somebody_is_free_and_left_when_the_head_stops(
        self, two: tuple[Crew, Run]
    ) -> None:
        crew, run = two
        taken: list[int] = []
        before = len(run.begun)
        given = (taken.append(n) or part(n, sleep=0.1) for n in range(1000))
        replies = crew.compute(b"", given)
        for seen, _ in enumerate(replies, 1):
            assert len(taken) <= seen + 2 * crew.size + 1
            if seen == 10:
                break
        replies.close()
        begun = run.begun
        assert len(begun) - before <= 10 + crew.size
        after = [part(5000 + n) for n in range(10)]
        check_all(list(crew.compute(b"next", after)), after, b"next")
        assert sorted(run.begun) == sorted([*begun, *range(5000, 5010)])

    def test_big_parts_and_replies(self, two: tuple[Crew, Run]) -> None:
        crew, _ = two
        shared = os.urandom(2**20) * 20
        given = [part(n, padding="x" * 8 * 2**20, fill=8 * 2**20) for n in range(20)]
        check_all(list(crew.compute(shared, given)), given, shared)
        list(crew.compute(b"", [part(0)]))
        until = time.monotonic() + 10
        while (held := _held()) > 2**20 and time.monotonic() < until:
            time.sleep(0.2)
        assert held < 2**20  # bytes that stay in the object stores

    def test_a_part_that_goes_on_after_its_call_is_ended(
        self, two: tuple[Crew, Run], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        crew, run = two
        monkeypatch.setattr("harness_executors.ray_crew._GRACE", 0.5)
        before = len(run.begun)
        replies = crew.compute(b"", [part(0), *(part(n, sleep=60) for n in range(1, 9))])
        next(replies)
        began = time.monotonic()
        replies.close()
        assert time.monotonic() - began < 20
        given = [part(n) for n in range(10, 14)]
        check_all(list(crew.compute(b"", given)), given, b"")
        assert len(run.begun) - before <= 1 + 2 + 4


def _held() -> float:
    free = ray.available_resources().get("object_store_memory", 0)
    return float(ray.cluster_resources()["object_store_memory"] - free)


def test_workers_that_are_killed_cost_nothing_but_time(start: Callable[..., Any]) -> None:
    chance = random.Random(17)
    given = [part(n, sleep=0.1) for n in range(50)]
    with start(workers=2) as (crew, run):
        replies, alive = [], {}
        stop = {chance.randrange(2, 45) for _ in range(3)}
        for reply in crew.compute(b"s", given):
            replies.append(reply)
            alive[reply.worker] = json.loads(reply.content)["process"]
            if len(replies) in stop:
                os.kill(alive.pop(chance.choice(sorted(alive))), signal.SIGKILL)
        check_all(replies, given, b"s")
        repeated = len(run.begun) - len(given)
        assert repeated <= 2 * len(stop)
        ended = [line for line in run.said if "ended" in line]
        assert 1 <= len(ended) <= len(stop)
        assert all("process ended without a word" in line for line in ended)


def test_a_node_goes_and_comes_back(start: Callable[..., Any], nodes: Nodes) -> None:
    given = [part(n, sleep=0.1) for n in range(150)]
    with start() as (crew, run):
        replies = []
        for reply in crew.compute(b"s", given):
            replies.append(reply)
            if len(replies) in (20, 40):
                (nodes.remove if len(replies) == 20 else nodes.add)()
        check_all(replies, given, b"s")
        assert len(run.begun) <= len(given) + 2
        assert any("its node is gone" in line for line in run.said)
        assert len({told([reply])[reply.part]["process"] for reply in replies[-20:]}) == 2
        # A node that goes while nobody has a part of its own costs no part a worker.
        nodes.remove()
        check_all(list(crew.compute(b"", given[:4])), given[:4], b"")
        nodes.add()


def test_a_part_that_ends_every_worker_ends_the_run(start: Callable[..., Any]) -> None:
    with start() as (crew, _run), pytest.raises(MachineError) as caught:
        list(crew.compute(b"", [part(0, sleep=0.1), part(1, die=True), part(2, sleep=0.1)]))
    assert "3 workers ended over part 1" in str(caught.value)
    assert "killed for the memory" in str(caught.value)
    assert "kept" in str(caught.value)


def test_a_worker_that_breaks_its_promise_is_told_with_what_it_raised(
    start: Callable[..., Any],
) -> None:
    with start() as (crew, _), pytest.raises(MachineError, match="ValueError: cannot do 7"):
        list(crew.compute(b"", [part(7, **{"raise": True})]))


def test_workers_that_never_start(start: Callable[..., Any]) -> None:
    with start(outfit={"die": True}) as (crew, _), pytest.raises(MachineError, match="in a row"):
        list(crew.compute(b"", [part(0)]))
    with (
        start(outfit={"import": "not_there_at_all"}) as (crew, _),
        pytest.raises(UsageError, match=r"node \S+ cannot make a worker \(ModuleNotFoundError"),
    ):
        list(crew.compute(b"", [part(0)]))


def test_a_place_that_no_node_has(start: Callable[..., Any]) -> None:
    with pytest.raises(UsageError) as caught, start(gpus=1, patience=0.5):
        pass
    text = str(caught.value)
    assert "CPU 1, GPU 1" in text
    assert "CPU 2 (" in text
    assert "GPU 0 (0 free)" in text


def test_devices_are_shared_out_where_a_node_has_any(
    start: Callable[..., Any], nodes: Nodes
) -> None:
    """Ray believes what it is told; there need be no device."""
    given = [part(n, sleep=0.05) for n in range(30)]
    node = nodes.cluster.add_node(num_cpus=1, num_gpus=2, object_store_memory=STORE)
    try:
        with start(cpus=0.5) as (crew, _):  # a device each, as the cluster has some
            assert crew.size == 2
            replies = list(crew.compute(b"", given))
        assert {one["devices"] for one in told(replies).values()} == {"0", "1"}
        with start(workers=1, gpus=0) as (crew, _):
            replies = list(crew.compute(b"", given))
        assert {one["devices"] for one in told(replies).values()} == {""}
    finally:
        nodes.cluster.remove_node(node)


@pytest.mark.slow
def test_the_laws_of_executors(nodes: Nodes, tmp_path: Path) -> None:
    nodes.add()
    options = RayOptions(address=nodes.address, workers=2)
    check_executor(Ray, options, tmp_path, ahead=most_taken(2))


def test_a_place_that_is_taken_is_waited_for_and_said(
    start: Callable[..., Any], nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness_executors.ray_crew._PATIENT", 1.0)
    with start(workers=3) as (crew, run):
        given = (
            part(n, sleep=0.1)
            for n in range(300)
            if not any("1 of 3 workers waiting for a place" in line for line in run.said)
        )
        replies = list(crew.compute(b"", given))
        assert {reply.worker[-2:] for reply in replies} <= {"/1", "/2"}
        said = [line for line in run.said if "1 of 3 workers waiting for a place" in line]
    assert len(said) == 1
    assert "Each asks for CPU 1; the cluster has 2 nodes: CPU 2 (" in said[0]


def test_what_else_a_process_has_stays_as_it_was(start: Callable[..., Any]) -> None:
    before = signal.getsignal(signal.SIGTERM), os.environ.get("RAY_USAGE_STATS_ENABLED")
    with start() as (_, _):
        pass
    assert before == (signal.getsignal(signal.SIGTERM), os.environ.get("RAY_USAGE_STATS_ENABLED"))


def test_an_error_in_the_head_leaves_no_actor(start: Callable[..., Any], nodes: Nodes) -> None:
    process = 0

    def left_at_once() -> None:
        nonlocal process
        with start() as (crew, _):
            for reply in crew.compute(b"", [part(n, sleep=0.2 * (n > 0)) for n in range(99)]):
                process = json.loads(reply.content)["process"]
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        left_at_once()
    until = time.monotonic() + 10
    while Path(f"/proc/{process}").exists() and time.monotonic() < until:
        time.sleep(0.1)
    assert not Path(f"/proc/{process}").exists()
