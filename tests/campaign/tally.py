"""What was tried: a line for each try on disk, so that a campaign can be stopped, and counts."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from campaign.trial import Tried


@dataclass(frozen=True)
class Line:
    """One try on disk."""

    campaign: str
    seed: int
    number: int
    cpu: float
    """Seconds of the processor that it took, those of its processes included."""
    tried: Tried

    @property
    def again(self) -> str:
        """The command that tries it again."""
        return f"python -m tests.campaign {self.campaign} --seed {self.seed} --first {self.number}"


def file_of(folder: Path, campaign: str, seed: int, first: int) -> Path:
    """Where a part of a campaign keeps its lines."""
    return folder / f"{campaign}-{seed}-{first}.jsonl"


def lines(file: Path) -> list[Line]:
    """The lines of a file, the last of each number. One that was torn by a crash is left out."""
    found: dict[int, Line] = {}
    for text in file.read_text("utf-8").splitlines() if file.exists() else ():
        try:
            row = json.loads(text)
        except ValueError:
            continue
        line = Line(**{**row, "tried": Tried(**row["tried"])})
        found[line.number] = line
    return list(found.values())


def append(file: Path, line: Line) -> None:
    """Writes a line, and does not come back before the disk has it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    torn = file.exists() and not file.read_bytes().endswith(b"\n")
    with file.open("ab") as out:
        out.write(b"\n" * torn + json.dumps(asdict(line)).encode() + b"\n")
        out.flush()
        os.fsync(out.fileno())


def all_lines(folders: list[Path]) -> dict[tuple[str, int, int], Line]:
    """The lines of all parts in some folders: each try once, however often it was made."""
    return {
        (line.campaign, line.seed, line.number): line
        for folder in folders
        for file in sorted(folder.glob("*.jsonl"))
        for line in lines(file)
    }


def told(found: list[Line]) -> Iterator[str]:
    """The counts by campaign, group and end, then every fault with the command that repeats it."""
    for campaign in sorted({line.campaign for line in found}):
        own = [line for line in found if line.campaign == campaign]
        faults = [line for line in own if line.tried.fault]
        cpu = sum(line.cpu for line in own)
        yield f"{campaign}: {len(own)} tried, {len(faults)} faults, {cpu:.0f} s of the processor"
        counts = Counter((line.tried.group, line.tried.end) for line in own)
        for (group, end), count in sorted(counts.items()):
            yield f"  {count:6d}  {group}: {end}"
        for line in faults:
            yield f"  fault: {line.tried.group}: {line.tried.what}"
            yield from (f"    {text}" for text in line.tried.fault.splitlines())
            yield f"    again: {line.again}"
