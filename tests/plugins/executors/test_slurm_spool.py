"""The folder that the head and the jobs of `slurm` share, and what is lost with a job."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import pytest

pytest.importorskip("submitit")

from harness.errors import MachineError
from harness_executors.slurm_cluster import Seen
from harness_executors.slurm_losses import Losses
from harness_executors.slurm_spool import Damaged, Spool, Ticket, ticket_of
from harness_executors.slurm_watch import Recorded, Watch, recorded
from harness_executors.slurm_words import refusal, waits

CALL = "0123456789abcdef"


def ticket(order: int, tries: int = 0) -> Ticket:
    return Ticket(order, CALL, f"{order:032x}", tries)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    made = Spool(tmp_path / "spool")
    made.open("an outfit")
    made.begin(CALL, b"shared")
    return made


class Still:
    """A cluster on which nothing happens."""

    def submit(self, count: int) -> list[str]:
        return [f"7_{k}" for k in range(count)]

    def look(self, jobs: Collection[str]) -> Mapping[str, Seen]:
        return {job: Seen("RUNNING", True) for job in jobs}

    def cancel(self, jobs: Collection[str]) -> None: ...

    def by_hand(self, jobs: Iterable[str]) -> str:
        return "kill"

    def most(self) -> int:
        return 10


def watch(spool: Spool, said: list[str]) -> Watch:
    return Watch(Still(), spool, Recorded("slurm", "settings"), 0.1, said.append)


def test_the_name_of_a_file_is_a_ticket_and_nothing_else_is() -> None:
    assert ticket_of(str(ticket(3, 2))) == ticket(3, 2)
    for other in ("hello", f".{ticket(3)}", f"{ticket(3)}.partial", "", "../../etc/passwd"):
        assert ticket_of(other) is None


def test_a_part_is_taken_by_one_job_and_goes_back_with_one_more_try(spool: Spool) -> None:
    for order in (1, 0):
        spool.put(ticket(order), b"part %d" % order)
    assert spool.take("a", 3) == ticket(0)
    assert spool.take("b", 3) == ticket(1)
    assert spool.take("c", 3) is None
    assert spool.part("a", ticket(0)) == b"part 0"
    assert spool.give_back("a", ticket(0)) == ticket(0, 1)
    assert spool.take("c", 3) == ticket(0, 1)
    # A job that is still there, though it was given up, hands in nothing.
    spool.answer("a", ticket(0), "a", b"late")
    assert spool.replied() == set()
    spool.answer("c", ticket(0, 1), "c", b"reply")
    assert spool.reply(ticket(0).key) == ("c", b"reply")
    assert spool.computing("c") == []


def test_bytes_that_are_not_those_that_were_written_are_noticed(spool: Spool) -> None:
    spool.put(ticket(0), b"part")
    spool.take("a", 3)
    spool.answer("a", ticket(0), "a", b"reply")
    file = spool.folder / "replies" / ticket(0).key
    whole = file.read_bytes()
    for damaged in (b"", whole[:-1], whole[:40] + b"x" + whole[41:]):
        file.write_bytes(damaged)
        with pytest.raises(Damaged):
            spool.reply(ticket(0).key)


def test_what_an_earlier_head_has_left_waiting_is_not_computed(spool: Spool) -> None:
    spool.put(ticket(0, 2), b"part")
    spool.begin("f" * 16, b"other")
    assert spool.waiting() == []
    assert spool.shared("f" * 16) == b"other"


def test_what_is_removed_are_not_the_logs_of_jobs_that_failed(spool: Spool) -> None:
    for name in ("7_0_0_log.err", "7_1_0_log.err", "7_0_submitted.pkl"):
        (spool.logs / name).touch()
    (spool.logs / ".submission_file_1.sh").symlink_to("gone")
    spool.remove(["7_0"])
    left = [file.name for file in spool.folder.rglob("*") if not file.is_dir()]
    assert left == ["7_0_0_log.err"]
    spool.remove([])
    assert not spool.folder.parent.joinpath("spool").exists()


def test_a_part_longer_than_a_job_ends_the_run(spool: Spool) -> None:
    said: list[str] = []
    jobs = watch(spool, said)
    losses = Losses(spool, jobs, 0.0, said.append)
    jobs.ensure(1)
    spool.put(ticket(0), b"part")
    spool.hello("7_0", "node")
    assert spool.take("7_0", 3) == ticket(0)
    for tries in (1, 2):
        spool.hello("7_0", "node")  # the job has begun again
        assert spool.take("7_0", 3) == ticket(0, tries)
        losses.mend(replied=False)
    spool.hello("7_0", "node")
    assert spool.take("7_0", 3) is None
    with pytest.raises(MachineError, match=r"began again 3 times over one part.*`minutes`"):
        losses.mend(replied=False)


def test_jobs_are_noted_for_the_next_head_also_those_that_only_began(spool: Spool) -> None:
    jobs = watch(spool, [])
    jobs.ensure(2)
    spool.hello("8", "node")
    assert recorded(spool) == Recorded("slurm", "settings", ("7_0", "7_1", "8"))
    said: list[str] = []
    after = watch(spool, said)
    after.adopt()
    assert after.jobs == ["7_0", "7_1", "8"]
    after.ensure(3)
    assert len(said) == 1
    (spool.folder / "jobs.json").write_text('{"jobs": 3')
    assert recorded(spool).jobs == ("8",)


def test_words() -> None:
    assert waits("Priority") == waits("Resources") == waits("None") == ""
    assert "account" in waits("AssocGrpGRES")
    assert "`minutes`" in refusal("sbatch: error: Requested time limit is invalid")
    assert "it says nothing" in refusal("")
