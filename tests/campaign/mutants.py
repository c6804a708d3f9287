"""*Mutants*: task files that are wrong, through `check`, a sample of them through `eval`.

A try is one file and one command. What a run of the organism writes is wrong at times, too: the
results that `gate`, `compare` and `report` read.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from campaign.changed import as_toml, changed
from campaign.grammar import Grammar
from campaign.referee import Limits, TooSlow, Verdict, run
from campaign.texts import damaged
from campaign.trial import Tried, Try
from campaign.values import text
from harness.registry import Registry, discover
from harness.task.file import builtin_tasks, task_folders

GROUPS = {"mutated": 43, "written": 16, "damaged": 31, "overridden": 3, "results": 5, "run": 2}
"""How tries are made, by how many of a hundred."""
RUN = ("diagnosis", "drift", "refusal")
"""The tasks of which mutants are run: on two rows of each data set they take a second or two."""
_RUNS = Limits(seconds=90.0, hangs=900.0, memory=8 * 2**30)
_LIBRARIES = ("/torchinductor_", "/proc/self/clear_refs", "'uname'", "'git', 'describe'")
"""What torch does when it is imported, and how a run knows the version of what it runs."""
_DRAWN = 40
"""How many mutants are drawn until `check` lets one through, which is then run."""
_CODES = {0: "done", 1: "a gate failed", 2: "refused", 3: "invalid", 4: "the machine"}
_KEYS = (
    "name", "title", "seed", "models.base.path", "data.web.limit", "views", "x.y", "=", "",
    '"a b".c', "a..b", "models.base.expect.layers", "directions.refusal.sweep.k",
    "saes.mid", "extends", "batch.shard",
)  # fmt: skip
_VALUES = ("false", "[", "{a=1}", "1e999", "nan", "7")


@dataclass(frozen=True)
class Mutants:
    """The shipped tasks in a folder of their own, and all ways to make something wrong of them."""

    place: Path
    tasks: dict[str, dict[str, Any]]
    grammar: Grammar

    def one(self, chance: random.Random) -> Tried:
        """One try, of a group that is drawn."""
        return self.of(chance.choices([*GROUPS], [*GROUPS.values()])[0], chance)

    def of(self, group: str, chance: random.Random) -> Tried:
        """One try of a group."""
        return _WAYS[group](self, chance)

    def check(self, group: str, name: str, content: bytes, *flags: str) -> Tried:
        """Checks a file that stands where the task `name` stood that it was made of."""
        file = (self.place / "tasks" / name).with_name("mutant.toml")
        file.write_bytes(content)
        return judged(group, f"{name}: {content!r}"[:2000], "check", str(file), *flags)

    def mutated(self, chance: random.Random) -> Tried:
        name = chance.choice(sorted(self.tasks))
        return self.check("mutated", name, as_toml(changed(chance, self.tasks[name])))

    def written(self, chance: random.Random) -> Tried:
        return self.check("written", "grammar", self.grammar.task(chance))

    def damaged(self, chance: random.Random) -> Tried:
        name = chance.choice(sorted(self.tasks))
        whole = (self.place / "tasks" / f"{name}.toml").read_bytes()
        return self.check("damaged", name, damaged(whole, chance))

    def overridden(self, chance: random.Random) -> Tried:
        value = chance.choice(_VALUES) if chance.random() < 0.3 else text(chance, 12)
        given = f"{chance.choice(_KEYS)}={value}"
        whole = (self.place / "tasks" / "refusal.toml").read_bytes()
        return self.check("overridden", "refusal", whole, "--set", given)

    def results(self, chance: random.Random) -> Tried:
        """Results that somebody has changed, by a command that reads them."""
        sound, mutant = (self.place / "results" / name for name in ("sound", "mutant"))
        whole = (sound / "results.json").read_bytes()
        if chance.random() < 0.5:
            written = damaged(whole, chance)
        else:
            content = changed(chance, json.loads(whole))
            written = json.dumps(content, default=str).encode()
        (mutant / "results.json").write_bytes(written)
        commands = (("gate",), ("compare", str(sound)), ("compare", "--json"), ("report",))
        command = chance.choice(commands)
        return judged(
            "results", f"{command[0]}: {written!r}"[:2000], *command, str(mutant),
            inside=(str(mutant),), codes=(0, 1, 2, 3),
        )  # fmt: skip

    def run(self, chance: random.Random) -> Tried:
        """A mutant that `check` has nothing against, run on two rows of each data set."""
        name = chance.choice(RUN)
        file = self.place / "tasks" / "mutant.toml"
        out = self.place / "run"
        shutil.rmtree(out, ignore_errors=True)
        for _ in range(_DRAWN):
            content = as_toml(changed(chance, _small(self.tasks[name]), 2))
            file.write_bytes(content)
            try:
                if run("check", str(file)).code == 0:
                    break
            except TooSlow:
                break  # eval checks first, too, and is judged
        return judged(
            "run", f"{name}: {content!r}"[:2000], "eval", str(file), "--limit", "2", "--out",
            str(out), inside=(str(out), *_LIBRARIES), codes=tuple(_CODES), limits=_RUNS,
        )  # fmt: skip


def _small(task: Any) -> Any:
    """The task with short completions: what is wrong with a mutant is not its length."""
    if not isinstance(task, dict):
        return task
    return {k: 4 if k == "max_new_tokens" else _small(inner) for k, inner in task.items()}


_WAYS: dict[str, Callable[[Mutants, random.Random], Tried]] = {
    "mutated": Mutants.mutated,
    "written": Mutants.written,
    "damaged": Mutants.damaged,
    "overridden": Mutants.overridden,
    "results": Mutants.results,
    "run": Mutants.run,
}


def judged(
    group: str,
    what: str,
    *arguments: str,
    inside: tuple[str, ...] = (),
    codes: tuple[int, ...] = (0, 2),
    limits: Limits | None = None,
) -> Tried:
    """A command, held against what is promised."""
    try:
        verdict = run(*arguments, limits=limits or Limits())
    except TooSlow as slow:
        return Tried(group, "hangs", what, f"{slow}")
    if broken := verdict.broken(codes, *inside, quiet=group != "run"):
        return Tried(group, "broken", what, f"{broken}\n{_end(verdict)}")
    return Tried(group, _CODES.get(verdict.code, f"exit {verdict.code}"), what)


def _end(verdict: Verdict) -> str:
    return verdict.err[-3000:]


@dataclass(frozen=True)
class MutantsCampaign:
    """Thousands of task files that are wrong: none gets more out of us than a clear message."""

    about: str = "task files that are wrong, through check and through eval"

    @contextmanager
    def ready(self, place: Path) -> Iterator[Try]:
        """The shipped tasks beside the organism, results to be changed, plugins found once."""
        with prepared(place) as made:
            yield made.one


@contextmanager
def prepared(place: Path, registry: Registry | None = None) -> Iterator[Mutants]:
    """All that tries share. Nothing that they write lies anywhere else."""
    found = registry or discover()
    tasks = _tasks(place / "tasks")
    _results(place / "results")
    tempfile.gettempdir()  # tries out once whether a file can be written there
    here = place / "here"
    here.mkdir(parents=True, exist_ok=True)
    away = {"HF_HUB_OFFLINE": "1", "HARNESS_CACHE": "", "HARNESS_CONFIG": ""}
    with ExitStack() as stack:
        stack.enter_context(patch("harness.registry.discover", lambda disabled: found))
        stack.enter_context(patch("sys.dont_write_bytecode", True))
        stack.enter_context(patch.dict(os.environ, away))
        stack.enter_context(chdir(here))
        yield Mutants(place, tasks, Grammar(found))


def _tasks(folder: Path) -> dict[str, dict[str, Any]]:
    """The shipped tasks, beside what they read: a mutant stands where its task stood."""
    # Not those of smollm2/, which are fine only where their inputs were fetched.
    files = {n: file for n, file in builtin_tasks().items() if not n.startswith("smollm2/")}
    for name, file in files.items():
        target = folder / f"{name}.toml"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    for name in ("organism", "smollm2", "league/organisms"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(task_folders()[0] / name)
    (folder / "loop.toml").write_text('extends = "mutant.toml"\n')
    return {name: tomllib.loads(file.read_text("utf-8")) for name, file in files.items()}


def _results(folder: Path) -> None:
    """A run's folder, as far as `gate`, `report` and `compare` read it."""
    record = {"id": "l0@1", "options": {"k": 1}, "value": 3.5, "n": 9, "n_of": "tokens",
              "unit": "latents", "ci": [3.0, 4.0], "null": None, "undefined": None,
              "axes": {"sae": "mid", "site": "resid_post.2"}}  # fmt: skip
    content = {
        "schema": 1, "status": "complete", "problems": [], "warnings": [], "provenance": {},
        "task": {"name": "x", "gates": {"few": {"assert": "l0[sae=mid] <= 5"}}},
        "records": [record, {**record, "axes": {"sae": "late"}, "value": None, "ci": None,
                             "undefined": "nothing was read"}],
    }  # fmt: skip
    for name in ("sound", "mutant"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "sound" / "results.json").write_text(json.dumps(content))


CAMPAIGN = MutantsCampaign()
