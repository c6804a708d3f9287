"""Laws that every executor keeps."""

from __future__ import annotations

import os
import random
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import count, takewhile
from pathlib import Path
from typing import Any

from harness.contract import Crew, Executor, ExecutorOptions, Outfit, Reply, start_worker
from harness.errors import MachineError
from harness.testing.support.clerk import Done, Errand, clerk, died
from harness.testing.support.laws import drawing, law, untried

BIG = 20_000_000
"""Bytes of a big part, and of a big reply."""
PATIENCE = 10.0
"""Seconds within which a worker must be gone after its block was left."""
_SAID = "printed by a worker of harness.testing"
_REPLACED = "a worker that ends is replaced, and its part computed"
_BESIDE = "what ended a worker is not given to the head"
_MOURNED = "a worker that was lost is said"
_HOPELESS = "a part that ends every worker is a MachineError"


def check_executor(
    executor: Callable[[Any], Executor],
    options: ExecutorOptions,
    folder: Path,
    *,
    ahead: int | None = None,
) -> None:
    """Raises AssertionError, naming the law, where an executor breaks one.

    `executor` is its class, `folder` an empty one that all its workers can see. `ahead` says how
    many parts it may have taken whose replies were not used; without it the executor may take all
    that there are, so give it where an executor keeps within the memory of a machine.

    Laws: there is at least one worker · every part is answered once · a reply says who computed it
    · every worker computes · a call without parts has no replies · what a call shares reaches every
    worker · big parts and replies are whole · parts are taken in the thread of the caller · no more
    parts are taken than it promises · an error of the parts comes out · a call that is stopped
    leaves the next one sound · nothing is printed on stdout · a worker that ends is replaced, and
    its part computed · what ended a worker is not given to the head · a worker that was lost is
    said · a part that ends every worker is a MachineError · an error in the block comes out ·
    nothing of it lives after the block · the process is left as it is.
    """
    trial = _Trial(folder, drawing())
    before = _process()
    with _printed() as printed:
        with executor(options).crew(trial.outfit()) as crew:
            _sound(trial, crew)
            _careful(trial, crew, ahead)
            if trial.inside():
                why = "its workers are in the head's own process, which they cannot end"
                untried(why, _REPLACED, _BESIDE, _MOURNED, _HOPELESS)
            else:
                _faults(trial, crew)
        _gone(trial)
        _left_by_errors(trial, executor, options)
        _gone(trial)
    name = "nothing is printed on stdout"
    law(not printed, name, f"{printed[:1]!r:.200}. Write to stderr, or to a file")
    after = _process()
    changed = [what for what in before if before[what] != after.get(what)]
    law(not changed, "the process is left as it is", f"another {', '.join(changed)}")


@dataclass
class _Trial:
    """What is tried, and what was seen so far."""

    folder: Path
    seed: int
    processes: set[tuple[str, int, bool]] = field(default_factory=set)
    """Host and number of all that worked, and whether it was the head."""
    said: list[str] = field(default_factory=list)
    _number: Iterator[int] = field(default_factory=count)

    @property
    def notes(self) -> Path:
        """Where clerks note of what they died."""
        return self.folder / "notes"

    def outfit(self) -> Outfit:
        """Clerks, and a folder of the run that is not there yet."""
        self.notes.mkdir(exist_ok=True)
        text = clerk(self.notes)
        place = self.folder / f"run-{next(self._number)}" / "executor"
        return Outfit(text, start_worker(text), place, self.said.append)

    def name(self) -> str:
        """The name of an errand."""
        return f"errand-{next(self._number)}"

    def draws(self) -> random.Random:
        """Random numbers, the same in every run of the check."""
        return random.Random(self.seed)

    def inside(self) -> bool:
        """Whether all that worked was the head."""
        return all(head for _, _, head in self.processes)

    def done(self, reply: Reply, name: str = "every part is answered once") -> Done:
        """What a reply says."""
        try:
            found = Done.of(reply.content)
        except ValueError:
            law(False, name, f"the reply to part {reply.part} is none that a worker has given")
            raise
        self.processes.add((found.host, found.process, found.head))
        return found

    def all_done(
        self, crew: Crew, shared: bytes, errands: Iterable[tuple[Errand, bytes]], name: str
    ) -> dict[str, tuple[Reply, Done]]:
        """The replies of a whole call, each held against its part."""
        given: list[tuple[Errand, bytes]] = []

        def parts() -> Iterator[bytes]:
            for errand, body in errands:
                given.append((errand, body))
                yield errand.part(body)

        replies = list(crew.compute(shared, parts()))
        numbers = sorted(reply.part for reply in replies)
        law(numbers == list(range(len(given))), name, f"{len(given)} parts, replies to {numbers}")
        found = {}
        for reply in replies:
            done, (errand, body) = self.done(reply, name), given[reply.part]
            whole = done.name == errand.name and done.body == body + b"+" * errand.grows
            law(whole, name, f"the reply to part {reply.part} is that of {done.name}, or cut")
            what = "what a call shares reaches every worker"
            law(done.shared == sha256(shared).hexdigest(), what, f"part {reply.part}: other bytes")
            found[errand.name] = reply, done
        return found


def _sound(trial: _Trial, crew: Crew) -> None:
    """Calls that nothing disturbs."""
    law(crew.size >= 1, "there is at least one worker", f"size is {crew.size!r}")
    draws, once = trial.draws(), "every part is answered once"
    errands = [
        (Errand(trial.name(), sleep=draws.random() / 50), draws.randbytes(draws.randrange(2000)))
        for _ in range(30)
    ]
    for reply, _ in trial.all_done(crew, b"first", errands, once).values():
        named = isinstance(reply.worker, str) and reply.worker and reply.worker.isprintable()
        law(bool(named), "a reply says who computed it", f"{reply.worker!r:.100}")
    _everyone(trial, crew)
    none = list(crew.compute(b"none", iter(())))
    law(not none, "a call without parts has no replies", f"{len(none)} replies")
    for shared in (b"", b"second", draws.randbytes(1_000_000), b"second"):
        says = "" if shared else _SAID
        few = [(Errand(trial.name(), sleep=0.01, says=says), b"") for _ in range(2 * crew.size)]
        trial.all_done(crew, shared, few, once)
    body, whole = draws.randbytes(BIG), "big parts and replies are whole"
    sizes = [(body, 0), (b"", 1), (b"small", BIG), (body, 1)]
    big = [(Errand(trial.name(), grows=grows), it) for it, grows in sizes]
    trial.all_done(crew, b"big", big, whole)


def _everyone(trial: _Trial, crew: Crew) -> None:
    """Parts come until each worker has answered one, or it is clear that one never will."""
    seen: set[str] = set()

    parts = takewhile(lambda _: len(seen) < crew.size, _many(trial))
    for reply in crew.compute(b"everyone", parts):
        trial.done(reply)
        seen.add(reply.worker)
    what = f"of {crew.size} workers {len(seen)} have computed something"
    law(len(seen) == crew.size, "every worker computes", what)


def _many(trial: _Trial) -> Iterator[bytes]:
    """As many parts as it takes until workers have started that ever will: one alone is at them for
    two minutes."""
    return (Errand(trial.name(), sleep=0.1).part() for _ in range(1200))


def _careful(trial: _Trial, crew: Crew, ahead: int | None) -> None:
    """Which parts it takes and where; what follows from a call that does not come to its end."""
    taken: list[int] = []
    most = 0

    def parts(number: int) -> Iterator[bytes]:
        for _ in range(number):
            taken.append(threading.get_ident())
            yield Errand(trial.name(), sleep=0.01).part()

    replies = crew.compute(b"ahead", parts(8 * crew.size + (ahead or 0)))
    for used, reply in enumerate(replies):
        most = max(most, len(taken) - used)
        trial.done(reply)
    here = "parts are taken in the thread of the caller"
    law(set(taken) == {threading.get_ident()}, here, "another thread has taken some")
    name = "no more parts are taken than it promises"
    if ahead is None:
        untried("no sample gives `ahead`", name)
    else:
        law(most <= ahead, name, f"{most} had no reply that was used, {ahead} were promised")
    _broken(trial, crew)
    stopped = crew.compute(b"stopped", parts(20 * crew.size))
    trial.done(next(stopped))
    stopped.close()  # type: ignore[attr-defined]
    few = [(Errand(trial.name(), sleep=0.01), b"") for _ in range(4 * crew.size)]
    trial.all_done(crew, b"after", few, "a call that is stopped leaves the next one sound")


class _Breaks(Exception):
    """What parts raise that cannot be made."""


def _broken(trial: _Trial, crew: Crew) -> None:
    def parts() -> Iterator[bytes]:
        for _ in range(2 * crew.size):
            yield Errand(trial.name(), sleep=0.01).part()
        raise _Breaks

    name = "an error of the parts comes out"
    try:
        for _ in crew.compute(b"broken", parts()):
            pass
    except _Breaks:
        pass
    except Exception as error:
        law(False, name, f"another one did: {error!r:.200}")
    else:
        law(False, name, "the call ended as if there were no more parts")
    few = [(Errand(trial.name()), b"") for _ in range(2 * crew.size)]
    trial.all_done(crew, b"mended", few, name)


def _faults(trial: _Trial, crew: Crew) -> None:
    """Workers that end."""
    # The head does its parts, too: with some seconds for each, the others get to theirs.
    mortal = [
        (Errand(trial.name(), sleep=0.2, dies="once" if number % 3 == 1 else ""), b"")
        for number in range(6 * crew.size)
    ]
    said = len(trial.said)
    found = trial.all_done(crew, b"mortal", mortal, _REPLACED)
    ended = died(trial.notes)
    if not ended:
        why = "only the head has computed; none of its parts can end it"
        untried(why, _REPLACED, _BESIDE, _MOURNED, _HOPELESS)
        return
    spared = [name for name in ended if found[name][1].head]
    law(not spared, _BESIDE, f"{spared[:1]}: it could have ended the run")
    law(len(trial.said) > said, _MOURNED, f"{len(ended)} were lost, and nothing was said")
    _hopeless(trial, crew)


def _hopeless(trial: _Trial, crew: Crew) -> None:
    fatal = (Errand(trial.name(), sleep=0.2, dies="always").part() for _ in range(8 * crew.size))
    before = len(died(trial.notes))
    try:
        for reply in crew.compute(b"fatal", fatal):
            done = trial.done(reply)
            law(done.head, _HOPELESS, f"{done.name} was answered, which nobody can")
    except MachineError as error:
        law(bool(str(error).strip()), _HOPELESS, "it has no message")
    except Exception as error:
        law(False, _HOPELESS, f"it is {error!r:.300}")
    else:
        law(len(died(trial.notes)) == before, _HOPELESS, "the call ended without an error")


def _left_by_errors(
    trial: _Trial, executor: Callable[[Any], Executor], options: ExecutorOptions
) -> None:
    """A block that is left by an error, amid a call, when all are at work."""
    name, seen = "an error in the block comes out", set[str]()
    try:
        with executor(options).crew(trial.outfit()) as crew:
            replies = crew.compute(b"left", _many(trial))
            for reply in replies:
                trial.done(reply)
                seen.add(reply.worker)
                if len(seen) >= crew.size:
                    break
            raise _Breaks
    except _Breaks:
        pass
    except Exception as error:
        law(False, name, f"another one did: {error!r:.200}")
    else:
        law(False, name, "none did")


def _gone(trial: _Trial) -> None:
    """Of the processes on this machine that worked, only the head is left."""
    mine = {one for host, one, head in trial.processes if host == socket.gethostname() and not head}
    until = time.monotonic() + PATIENCE
    while (left := {one for one in mine if _lives(one)}) and time.monotonic() < until:
        time.sleep(0.05)
    name = "nothing of it lives after the block"
    law(not left, name, f"{len(left)} of {len(mine)} processes do after {PATIENCE:g} s")


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        state = Path(f"/proc/{process}/stat").read_text("ascii", "replace")
    except OSError:
        return True
    return state.rpartition(")")[2].split()[:1] != ["Z"]


@contextmanager
def _printed() -> Iterator[list[str]]:
    """A block in which stdout goes into a file, that of other processes, too; afterwards its lines.

    What pytest or `harness plugins check` has to print comes before and after it.
    """
    import tempfile

    found: list[str] = []
    sys.stdout.flush()
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            yield found
        finally:
            sys.stdout.flush()
            os.dup2(kept, 1)
            os.close(kept)
            file.seek(0)
            found += file.read().decode("utf-8", "replace").splitlines()


def _process() -> dict[str, Any]:
    """What all code of a process shares, and a run may depend on."""
    signals = {f"handler of {one.name}": signal.getsignal(one) for one in signal.Signals}
    variables = {f"variable {name}": text for name, text in os.environ.items()}
    path = {"search path": list(sys.path)}
    return {"working folder": os.getcwd(), **signals, **variables, **path}  # noqa: PTH109
