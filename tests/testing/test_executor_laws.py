"""Executors with one fault each: `check_executor` names the law. Most compute in the head."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

import harness.testing.executor
from harness.contract import Crew, ExecutorOptions, Outfit, Reply, Worker, start_worker
from harness.testing import check_executor
from harness.testing.support.laws import missed_laws
from harness_executors.local import Local, Several
from harness_executors.local_desk import Desk, Job
from harness_executors.local_minder import Minder
from harness_executors.options import LocalOptions

LIMIT = 2**16
"""More bytes than any part has but the big ones."""


@pytest.fixture
def smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Big parts are only as big as a fault needs that cuts them; in earnest they are bigger than
    what a message of many systems may be."""
    assert harness.testing.executor.BIG > 2**24
    monkeypatch.setattr(harness.testing.executor, "BIG", 4 * LIMIT)


class Here:
    """Sound: one part after the other, in the process of the head."""

    size: ClassVar[int] = 1

    def __init__(self, options: ExecutorOptions) -> None:
        self.options = options

    @contextmanager
    def crew(self, outfit: Outfit) -> Iterator[Crew]:
        self.outfit = outfit
        self.worker: Worker = start_worker(outfit.text)
        yield self

    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        for number, part in enumerate(parts):
            yield self.reply(shared, number, part)

    def reply(self, shared: bytes, number: int, part: bytes) -> Reply:
        return Reply(number, "here/1", self.worker.work(shared, part))


class Forgets(Here):
    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        for reply in super().compute(shared, parts):
            if reply.part != 7:
                yield reply


class Repeats(Here):
    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        for reply in super().compute(shared, parts):
            yield from [reply] * (1 + (reply.part == 7))


class Mixes(Here):
    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        last: Reply | None = None
        for reply in super().compute(shared, parts):
            if last is not None:
                yield replace(last, part=reply.part)
                yield replace(reply, part=last.part)
            last = reply if last is None else None
        if last is not None:
            yield last


class FromOne(Here):
    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        for number, part in enumerate(parts, start=1):
            yield self.reply(shared, number, part)


class SharesTheFirst(Here):
    """What parts share is sent once, and never again."""

    first: bytes | None = None

    def reply(self, shared: bytes, number: int, part: bytes) -> Reply:
        self.first = shared if self.first is None else self.first
        return super().reply(self.first, number, part)


class Cuts(Here):
    def reply(self, shared: bytes, number: int, part: bytes) -> Reply:
        return super().reply(shared, number, part[:LIMIT])


class Nameless(Here):
    def reply(self, shared: bytes, number: int, part: bytes) -> Reply:
        return replace(super().reply(shared, number, part), worker="")


class SaysTwo(Here):
    size: ClassVar[int] = 2


class Empty(Here):
    size: ClassVar[int] = 0


class AtOnce(Here):
    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        yield from super().compute(shared, list(parts))


class InAThread(Here):
    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        taken: list[bytes] = []

        def take() -> None:
            try:
                taken.extend(parts)
            except Exception as error:
                taken.append(repr(error).encode())

        thread = threading.Thread(target=take)
        thread.start()
        thread.join()
        yield from super().compute(shared, taken)


class Swallows(Here):
    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        iterator, number = iter(parts), 0
        while True:
            try:
                part = next(iterator)
            except Exception:
                return
            yield self.reply(shared, number, part)
            number += 1


class Wraps(Here):
    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        try:
            yield from super().compute(shared, parts)
        except Exception as error:
            raise RuntimeError("a worker failed") from error


class KeepsOn(Here):
    """What a stopped call has left is answered in the next."""

    def __init__(self, options: ExecutorOptions) -> None:
        super().__init__(options)
        self.left: list[Reply] = []

    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        yield from self.left
        self.left = []
        for number, part in enumerate(parts):
            reply = self.reply(shared, number, part)
            try:
                yield reply
            except GeneratorExit:
                self.left = [reply]
                raise


class Prints(Here):
    @contextmanager
    def crew(self, outfit: Outfit) -> Iterator[Crew]:
        os.write(1, b"connected to a cluster\n")
        with super().crew(outfit) as crew:
            yield crew


class LeavesSignals(Here):
    @contextmanager
    def crew(self, outfit: Outfit) -> Iterator[Crew]:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        with super().crew(outfit) as crew:
            yield crew


class Mutes(Here):
    @contextmanager
    def crew(self, outfit: Outfit) -> Iterator[Crew]:
        with super().crew(outfit) as crew:
            try:
                yield crew
            except Exception:
                return


FAULTS: list[tuple[type[Here], str]] = [
    (Forgets, "every part is answered once: 30 parts, replies to"),
    (Repeats, "every part is answered once: 30 parts, replies to"),
    (Mixes, "every part is answered once: the reply to part 1 is that of"),
    (FromOne, "every part is answered once: 30 parts, replies to"),
    (SharesTheFirst, "what a call shares reaches every worker: part 0"),
    (Cuts, "big parts and replies are whole: the reply to part 0"),
    (Nameless, "a reply says who computed it: ''"),
    (SaysTwo, "every worker computes: of 2 workers 1"),
    (Empty, "there is at least one worker: size is 0"),
    (AtOnce, "no more parts are taken than it promises: "),
    (InAThread, "parts are taken in the thread of the caller: "),
    (Swallows, "an error of the parts comes out: the call ended as if"),
    (Wraps, r"an error of the parts comes out: another one did: RuntimeError\('a worker failed'"),
    (KeepsOn, "a call that is stopped leaves the next one sound"),
    (Prints, r"nothing is printed on stdout: \['connected to a cluster'\]"),
    (LeavesSignals, "the process is left as it is: another handler of SIGUSR1"),
    (Mutes, "an error in the block comes out: none did"),
]


@pytest.mark.slow
@pytest.mark.usefixtures("smaller")
@pytest.mark.parametrize(("executor", "law"), FAULTS, ids=[one.__name__ for one, _ in FAULTS])
def test_a_fault_is_named_by_its_law(
    executor: type[Here], law: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # nothing here works beside anything else
    before = signal.getsignal(signal.SIGUSR1)
    try:
        with pytest.raises(AssertionError, match=f"law broken: {law}"):
            check_executor(executor, ExecutorOptions(), tmp_path, ahead=4)
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.slow
def test_what_computes_in_the_head_keeps_all_laws_that_can_be_tried(tmp_path: Path) -> None:
    with missed_laws() as missed:
        check_executor(Here, ExecutorOptions(), tmp_path)
    assert set(missed) == {
        "a part that ends every worker is a MachineError",
        "a worker that ends is replaced, and its part computed",
        "a worker that was lost is said",
        "no more parts are taken than it promises",
        "what ended a worker is not given to the head",
    }
    assert missed["a worker that was lost is said"].startswith("its workers are in the head's own")


# ── Workers that end, in the executor `local` with one fault ──────────────────────────────────────


def _takes_all(patch: pytest.MonkeyPatch) -> None:
    """The head takes whatever lies there."""

    def take_home(self: Desk) -> Job | None:
        with self._turn:
            self._open -= bool(self._waiting)
            return self._waiting.popleft() if self._waiting else None

    patch.setattr(Desk, "take_home", take_home)


def _silent(patch: pytest.MonkeyPatch) -> None:
    sound = Minder.__init__

    def muted(self: Minder, name: str, share: Any, outfit: Outfit, *more: Any) -> None:
        sound(self, name, share, replace(outfit, say=lambda line: None), *more)

    patch.setattr(Minder, "__init__", muted)


def _answers_for_it(patch: pytest.MonkeyPatch) -> None:
    """A lost part has an empty reply."""
    patch.setattr(Desk, "bring_back", lambda self, job, how: self.answer(job, "local/0", b""))


def _raw(patch: pytest.MonkeyPatch) -> None:
    sound = Desk.fail
    patch.setattr(Desk, "fail", lambda self, error: sound(self, ChildProcessError(9)))


def _leaves(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(harness.testing.executor, "PATIENCE", 0.3)
    patch.setattr(Several, "end", lambda self: None)


@pytest.mark.slow
@pytest.mark.usefixtures("smaller")
@pytest.mark.parametrize(
    ("fault", "law"),
    [
        (_takes_all, r"what ended a worker is not given to the head: \['errand-"),
        (_silent, "a worker that was lost is said: [0-9]+ were lost, and nothing was said"),
        (_answers_for_it, "a worker that ends is replaced, and its part computed: the reply to"),
        (_raw, "a part that ends every worker is a MachineError: it is ChildProcessError"),
        (_leaves, "nothing of it lives after the block: 1 of [0-9]+ processes do after 0.3 s"),
    ],
)
def test_a_fault_with_workers_that_end_is_named_by_its_law(
    fault: Callable[[pytest.MonkeyPatch], None],
    law: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fault(monkeypatch)
    with pytest.raises(AssertionError, match=f"law broken: {law}"):
        check_executor(Local, LocalOptions(workers=2), tmp_path)
