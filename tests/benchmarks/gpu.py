"""Parity with the CPU, benchmarks and profiles on a GPU, into one JSON: what `gpu.sh` runs.

    python tests/benchmarks/gpu.py --out gpu.json [--device cuda] [--seconds 590]
    python tests/benchmarks/gpu.py --out gpu.json --device cpu --toy     # the code, without a GPU

Parts, in this order: `parity` (`parity.py`), `sae` (`sae_speed.py`), `drift` (`drift_speed.py`),
`profile` (the drift's pass under torch.profiler: which operations take the device's time). The file
is written anew after each; a part that fails is in it with its error, and the next one begins. A
part that would begin after `--seconds` is left out by name. TF32 is off in all of them. Nothing is
resumed.

Ends with 2 where there is no GPU, with 1 where parity does not hold or a part has failed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import drift_speed
import parity
import sae_speed
import torch
from turns.clock import Time

Part = Callable[[str, bool], Any]
"""`(device, toy)`: what goes into the JSON."""


def about(device: str) -> dict[str, Any]:
    """The card and the versions that the figures belong to."""
    card = torch.cuda.get_device_name() if device.startswith("cuda") else "none: the CPU"
    return {"card": card, "torch": torch.__version__, "cuda": torch.version.cuda, "tf32": False}


def parities(device: str, toy: bool) -> list[dict[str, Any]]:
    """Each line of `parity.py`, and whether it holds."""
    lines = parity.parity(device, parity.TOY if toy else parity.SHAPES)
    return [{**asdict(one), "holds": one.holds} for one in lines]


def saes(device: str, toy: bool) -> dict[str, Any]:
    """Encode and reconstruct, in seconds on the wall: by case and contender."""
    cases = sae_speed.TOY if toy else sae_speed.CASES
    return {case.name: _figures(sae_speed.times(case, device, 7), "product") for case in cases}


def drift(device: str, toy: bool) -> dict[str, Any]:
    """The paired pass, in seconds on the wall: by contender."""
    shapes = drift_speed.TOY if toy else drift_speed.Shapes()
    return _figures(drift_speed.times(shapes, device, 5), "floor")


def _figures(found: Mapping[str, Sequence[Time]], control: str) -> dict[str, Any]:
    """Median, least and most seconds of each, and how many times its control's, by turns."""
    figures = {}
    for name, turns in found.items():
        walls = [one.wall for one in turns]
        pairs = zip(walls, (one.wall for one in found[control]), strict=True)
        ratios = [one / other for one, other in pairs]
        figures[name] = {
            "seconds": [statistics.median(walls), min(walls), max(walls)],
            f"times the {control}": [statistics.median(ratios), min(ratios), max(ratios)],
        }
    return figures


@torch.no_grad()
def profile(device: str, toy: bool) -> list[dict[str, Any]]:
    """The twenty operations that take most of the device's own time in one pass."""
    from torch.profiler import ProfilerActivity, profile as profiler

    shapes = drift_speed.TOY if toy else drift_speed.Shapes()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        drift_speed.build(folder, shapes, shapes.documents)
        (folder / "task.toml").write_text(drift_speed.task_text(shapes))
        work = drift_speed.Harness(folder, device)
        work()
        on_gpu = device.startswith("cuda")
        kinds = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * on_gpu
        with profiler(activities=kinds) as seen:
            work()
    own = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = sorted(seen.key_averages(), key=lambda one: getattr(one, own), reverse=True)
    total = sum(getattr(one, own) for one in events) or 1
    return [
        {"operation": one.key, "calls": one.count, "ms": getattr(one, own) / 1000,
         "share": getattr(one, own) / total}
        for one in events[:20]
    ]  # fmt: skip


PARTS: Mapping[str, Part] = {"parity": parities, "sae": saes, "drift": drift, "profile": profile}


def measured(
    device: str, toy: bool, until: float, file: Path, parts: Mapping[str, Part] = PARTS
) -> dict[str, Any]:
    """All parts, the file written after each."""
    found: dict[str, Any] = {"about": about(device), "seconds": {}, "failed": {}, "left out": []}
    for name, part in parts.items():
        begun = time.monotonic()
        if begun > until:
            found["left out"].append(name)
        else:
            try:
                with parity.exact():
                    found[name] = part(device, toy)
            except Exception as error:  # whatever it is, the other parts have figures
                found["failed"][name] = f"{type(error).__name__}: {error}"[:500]
            found["seconds"][name] = round(time.monotonic() - begun, 1)
        file.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return found


def well(found: Mapping[str, Any]) -> bool:
    """Whether nothing has failed, and parity was measured and holds everywhere."""
    lines = found.get("parity") or []
    return bool(lines) and not found["failed"] and all(one["holds"] for one in lines)


def main(words: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--seconds", type=float, default=590)
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args(words)
    until = time.monotonic() + given.seconds
    if given.device.startswith("cuda") and not torch.cuda.is_available():
        sys.stderr.write("gpu.py: torch finds no GPU. Run it on a machine with one.\n")
        return 2
    found = measured(given.device, given.toy, until, given.out)
    print(f"{given.out}: {found['about']['card']}; {found['seconds']}; failed: {found['failed']}")
    return int(not well(found))


if __name__ == "__main__":
    sys.exit(main())
