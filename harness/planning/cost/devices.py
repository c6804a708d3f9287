"""How long work takes: a small table of machines, and how much of their peak is really reached."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import UsageError, unknown
from harness.planning.cost.figures import Work

COMPUTE, BANDWIDTH = 0.35, 0.6
"""Shares of peak arithmetic and of peak memory bandwidth that plain transformers code reaches.

Well-kept training reaches 0.4 to 0.5 of the arithmetic (PaLM, appendix B); batches of prompts of
several lengths and hooks at every block reach less."""
PER_BLOCK = 1e-3
"""Seconds that one block of one forward takes at least: Python, launches and hooks."""


@dataclass(frozen=True)
class Device:
    """A machine, by its makers' figures without sparsity."""

    name: str
    half: float
    """bfloat16 (T4: float16) operations per second."""
    single: float
    """float32 operations per second, without TF32, as torch computes by default."""
    bandwidth: float
    """Bytes per second from memory."""
    memory: float
    """Bytes."""

    def seconds(self, flops: float, moved: float, blocks: float, number_bytes: int) -> float:
        """Seconds that work takes: those of the slowest of arithmetic, memory and launches."""
        peak = self.half if number_bytes <= 2 else self.single
        arithmetic, memory = flops / (peak * COMPUTE), moved / (self.bandwidth * BANDWIDTH)
        return max(arithmetic, memory, blocks * PER_BLOCK)

    def seconds_of(self, work: Work) -> float:
        """Seconds of forwards and of encoders, one after the other: a model may compute in half
        precision, an SAE's products are float32 (without TF32) on every device."""
        forwards = self.seconds(work.flops, work.moved, work.blocks, work.number_bytes)
        return forwards + self.seconds(work.encoding, work.encoders, 0, 4)


_T, _G = 1e12, 1e9
CPU = "CPU"
DEVICES = {
    device.name: device
    for device in (
        Device(CPU, 0.15 * _T, 0.3 * _T, 40 * _G, 16 * _G),
        Device("T4", 65 * _T, 8.1 * _T, 300 * _G, 16 * _G),
        Device("L4", 121 * _T, 30.3 * _T, 300 * _G, 24 * _G),
        Device("RTX 4090", 165 * _T, 82.6 * _T, 1008 * _G, 24 * _G),
        Device("A100", 312 * _T, 19.5 * _T, 2039 * _G, 80 * _G),
        Device("H100", 989 * _T, 67 * _T, 3350 * _G, 80 * _G),
        Device("H200", 989 * _T, 67 * _T, 4800 * _G, 141 * _G),
    )
}
"""A laptop's processor (8 cores; bfloat16 is emulated there), and GPUs that people rent."""


def find_device(name: str) -> Device:
    """Finds a device of the table by its name; case, blanks and dashes do not matter.

    Raises UsageError, which names the devices that there are.
    """
    for key, device in DEVICES.items():
        if _plain(key) == _plain(name):
            return device
    raise UsageError(f"--device: {unknown('device', name, DEVICES)}")


def _plain(name: str) -> str:
    return name.lower().replace(" ", "").replace("-", "").replace("_", "")


def time_class(seconds: float) -> str:
    """The order of a duration, `seconds`, `minutes`, `hours` or `days`: no more than is known."""
    for limit, word in ((90, "seconds"), (90 * 60, "minutes"), (36 * 3600, "hours")):
        if seconds < limit:
            return word
    return "days"


def duration(seconds: float) -> str:
    """`about 20 s`, `about 4 min`, `about 3 h`, to one figure or two."""
    for size, unit in ((86400.0, "days"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 1.5 * size:
            return f"about {_two(seconds / size)} {unit}"
    return f"about {max(1, round(seconds))} s"


def between(low: float, high: float) -> str:
    """`20 to 45 s`, `3 min to 7 min`: two durations, each to one figure or two."""
    first, last = (duration(one).removeprefix("about ") for one in (low, high))
    (value, unit), (_, other) = first.split(), last.split()
    return f"{value} to {last}" if unit == other else f"{first} to {last}"


def _two(value: float) -> str:
    return f"{value:.0f}" if value >= 9.5 else f"{value:.1g}" if value >= 3 else f"{value:.2g}"
