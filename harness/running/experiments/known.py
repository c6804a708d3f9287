"""Verdicts that are known already: from the run's own folder, and from the cache of other runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from typing import Any

from harness.contract import Answer, Completion, EvaluatorOptions, Model, Tools, Verdict
from harness.running.cached_values import CachedValues
from harness.running.code import code_of
from harness.running.contents import Contents, lasting
from harness.running.provenance import installed
from harness.running.session import Session
from harness.store.keys import key_of
from harness.store.lines import Lines
from harness.task.task import Entry

KIND = "verdicts"


@dataclass(frozen=True)
class JudgeKey:
    """All that the verdicts of one judge depend on, beside what is judged. `str` is its hash."""

    evaluator: str
    """The plugin and its component."""
    version: str
    """The version of the plugin."""
    code: str
    """A hash of the code of the plugin, of the harness, and of what runs the judge's models."""
    libraries: Mapping[str, str | None]
    """The versions of what else computes verdicts."""
    options: Mapping[str, Any]
    """Its options, with what is in files and in models in the place of paths and names."""
    seed: int
    """The seed of the task."""

    def __str__(self) -> str:
        return key_of(*astuple(self))


def judge_key(session: Session, entry: Entry[EvaluatorOptions]) -> JudgeKey:
    """The key of an evaluator of the task; the models that its options name are loaded."""
    owners = [session.task.models[name].owner for name in session.models_named(entry.options)]
    return JudgeKey(
        str(entry.owner),
        entry.owner.plugin.version,
        code_of([entry.owner, *owners]),
        {name: installed(name) for name in entry.options.libraries},
        Contents(session).options(entry.options),
        session.task.spec.seed,
    )


def answer_key(answer: Answer) -> str:
    """A hash of all that a judge can see of one answer."""
    example = {name: its for name, its in vars(answer.example).items() if name != "place"}
    return key_of(example, answer.prompt, asdict(answer.completion))


class Known:
    """The verdicts of one judge by answer; what is added is kept as by `Lines.add_soon`.

    `file` is in the run's folder, so that a run that was cut off asks nothing again. Other runs
    are given the verdicts of judges that are models of the task. Those of a server are decided
    elsewhere, where another model may have the name tomorrow; and of a judge that names no model
    nobody here can say what it reads. Without one it is quick: `substrings` takes 0.5 ms.
    """

    def __init__(self, file: Path, judge: str, cached: CachedValues) -> None:
        self._judge = judge
        self._cached = cached
        self._lines = Lines(file)
        self._verdicts: dict[str, Verdict] = {}
        self.taken = 0
        """How many verdicts other runs have made."""
        for found in self._lines.entries(verdicts_from):
            self._verdicts |= found

    def keys(self, answers: Sequence[Answer]) -> list[str]:
        """The key of each answer's verdict; equal answers have the same."""
        # Arms often agree to the letter, and an answer is hashed for longer than it is compared.
        hashed: dict[tuple[int, str, Completion], str] = {}
        keys = []
        for answer in answers:
            its = id(answer.example), answer.prompt, answer.completion
            if its not in hashed:
                hashed[its] = key_of(self._judge, answer_key(answer))
            keys.append(hashed[its])
        return keys

    def __contains__(self, key: str) -> bool:
        return key in self._verdicts

    def __getitem__(self, key: str) -> Verdict:
        return self._verdicts[key]

    def take(self, wanted: Iterable[str]) -> None:
        """Takes what other runs know of these."""
        missing = {key for key in wanted if key not in self}
        if not missing:
            return
        for file, found in self._cached.all(self._judge, verdicts_from):
            mine = {key: verdict for key, verdict in found.items() if key in missing}
            if mine:
                self._cached.used(file)
                self._keep(mine)
                missing -= mine.keys()
                self.taken += len(mine)

    def add(self, found: Mapping[str, Verdict]) -> None:
        """Remembers verdicts, for this run and for others."""
        self._keep(found)
        self._cached.put_into(self._judge, key_of(sorted(found)), as_values(found))

    def close(self) -> None:
        """Closes the file."""
        self._lines.close()

    def _keep(self, found: Mapping[str, Verdict]) -> None:
        self._lines.add_soon(as_values(found))
        self._verdicts |= found


def known_verdicts(
    session: Session, entry: Entry[EvaluatorOptions], tools: Tools, folder: Path
) -> Known:
    """What is known of a judge's verdicts; `folder` is where the run keeps them."""
    shared = session.cache if _is_shared(entry.options, tools.models) else None
    judge = str(judge_key(session, entry))
    return Known(folder / f"{entry.name}.jsonl", judge, CachedValues(shared, KIND))


def as_values(found: Mapping[str, Verdict]) -> dict[str, Any]:
    """Verdicts as a JSON value."""
    return {
        key: {"scores": dict(one.scores), **({"note": one.note} if one.note else {})}
        for key, one in found.items()
    }


def verdicts_from(value: Any) -> dict[str, Verdict]:
    """Verdicts by key, before `as_values`; raises one of `WRONG` where it is something else."""
    found = {
        str(key): Verdict(dict(its["scores"]), its.get("note", "")) for key, its in value.items()
    }
    scores = (score for one in found.values() for score in one.scores.values())
    if any(not (score is None or isinstance(score, (bool, int, float))) for score in scores):
        raise TypeError("a score is yes, no, a number or unknown")
    return found


def _is_shared(options: EvaluatorOptions, models: Mapping[str, Model]) -> bool:
    return bool(models) and lasting(models) and not options.asks_elsewhere()
