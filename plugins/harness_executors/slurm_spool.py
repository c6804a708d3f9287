"""The folder in which parts wait for jobs, and replies wait for the head. Imports nothing heavy.

Head and jobs share nothing but this folder, which is on a file system that all nodes have:

    outfit                    what `start_worker` needs
    jobs.json                 which jobs the head has submitted
    shared/CALL               what the parts of one call have in common
    todo/TICKET               parts that nobody computes yet
    jobs/JOB/TICKET           the part that a job computes: it has moved it here from todo/
    jobs/JOB/hello, bye       it has begun, and on which node; it has ended as it should
    jobs/JOB/leave            it is to end
    replies/CALL-PART         a reply
    logs/                     submitit's own files: scripts, pickles, what jobs have printed

A part is moved by a rename, which only one of several jobs can do. Every file is written whole
(`harness.store.files.whole`), and those with bytes of the head or of a worker begin with the sha256
of the rest, since a disk that was full, or a node that went down, leaves what it likes.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from harness.store.files import whole, write_text

_TICKET = re.compile(r"(\d{9})-([0-9a-f]{16})-([0-9a-f]{32})-(\d{1,3})")
JOB = re.compile(r"\d{1,12}(_\d{1,9})?")
"""The number of a job, as SLURM writes it."""
_DIGEST = hashlib.sha256().digest_size


class Damaged(Exception):
    """A file whose bytes are not those that were written."""


@dataclass(frozen=True, order=True)
class Ticket:
    """One part that waits or is being computed; also the name of its file."""

    order: int
    """Its place: the lowest goes first."""
    call: str
    """The call of `Crew.compute` that it belongs to: a hash of what is shared."""
    part: str
    """A hash of its bytes."""
    tries: int = 0
    """How many jobs have ended, or begun again, while they computed it."""

    @property
    def key(self) -> str:
        """The name of its reply."""
        return f"{self.call}-{self.part}"

    def __str__(self) -> str:
        return f"{self.order:09d}-{self.call}-{self.part}-{self.tries}"


def ticket_of(name: str) -> Ticket | None:
    """The ticket that a file's name is; None where it is another file."""
    found = _TICKET.fullmatch(name)
    return Ticket(int(found[1]), found[2], found[3], int(found[4])) if found else None


def hash_of(*contents: bytes, digits: int) -> str:
    """A hash of some bytes, in hexadecimal digits."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:digits]


def write_sealed(file: Path, *contents: bytes) -> None:
    """Writes bytes, behind their sha256, whole or not at all."""
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    with whole(file) as partial, partial.open("wb") as out:
        for content in (digest.digest(), *contents):
            out.write(content)


def read_sealed(file: Path) -> bytes:
    """The bytes that `write_sealed` has written; Damaged where they aren't."""
    found = file.read_bytes()
    content = found[_DIGEST:]
    if hashlib.sha256(content).digest() != found[:_DIGEST]:
        raise Damaged(str(file))
    return content


def names_in(folder: Path) -> list[str]:
    """The names of the files in a folder, sorted; none where the folder isn't there yet.

    NFS may answer from memory for a minute. To set the permissions, even to what they are, makes
    it ask: submitit does the same.
    """
    with suppress(OSError):
        folder.chmod(folder.stat().st_mode)
    try:
        return sorted(file.name for file in folder.iterdir() if not file.name.startswith("."))
    except FileNotFoundError:
        return []


@dataclass(frozen=True)
class Spool:
    """The folder that the head and its jobs share."""

    folder: Path

    @property
    def logs(self) -> Path:
        """submitit's own folder."""
        return self.folder / "logs"

    @property
    def _todo(self) -> Path:
        return self.folder / "todo"

    @property
    def _replies(self) -> Path:
        return self.folder / "replies"

    def job(self, job: str) -> Path:
        """The folder of a job."""
        return self.folder / "jobs" / job

    # What the head does.

    def open(self, outfit: str) -> None:
        """Makes the folder."""
        for folder in (self._todo, self._replies, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / "outfit").exists():
            write_text(self.folder / "outfit", outfit)

    def begin(self, call: str, shared: bytes) -> None:
        """Says what the parts of a call share. No part waits yet: what an earlier head has left
        there, this one may not ask for, and how often it was tried counts no more."""
        if not (self.folder / "shared" / call).exists():
            write_sealed(self.folder / "shared" / call, shared)
        for ticket in self.waiting():
            (self._todo / str(ticket)).unlink(missing_ok=True)

    def put(self, ticket: Ticket, part: bytes) -> None:
        """Has a part wait for a job."""
        write_sealed(self._todo / str(ticket), part)

    def waiting(self) -> list[Ticket]:
        """Parts that no job computes yet, in order."""
        return _tickets(self._todo)

    def jobs(self) -> list[str]:
        """Jobs that have a folder: they have begun, or were told to leave."""
        return [name for name in names_in(self.folder / "jobs") if JOB.fullmatch(name)]

    def computing(self, job: str) -> list[Ticket]:
        """What a job computes."""
        return _tickets(self.job(job))

    def replied(self) -> set[str]:
        """The keys of all replies."""
        return set(names_in(self._replies))

    def reply(self, key: str) -> tuple[str, bytes]:
        """Who computed a reply, and its bytes. Damaged where it isn't what was written."""
        worker, _, content = read_sealed(self._replies / key).partition(b"\n")
        return str(json.loads(worker)), content

    def forget(self, keys: Iterable[str]) -> None:
        """Removes replies."""
        for key in keys:
            (self._replies / key).unlink(missing_ok=True)

    def give_back(self, job: str, ticket: Ticket) -> Ticket:
        """Has a part that a job was computing wait for another one."""
        again = replace(ticket, tries=ticket.tries + 1)
        self._move(self.job(job) / str(ticket), self._todo / str(again))
        return again

    def finish(self, call: str) -> None:
        """Removes what a call has left: parts, what they share, and its replies."""
        for ticket in self.waiting():
            (self._todo / str(ticket)).unlink(missing_ok=True)
        for job in self.jobs():
            for ticket in self.computing(job):
                (self.job(job) / str(ticket)).unlink(missing_ok=True)
        (self.folder / "shared" / call).unlink(missing_ok=True)
        self.forget(key for key in self.replied() if key.startswith(f"{call}-"))

    def dismiss(self, job: str) -> None:
        """Has a job end, before it takes another part."""
        self.job(job).mkdir(parents=True, exist_ok=True)
        (self.job(job) / "leave").touch()

    def bury(self, job: str) -> None:
        """Removes the folder of a job that is no more. Another one may get its number."""
        shutil.rmtree(self.job(job), ignore_errors=True)

    def remove(self, failed: Collection[str]) -> None:
        """Removes all of it but the logs of jobs that failed, and the folder around it if it is
        empty then."""
        kept = {f"{job}_0_log.{end}" for job in failed for end in ("err", "out")}
        for name in ("todo", "replies", "shared", "jobs"):
            shutil.rmtree(self.folder / name, ignore_errors=True)
        for folder in (self.logs, self.folder):
            for file in [*folder.glob("*"), *folder.glob(".*")]:
                if not file.is_dir() and file.name not in kept:
                    file.unlink(missing_ok=True)
        for folder in (self.logs, self.folder, self.folder.parent):
            with suppress(OSError):  # there is something in it
                folder.rmdir()

    def has_begun(self, job: str) -> bool:
        """Whether a job has come as far as our code."""
        return (self.job(job) / "hello").exists()

    def has_left(self, job: str) -> bool:
        """Whether a job has ended as it should."""
        return (self.job(job) / "bye").exists()

    # What a job does.

    def outfit(self) -> str:
        """What `start_worker` needs."""
        return (self.folder / "outfit").read_text(encoding="utf-8")

    def is_open(self) -> bool:
        """Whether there is a run: a job may begin when it is over."""
        return (self.folder / "outfit").exists()

    def hello(self, job: str, where: str) -> None:
        """Says that a job has begun. A job that begins again has tried once more what it was
        computing, and goes on with it."""
        for ticket in self.computing(job):
            self._move(
                self.job(job) / str(ticket),
                self.job(job) / str(replace(ticket, tries=ticket.tries + 1)),
            )
        write_text(self.job(job) / "hello", where + "\n")

    def take(self, job: str, tries: int) -> Ticket | None:
        """The next part for a job: first what it was computing before it was begun again, unless
        that was tried `tries` times. None where none waits."""
        for ticket in self.computing(job):
            if ticket.tries < tries and ticket.key not in self.replied():
                return ticket
        for ticket in self.waiting():
            if self._move(self._todo / str(ticket), self.job(job) / str(ticket)):
                return ticket
        return None

    def shared(self, call: str) -> bytes:
        """What the parts of a call share."""
        return read_sealed(self.folder / "shared" / call)

    def part(self, job: str, ticket: Ticket) -> bytes:
        """The bytes of a part that a job computes."""
        return read_sealed(self.job(job) / str(ticket))

    def answer(self, job: str, ticket: Ticket, worker: str, content: bytes) -> None:
        """Hands in a reply, unless the part was taken from the job in the meantime."""
        claim = self.job(job) / str(ticket)
        if claim.exists():
            who = json.dumps(worker).encode() + b"\n"
            write_sealed(self._replies / ticket.key, who, content)
            claim.unlink(missing_ok=True)

    def is_dismissed(self, job: str) -> bool:
        """Whether a job is to end."""
        return (self.job(job) / "leave").exists()

    def bye(self, job: str) -> None:
        """Says that a job ends as it should."""
        with suppress(OSError):  # the folder may be gone: the run has ended
            (self.job(job) / "bye").touch()

    @staticmethod
    def _move(source: Path, target: Path) -> bool:
        """Whether this process, and no other one, has moved a file."""
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            source.rename(target)
        except FileNotFoundError:
            # NFS may do it, lose its answer, do it again, and find nothing. Each job moves into a
            # folder of its own, so what is there was moved by this one.
            return target.exists()
        return True


def _tickets(folder: Path) -> list[Ticket]:
    return [ticket for name in names_in(folder) if (ticket := ticket_of(name))]
