"""How long an SAE takes to load: the first time, later, and beside reading its bytes alone.

    python tests/benchmarks/load_speed.py [--gigabytes 1.2] [--repeats 5] [--threads 1]

A made TopK SAE in SAELens' folder. In turns, each load by what another process would know of it:

- `read`: the bytes of its file into one buffer, and nothing else;
- `first`: a load with an empty cache; `first, cold`: the same after the system was told to forget
  the pages of the file, where it does so (`posix_fadvise`);
- `later`: a load with the cache that the first one left;
- `later, used`: the same, and then every number of both matrices once, as a first batch needs them;
- `as before`: mapping the file, a sum in float64 of each tensor, and a sha256 of all: what each
  load did at commit 9e1bff8.

Times are medians of the turns, as wall clock and as processor's seconds; `× read` is the median of
the turns' ratios, and its least and largest. Memory is what a load adds that belongs to the process
alone, in megabytes (`Anonymous` of Linux' smaps): weights that are used as stored are pages of the
file, which all processes share. The folder is removed at the end.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import platform
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from turns.series import Asked, Series, told

from harness.store.cache import Cache
from harness.store.known_files import KnownFiles, knowing
from harness_saes.core.linear import LinearSae
from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import WEIGHTS, SaelensOptions

D, K = 2304, 100
_BUFFER = 2**24


@dataclass(frozen=True)
class Turn:
    """What one load took: seconds of the clock and of the processor, and private megabytes."""

    wall: float
    processor: float
    private: float


def write_sae(folder: Path, gigabytes: float) -> Path:
    """A random SAE of about this size, in SAELens' layout; its file of weights."""
    latents = max(K, round(gigabytes * 1e9 / (8 * D)))
    draw = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw).mul_(shape[0] ** -0.5)

    told = {"architecture": "topk", "d_in": D, "d_sae": latents, "k": K, "dtype": "float32"}
    told |= {"apply_b_dec_to_input": True, "normalize_activations": "none"}
    (folder / "cfg.json").write_text(json.dumps(told))
    weights = {"W_enc": normal(D, latents), "W_dec": normal(latents, D)}
    save_file({**weights, "b_enc": normal(latents), "b_dec": normal(D)}, folder / WEIGHTS)
    with (folder / WEIGHTS).open("rb") as written:
        os.fsync(written.fileno())
    return folder / WEIGHTS


def read(file: Path) -> None:
    buffer = bytearray(_BUFFER)
    with file.open("rb", buffering=0) as content:
        while content.readinto(buffer):
            pass


def forget(file: Path) -> None:
    """Asks the system to drop the pages of a file from memory; it may not."""
    if hasattr(os, "posix_fadvise"):
        with file.open("rb") as content:
            os.posix_fadvise(content.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def load(file: Path, cache: Path) -> LinearSae:
    """The SAE, as a process loads it that knows no more than the cache."""
    with knowing(KnownFiles(Cache(cache, 10**9))):
        sae = Saelens(SaelensOptions(path=str(file.parent))).load("cpu")
    assert isinstance(sae, LinearSae)
    return sae


def touch(sae: LinearSae) -> float:
    return float(sae._w_enc.sum() + sae._w_dec.sum())


def as_before(file: Path) -> str:
    digest = hashlib.sha256()
    tensors = load_file(file)
    for tensor in tensors.values():
        assert tensor.sum(dtype=torch.float64).isfinite()
    for name in sorted(tensors):
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def private() -> float:
    """Megabytes that belong to this process alone; 0 where the system does not say."""
    try:
        text = Path("/proc/self/smaps_rollup").read_text()
    except OSError:
        return 0.0
    found = re.search(r"^Anonymous:\s*(\d+)", text, re.MULTILINE)
    return int(found[1]) / 1000 if found else 0.0


def timed(work: Callable[[], object]) -> Turn:
    gc.collect()
    before, begun, busy = private(), time.perf_counter(), time.process_time()
    kept = work()
    wall, processor = time.perf_counter() - begun, time.process_time() - busy
    turn = Turn(wall, processor, private() - before)
    del kept
    return turn


def turns(file: Path, caches: Path, repeats: int) -> dict[str, list[Turn]]:
    """All contenders in turns; `caches` is a folder for theirs."""
    found: dict[str, list[Turn]] = {}

    def take(name: str, work: Callable[[], object]) -> None:
        found.setdefault(name, []).append(timed(work))

    for turn in range(repeats):
        cache, other = caches / str(turn), caches / f"{turn}-cold"
        take("read", lambda: read(file))
        take("first", lambda: load(file, cache))  # noqa: B023
        take("later", lambda: load(file, cache))  # noqa: B023
        take("later, used", lambda: (sae := load(file, cache), touch(sae)))  # noqa: B023
        take("as before", lambda: as_before(file))
        forget(file)
        take("first, cold", lambda: load(file, other))  # noqa: B023
    return found


def measured(gigabytes: float, repeats: int, folder: Path | None = None) -> dict[str, object]:
    """All figures, as plain values."""
    with tempfile.TemporaryDirectory(prefix="harness-load-", dir=folder) as name:
        place = Path(name)
        file = write_sae(place, gigabytes)
        size = file.stat().st_size
        time.sleep(2.1)  # nothing is remembered of younger files
        read(file)
        found = turns(file, place / "caches", repeats)
    alone = [one.wall for one in found["read"]]
    return {
        "bytes": size,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "loads": {
            name: {
                "wall": statistics.median(one.wall for one in many),
                "processor": statistics.median(one.processor for one in many),
                "private_mb": statistics.median(one.private for one in many),
                "to_read": sorted(one.wall / it for one, it in zip(many, alone, strict=True)),
            }
            for name, many in found.items()
        },
    }


def series(asked: Asked) -> Iterator[Series]:
    """Each load in seconds on the wall, beside reading the file."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="harness-load-") as name:
        place = Path(name)
        file = write_sae(place, 0.004 if asked.toy else 1.2)
        time.sleep(2.1)  # nothing is remembered of younger files
        read(file)
        found = turns(file, place / "caches", asked.repeats)
    walls = {name: tuple(one.wall for one in many) for name, many in found.items()}
    for name in walls.keys() - {"read"}:
        yield Series("", name, walls[name], "s", walls["read"], ours=name != "as before")


def main(arguments: list[str]) -> int:
    if told(arguments, series):
        return 0
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=1.2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where the SAE is written, and removed again")
    parser.add_argument("--figures", action="store_true", help="all of them, as a line of JSON")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    found = measured(given.gigabytes, given.repeats, given.folder)
    if given.figures:
        sys.stdout.write(json.dumps(found) + "\n")
        return 0
    loads = found.pop("loads")
    assert isinstance(loads, dict)
    sys.stdout.write(", ".join(f"{key} {value}" for key, value in found.items()) + "\n")
    for name, one in loads.items():
        ratios = one["to_read"]
        sys.stdout.write(
            f"{name:12} {one['wall']:8.3f} s  processor {one['processor']:8.3f} s  "
            f"× read {statistics.median(ratios):6.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})  "
            f"private {one['private_mb']:8.1f} MB\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
