"""Files: SAEs, models, adapters, tokenizers, templates and data, each made wrong and then used."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from unittest import mock

from campaign.files.attempt import Outcome, attempt
from campaign.files.byte_damage import clear
from campaign.files.judge import Case, judged, numbers
from campaign.files.subject import TASK, Subject
from campaign.files.told import Damage, Told
from campaign.trial import Tried, Try

_WARM = ("model llama", "sae saelens 0", "adapter lora", "gguf alone", "labels .csv",
         "data rows.parquet asked")  # fmt: skip
"""Subjects that between them make use of all libraries."""


@dataclass
class Bench:
    """Subjects by group, and what a run makes of each while it is sound."""

    place: Path
    subjects: list[Subject]
    _sound: dict[str, str] = field(default_factory=dict)

    def by_chance(self, chance: random.Random) -> Tried:
        """One file of one subject made wrong: each group of subjects is as likely as the others,
        but for SAEs, of which there are many formats."""
        groups = [subject.name.split()[0] for subject in self.subjects]
        group = chance.choice(sorted({*groups}) + ["sae"] * 2)
        subject = chance.choice([s for s in self.subjects if s.name.split()[0] == group])
        more = chance.random() < 0.1
        work = self._copy(subject)
        files, told = subject.damage(work / "files", chance)
        return self._tried(subject, files, told, work, report=more)

    def with_damage(self, subject: str, file: str, damage: Damage) -> Tried:
        """A subject with this one damage of one file."""
        found = next(one for one in self.subjects if one.name == subject)
        work = self._copy(found)
        told = damage(work / "files" / file, random.Random(0))
        return self._tried(found, (file,), told, work, report=True)

    def _copy(self, subject: Subject) -> Path:
        work = self.place / f"work-{os.getpid()}"
        clear(work)
        shutil.copytree(subject.folder, work / "files")
        return work

    def _tried(
        self, subject: Subject, files: tuple[str, ...], told: Told, work: Path, *, report: bool
    ) -> Tried:
        before = _state(work / "files")
        outcome = self._run(work, report=report)
        accepted = len(outcome.verdicts) > 1 and not outcome.verdicts[1].code
        sound = self._numbers(subject) if accepted else ""
        case = Case(files, told, subject.table, work / "run", sound)
        end, fault = judged(outcome, case)
        faults = [fault, *_left(work, before)]
        clear(work)
        what = f"{subject.name}, {files[0]}: {told.what}"
        return Tried(_group(subject), end, what, "\n".join(filter(None, faults)))

    def _numbers(self, subject: Subject) -> str:
        """What a run on the sound files says; the files are its own."""
        if subject.name not in self._sound:
            work = self.place / f"sound-{os.getpid()}"
            clear(work)
            shutil.copytree(subject.folder, work / "files")
            outcome = self._run(work, report=True)
            codes = [one.code for one in outcome.verdicts]
            if outcome.ended or any(codes) or len(codes) < 3:
                said = "".join(one.err for one in outcome.verdicts)
                raise RuntimeError(f"{subject.name} is not sound: {codes} {said} {outcome}")
            self._sound[subject.name] = numbers(work / "run")
            clear(work)
        return self._sound[subject.name]

    def _run(self, work: Path, *, report: bool) -> Outcome:
        task, run = str(work / "files" / TASK), str(work / "run")
        commands = [["check", task], ["eval", task, "--out", run, "-q"]]
        return attempt([*commands, *([["report", run]] if report else [])], work)


def _group(subject: Subject) -> str:
    """What its tries are counted under: the kind of file, and of SAEs the format."""
    kind, _, rest = subject.name.partition(" ")
    return f"{kind} {rest.split()[0]}" if kind == "sae" else kind


def _state(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file of a folder, with its size and the time of its last change."""
    stats = ((file, file.lstat()) for file in sorted(folder.rglob("*")))
    return {str(file): (stat.st_size, stat.st_mtime_ns) for file, stat in stats}


def _left(work: Path, before: dict[str, tuple[int, int]]) -> Iterator[str]:
    """What lies where nothing may."""
    if (after := _state(work / "files")) != before:
        yield f"the files were changed: {sorted(set(after.items()) ^ set(before.items()))[:3]}"
    for name in ("home", "tmp", "empty"):
        if found := sorted((work / name).rglob("*")):
            yield f"left in {name}: {found[:3]}"


class Files:
    """The campaign."""

    about = "SAE, model, adapter, tokenizer, template and data files, made wrong and used"

    @contextlib.contextmanager
    def ready(self, place: Path) -> Iterator[Try]:
        """Sound files, all libraries imported, and a try that forks."""
        with self.bench(place) as bench:
            yield bench.by_chance

    @contextlib.contextmanager
    def bench(self, place: Path, *, warm: tuple[str, ...] = _WARM) -> Iterator[Bench]:
        """The same, for tries that are named."""
        from campaign.files.subjects import subjects
        from harness.cli.main import main
        from harness.registry import discover
        from harness.running.provenance import installed

        registry = discover()
        offline = {"HF_HUB_OFFLINE": "1", "HARNESS_CACHE": "", "HARNESS_CONFIG": "",
                   "TOKENIZERS_PARALLELISM": "false"}  # fmt: skip
        with (
            mock.patch("harness.registry.discover", return_value=registry),
            mock.patch.dict(os.environ, offline),
            mock.patch.object(sys, "dont_write_bytecode", True),
            # Half of what a small run takes: five megabytes of script in each page, waiting for
            # the disk, the versions of packages. None has anything to do with what is in a file.
            mock.patch("plotly.offline.get_plotlyjs", return_value="/* plotly */"),
            mock.patch("os.fsync", return_value=None),
            mock.patch("harness.running.provenance.installed", cache(installed)),
        ):
            bench = Bench(place, subjects(registry, place))
            run = place / f"warm-{os.getpid()}"
            for subject in bench.subjects:
                if subject.name in warm:
                    clear(run)
                    with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
                        main(["eval", str(subject.folder / TASK), "--out", str(run), "-q"])
            clear(run)
            gc.collect()
            gc.freeze()  # a run collects garbage, and would look at all of torch each time
            try:
                yield bench
            finally:
                gc.unfreeze()


CAMPAIGN = Files()
