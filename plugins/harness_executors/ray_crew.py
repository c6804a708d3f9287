"""The workers of `ray` while a run goes on: places, parts, and who ended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import Any

import ray
from ray import exceptions

from harness.contract import Outfit, Reply
from harness.errors import MachineError, UsageError
from harness.text import for_terminal
from harness_executors.options import RayOptions
from harness_executors.ray_connection import Link
from harness_executors.ray_parts import Parts
from harness_executors.ray_pulse import Pulse
from harness_executors.ray_reasons import Reason, reason
from harness_executors.ray_room import Room, ask_in_words, asked, counted
from harness_executors.ray_seat import Opener, Seat, Stage

_TICK = 1.0
"""Seconds after which the head looks around, though nothing has happened."""
_GROWTH = 3.0
"""Seconds between two looks for more room."""
_PATIENT = 10.0
"""Seconds without a place after which that is said."""
_SHORT = 1.0
"""Seconds of a part up to which its worker has the next one already while it computes it. Longer
ones would only wait behind each other, while somebody else may be free."""
_GRACE = 10.0
"""Seconds that a part may go on for when its call was left; then its worker is ended."""
_STARTS = 3
"""So many workers in a row may end before they take a part."""


class RayCrew:
    """The actors of one run."""

    def __init__(
        self, options: RayOptions, outfit: Outfit, link: Link, path: Sequence[str]
    ) -> None:
        self._options, self._outfit, self._link = options, outfit, link
        room = _room()
        self._ask = asked(options, room, link.own)
        self._opener = Opener(self._ask, path)
        self._seats: list[Seat] = []
        self._pace = _SHORT + 1  # no part is known to be short yet
        self._call, self._failed, self._last = 0, 0, Reason("")
        self._looked, self._growth = time.monotonic(), _GROWTH
        self._unsaid, self._pause = time.monotonic() + _PATIENT, _PATIENT
        self._pulse = Pulse(link.answers)
        self._lonely = True  # no worker has been ready yet
        fit = room.ever(self._ask) if link.own else room.now(self._ask)
        number = options.workers or max(1, fit)
        self._open(number)
        outfit.say(
            f"ray: {counted(number, 'worker')} asked for {link.where}, "
            f"each with {ask_in_words(self._ask)}"
        )

    @property
    def size(self) -> int:
        """How many actors there are, or have been asked for."""
        return max(1, len(self._seats))

    def wait_for_room(self) -> None:
        """Returns once some node could hold a worker. UsageError where none ever can.

        The workers have been asked for already: a cluster that grows, grows now.
        """
        until = time.monotonic() + (0 if self._link.own else self._options.patience)
        while not (room := _room()).ever(self._ask):
            if time.monotonic() >= until:
                raise UsageError(
                    f"executor ray: no node {self._link.where} can hold a worker, which asks for "
                    f"{ask_in_words(self._ask)}. The cluster has {room.in_words(self._ask)}, and a "
                    "worker must fit on one node. Set cpus, gpus or resources of [executor] to "
                    "what a node has, or patience to the seconds in which the cluster grows."
                )
            time.sleep(0.2)

    def compute(self, shared: bytes, parts: Iterable[bytes]) -> Iterator[Reply]:
        """The replies, as they come."""
        todo = Parts(parts)
        if not todo.left:
            return
        self._call += 1
        try:
            yield from self._replies(ray.put(shared), todo)
        except GeneratorExit:
            self._stop(_GRACE)
            raise
        except (exceptions.RaySystemError, exceptions.RpcError, ConnectionError) as error:
            if isinstance(error, ConnectionError) and self._link.answers():
                self._stop(0)
                raise  # somebody else's: of what makes the parts
            raise MachineError(
                f"executor ray: the cluster {self._link.where} is gone ({reason(error).why}). "
                "What was done is kept: the same command continues once it is there again."
            ) from error
        except BaseException:
            self._stop(0)
            raise
        finally:
            self._let_go()

    def close(self) -> None:
        """Ends all actors."""
        if self._link.answers():  # else Ray would wait for it
            for seat in self._seats:
                _end(seat)
        self._seats.clear()

    # ── One call ────────────────────────────────────────────────────────────────────────────────

    def _replies(self, shared: Any, todo: Parts) -> Iterator[Reply]:
        new = self._news(0)  # who has gone since the last call must not be given anything
        while True:
            for seat in new:
                yield from self._hear(seat, todo)
            if self._pulse.there():
                self._staff()
            if not self._hand_out(shared, todo):
                return
            new = self._news(_TICK)

    def _hand_out(self, shared: Any, todo: Parts) -> bool:
        """Gives parts to whoever has none, then a second one where they are short; whether anybody
        has one, or one is left."""
        ready = [seat for seat in self._seats if seat.stage is Stage.READY]
        for depth in range(2 if self._pace < _SHORT else 1):
            for seat in ready:
                if len(seat.parts) == depth:
                    part = todo.take()
                    if part is None:
                        break
                    seat.give(self._call, shared, part)
        return any(seat.parts for seat in ready) or todo.left

    def _news(self, patience: float) -> list[Seat]:
        """Seats of which something is new, after at most so many seconds."""
        awaited = {ref: seat for seat in self._seats for ref in seat.awaited()}
        if not awaited:
            return []
        done, _ = ray.wait(list(awaited), num_returns=1, timeout=patience)
        if done and len(awaited) > 1:
            done, _ = ray.wait(list(awaited), num_returns=len(awaited), timeout=0)
        return list({id(awaited[ref]): awaited[ref] for ref in done}.values())

    def _hear(self, seat: Seat, todo: Parts) -> Iterator[Reply]:
        try:
            if seat.stage is Stage.WAITING:
                node = for_terminal(seat.said(), 80)
                seat.start(node, self._name(node), self._outfit.text)
            elif seat.stage is Stage.STARTING:
                self._started(seat, seat.said())
            elif seat.parts and (reply := self._reply(seat)) is not None:
                yield reply
            elif not seat.parts:
                ray.get(seat.awaited()[0])  # its watch: raises why it is gone
        except (exceptions.RaySystemError, exceptions.RpcError):
            raise  # not somebody is gone, but the cluster
        except exceptions.RayError as error:
            self._lose(seat, error, todo)

    def _reply(self, seat: Seat) -> Reply | None:
        content = seat.reply()
        _, part, given = seat.parts.popleft()
        now = time.monotonic()
        self._pace = now - max(given, seat.since)
        seat.since = now
        assert content is not None, "a part of a call that goes on is never dropped"
        return Reply(part.number, seat.name, content)

    def _started(self, seat: Seat, problem: str) -> None:
        if not problem:
            seat.ready()
            self._failed, self._lonely = 0, False
            return
        text = (
            f"executor ray: node {seat.node} cannot make a worker ({for_terminal(problem)}). Each "
            "node needs what this process has: the same versions of sae-harness, of its plugins "
            "and of torch, in the Python that Ray runs there. Install them on that node."
        )
        self._remove(seat)
        self._failed, self._last = self._failed + 1, Reason(f"node {seat.node} cannot make one")
        if self._lonely:
            raise UsageError(text)
        self._outfit.say(text)

    def _stop(self, grace: float) -> None:
        """Nothing of this call is computed any more when this returns."""
        busy = [seat for seat in self._seats if seat.parts]
        refs = [ref for seat in busy for ref, _, _ in seat.parts]
        left: set[Any] = set(refs)
        if grace and refs:
            for seat in busy:
                seat.drop(self._call)
            left = set(ray.wait(refs, num_returns=len(refs), timeout=grace)[1])
        for seat in busy:
            if any(ref in left for ref, _, _ in seat.parts):
                self._remove(seat)
            seat.parts.clear()

    def _let_go(self) -> None:
        """What the parts of this call shared is in no actor any more."""
        with suppress(exceptions.RayError, ConnectionError):
            for seat in self._seats:
                if seat.stage is Stage.READY:
                    seat.drop(self._call)

    # ── Who is there ────────────────────────────────────────────────────────────────────────────

    def _staff(self) -> None:
        """As many actors as there should be; says so when there is no place for any."""
        if self._failed >= _STARTS and not any(s.stage is Stage.READY for s in self._seats):
            raise MachineError(
                f"executor ray: {_STARTS} workers in a row ended before they took a part, the last "
                f"one: {self._last.why}.{self._last.advice} What was done is kept: the same "
                "command continues."
            )
        waiting = [seat for seat in self._seats if seat.stage is Stage.WAITING]
        if not waiting:
            self._unsaid, self._pause = time.monotonic() + _PATIENT, _PATIENT
        if self._failed < _STARTS:
            self._open(self._missing(waiting))
        if waiting:
            self._say_waiting(waiting)

    def _missing(self, waiting: Sequence[Seat]) -> int:
        """How many actors to ask for."""
        if self._options.workers:
            return self._options.workers - len(self._seats)
        if not self._seats:
            return 1
        if waiting or time.monotonic() - self._looked < self._growth:
            return 0
        self._looked = time.monotonic()
        return _room().now(self._ask)

    def _say_waiting(self, waiting: Sequence[Seat]) -> None:
        """Says who waits, after ten seconds and then ever more rarely. Where the number was left to
        the cluster, those who wait while others work are not waited for."""
        if time.monotonic() < self._unsaid:
            return
        if not self._options.workers and len(waiting) < len(self._seats):
            for seat in waiting:
                self._remove(seat)
            self._growth *= 2  # what is free is too scattered for one more
            return
        self._pause *= 2
        self._unsaid = time.monotonic() + self._pause
        self._outfit.say(
            f"ray: {len(waiting)} of {counted(len(self._seats), 'worker')} waiting for a place. "
            f"Each asks for {ask_in_words(self._ask)}; the cluster has "
            f"{_room().in_words(self._ask)}"
        )

    def _open(self, number: int) -> None:
        for _ in range(number):
            self._seats.append(self._opener.open())

    def _lose(self, seat: Seat, error: BaseException, todo: Parts) -> None:
        """Somebody ended: what it had is for others, and the place is filled by `_staff`."""
        told = reason(error)
        who = f"worker {seat.name}" if seat.name else "a worker"
        self._remove(seat)
        self._looked = min(self._looked, time.monotonic() - self._growth + _TICK)
        if seat.stage is not Stage.READY and not told.innocent:
            self._failed, self._last = self._failed + 1, told
        self._outfit.say(
            f"ray: {who} ended: {told.why}"
            + ("; its part is given to another one" if seat.parts else "")
        )
        for _, part, _ in list(seat.parts)[:0:-1]:
            todo.give_back(part)
        if seat.parts:
            todo.lost(seat.parts[0][1], told.why, told.advice)

    def _remove(self, seat: Seat) -> None:
        self._seats = [other for other in self._seats if other is not seat]
        _end(seat)

    def _name(self, node: str) -> str:
        """The node and the smallest number that is free there."""
        taken = {seat.name for seat in self._seats}
        return next(name for n in count(1) if (name := f"{node}/{n}") not in taken)


def _room() -> Room:
    return Room.of(ray.nodes(), ray.available_resources())


def _end(seat: Seat) -> None:
    with suppress(exceptions.RayError, ConnectionError, ValueError):  # it or Ray is gone already
        seat.end()
