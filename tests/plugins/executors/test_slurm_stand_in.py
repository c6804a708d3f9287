"""The executor `slurm` with a stand-in for SLURM's commands on the path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("submitit")
HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import slurm_maker as maker  # noqa: E402
from slurm_stand_in import StandIn  # noqa: E402

from harness.contract import Reply  # noqa: E402
from harness.errors import MachineError, UsageError  # noqa: E402
from harness_executors.options import SlurmOptions  # noqa: E402
from harness_executors.slurm_jobs import Slurm  # noqa: E402


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    made = StandIn(tmp_path / "site")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(HERE), *sys.path]))
    monkeypatch.setenv("PATH", f"{made.bin}{os.pathsep}{os.environ['PATH']}")
    yield made
    made.close()


def options(**more: object) -> dict[str, object]:
    return {"gpus": 0, "ask_every": 0.2, "workers": 1, **more}


def compute(home: Path, parts: list[bytes], said: list[str], **more: object) -> list[Reply]:
    with Slurm(SlurmOptions(**options(**more))).crew(maker.outfit(home, said)) as crew:
        return list(crew.compute(maker.shared(home), parts))


def meanwhile(act: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=act)
    thread.start()
    return thread


def begun(home: Path, n: int) -> None:
    while n not in maker.done(home):
        time.sleep(0.02)


def numbers(replies: list[Reply]) -> list[int]:
    return sorted(reply.part for reply in replies)


@pytest.mark.slow
def test_an_array_of_two_jobs_is_submitted_once_and_ended(site: StandIn, tmp_path: Path) -> None:
    said: list[str] = []
    parts = [maker.part(n, sleep=0.05) for n in range(20)]
    replies = compute(tmp_path, parts, said, workers=2, cpus=2, memory=1.5, partition="main")
    assert numbers(replies) == list(range(20))
    assert {reply.worker.rpartition("/")[2] for reply in replies} <= {"101_0", "101_1"}
    assert sorted(site.states()) == ["101_0", "101_1"]
    assert {job["state"] for job in site.states().values()} <= {"COMPLETED", "CANCELLED"}
    assert site.calls("sbatch") == 1
    asked = json.loads((site.home / "jobs" / "101.asked").read_text())
    assert asked["requeue"] == ""
    assert asked["mem"] == "1536M"
    assert asked["array"] == "0-1%2"
    assert "--cpus-per-task=2" in (site.home / "jobs" / "101.sh").read_text()
    assert not (tmp_path / "executor").exists()


@pytest.mark.slow
def test_a_job_that_was_preempted_goes_on_where_it_was(site: StandIn, tmp_path: Path) -> None:
    said: list[str] = []

    def act() -> None:
        begun(tmp_path, 2)
        site.request("101", "preempt")
        while site.states()["101"]["restarts"] == 0:
            time.sleep(0.02)
        (tmp_path / "go").touch()

    thread = meanwhile(act)
    parts = [maker.part(0), maker.part(1), maker.part(2, wait="go"), maker.part(3)]
    assert numbers(compute(tmp_path, parts, said)) == [0, 1, 2, 3]
    thread.join()
    assert maker.done(tmp_path) == [0, 1, 2, 2, 3]
    assert sorted(site.states()) == ["101"]
    assert site.calls("sbatch") == 1


@pytest.mark.slow
def test_a_job_whose_time_is_up_is_requeued_by_itself(site: StandIn, tmp_path: Path) -> None:
    def act() -> None:
        begun(tmp_path, 2)
        site.request("101", "time_up")
        while site.states()["101"]["restarts"] == 0:
            time.sleep(0.02)
        (tmp_path / "go").touch()

    thread = meanwhile(act)
    parts = [maker.part(0), maker.part(1), maker.part(2, wait="go"), maker.part(3)]
    assert numbers(compute(tmp_path, parts, [], minutes=2)) == [0, 1, 2, 3]
    thread.join()
    assert maker.done(tmp_path) == [0, 1, 2, 2, 3]
    assert site.calls("sbatch") == 1
    assert site.calls("scontrol") == 1  # submitit asks for it when the signal comes


@pytest.mark.slow
@pytest.mark.parametrize("what", ["node_lost", "oom"])
def test_the_part_of_a_job_that_is_lost_is_computed_by_another(
    site: StandIn, tmp_path: Path, what: str
) -> None:
    said: list[str] = []

    def act() -> None:
        begun(tmp_path, 1)
        site.request(site.wait("RUNNING"), what)
        site.wait({"node_lost": "NODE_FAIL", "oom": "OUT_OF_MEMORY"}[what])
        (tmp_path / "go").touch()

    thread = meanwhile(act)
    parts = [maker.part(0), maker.part(1, wait="go"), maker.part(2)]
    assert numbers(compute(tmp_path, parts, said)) == [0, 1, 2]
    thread.join()
    assert maker.done(tmp_path).count(1) == 2
    assert sorted(site.states()) == ["101", "102"]
    assert len([line for line in said if "its part goes to another one" in line]) == 1


@pytest.mark.slow
def test_the_next_head_goes_on_with_the_array_of_one_that_was_killed(
    site: StandIn, tmp_path: Path
) -> None:
    parts = [{"n": n, **({"wait": "go"} if n >= 4 else {})} for n in range(8)]
    head = subprocess.Popen(
        [sys.executable, str(HERE / "slurm_head.py"), json.dumps(options(workers=2)),
         str(tmp_path), json.dumps(parts)],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    for n in (4, 5):
        begun(tmp_path, n)
    head.kill()
    head.wait()
    (tmp_path / "go").touch()
    said: list[str] = []
    told = [json.dumps(part).encode() for part in parts]
    assert numbers(compute(tmp_path, told, said, workers=2)) == list(range(8))
    assert sorted(maker.done(tmp_path)) == list(range(8))
    assert site.calls("sbatch") == 1
    assert "goes on with jobs of before" in said[0]


@pytest.mark.slow
def test_jobs_with_other_settings_are_ended_and_their_replies_kept(
    site: StandIn, tmp_path: Path
) -> None:
    parts = [{"n": 0}, {"n": 1, "wait": "go"}]
    head = subprocess.Popen(
        [sys.executable, str(HERE / "slurm_head.py"), json.dumps(options()),
         str(tmp_path), json.dumps(parts)],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    begun(tmp_path, 1)
    head.kill()
    head.wait()
    (tmp_path / "go").touch()
    said: list[str] = []
    told = [json.dumps(part).encode() for part in parts]
    assert numbers(compute(tmp_path, told, said, memory=64.0)) == [0, 1]
    assert maker.done(tmp_path).count(0) == 1
    assert "other settings" in said[0]
    assert site.states()["101"]["state"] in ("CANCELLED", "COMPLETED")


@pytest.mark.slow
def test_more_workers_than_an_array_may_have_are_several_arrays(
    site: StandIn, tmp_path: Path
) -> None:
    site.configure(max_array_size=2)
    parts = [maker.part(n, sleep=0.02) for n in range(12)]
    assert numbers(compute(tmp_path, parts, [], workers=3)) == list(range(12))
    assert sorted(site.states()) == ["101_0", "101_1", "102"]


def test_an_array_over_the_limit_is_refused_in_one_message(site: StandIn, tmp_path: Path) -> None:
    site.configure(max_array_size=2)
    parts = [maker.part(n) for n in range(12)]
    with pytest.raises(UsageError, match=r"Invalid job array specification\. Set `largest_array`"):
        compute(tmp_path, parts, [], workers=3, largest_array=3)


@pytest.mark.slow
def test_fewer_jobs_are_submitted_where_a_site_takes_no_more(site: StandIn, tmp_path: Path) -> None:
    site.configure(max_submit=1)
    said: list[str] = []
    parts = [maker.part(n) for n in range(6)]
    assert numbers(compute(tmp_path, parts, said, workers=4)) == list(range(6))
    assert "no more than that: QOSMaxSubmitJobPerUserLimit" in said[0]
    assert sorted(site.states()) == ["101"]


@pytest.mark.parametrize(
    ("config", "more", "words"),
    [
        ({}, {"partition": "gpu"}, r"invalid partition specified: gpu.*`partition`"),
        ({"max_submit": 0}, {}, r"QOSMaxSubmitJobPerUserLimit.*Wait until your other jobs"),
        ({"refuse": "Invalid qos specification"}, {}, r"Invalid qos.*`qos`"),
        ({"refuse": "\x1b[31mno"}, {}, r"refuses the jobs: [^\x1b]*no\. Change \[executor\]"),
    ],
)  # fmt: skip
def test_a_refusal_is_one_message(
    site: StandIn, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    config: dict[str, object], more: dict[str, object], words: str,
) -> None:  # fmt: skip
    site.configure(**config)
    with pytest.raises(UsageError, match=words):
        compute(tmp_path, [maker.part(0)], [], **more)
    assert capfd.readouterr() == ("", "")


def test_without_sbatch_it_says_where_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(UsageError, match=r"no 'sbatch' on this machine's path.*login node"):
        compute(tmp_path, [maker.part(0)], [])


@pytest.mark.slow
def test_a_folder_that_nodes_do_not_see_is_told(site: StandIn, tmp_path: Path) -> None:
    site.configure(hidden=True)
    with pytest.raises(MachineError, match=r"left no log. Do all nodes see .*--out"):
        compute(tmp_path, [maker.part(0)], [])
    assert site.calls("sbatch") == 3


@pytest.mark.slow
def test_a_job_that_waits_for_what_will_not_come_is_told_once(
    site: StandIn, tmp_path: Path
) -> None:
    site.configure(reason="QOSMaxGRESPerUser")
    said: list[str] = []

    def act() -> None:
        while not [line for line in said if "does not start" in line]:
            time.sleep(0.02)
        site.configure()

    thread = meanwhile(act)
    assert numbers(compute(tmp_path, [maker.part(0)], said)) == [0]
    thread.join()
    (line,) = [line for line in said if "does not start" in line]
    assert "QOSMaxGRESPerUser" in line
    assert "scancel 101" in line


@pytest.mark.slow
def test_a_controller_that_does_not_answer_loses_no_job(site: StandIn, tmp_path: Path) -> None:
    said: list[str] = []

    def act() -> None:
        begun(tmp_path, 0)
        site.configure(silent=True)
        while not said or "cannot be asked" not in said[-1]:
            time.sleep(0.02)
        (tmp_path / "go").touch()
        begun(tmp_path, 1)
        site.configure()

    thread = meanwhile(act)
    parts = [maker.part(0, wait="go"), maker.part(1, sleep=0.5)]
    assert numbers(compute(tmp_path, parts, said)) == [0, 1]
    thread.join()
    assert sorted(maker.done(tmp_path)) == [0, 1]


@pytest.mark.slow
def test_jobs_that_slurm_has_forgotten_are_found_by_sacct(site: StandIn, tmp_path: Path) -> None:
    site.configure(min_job_age=0.0)

    def act() -> None:
        begun(tmp_path, 0)
        site.request(site.wait("RUNNING"), "node_lost")
        site.wait("NODE_FAIL")
        (tmp_path / "go").touch()

    said: list[str] = []
    thread = meanwhile(act)
    assert numbers(compute(tmp_path, [maker.part(0, wait="go")], said)) == [0]
    thread.join()
    assert [line for line in said if "ended (NODE_FAIL)" in line]
    assert site.calls("sacct") >= 1
