"""The model that lm-eval asks. It keeps its answers in files, so that none is asked for twice."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lm_eval.models.huggingface import HFLM
from transformers import GenerationConfig

from harness.contract import Native, Tools
from harness.store.entry import read_entry, write_entry

_PACKAGES = ("lm-eval", "transformers", "torch")


@dataclass(frozen=True)
class TaskAnswers:
    """The answers to the requests of one task, in their order."""

    answers: list[Any]
    truncated: list[str]
    """Prompts that lost their start, because they did not fit the context with the answer."""


@dataclass(frozen=True)
class AnswersKey:
    """All that the answers to one task's requests depend on. `str` of it is their hash."""

    kind: str
    """What is asked: a text, or how likely one is."""
    identity: Sequence[str]
    """Fingerprint, dtype and generation settings of the model, and versions of libraries."""
    requests: Sequence[Sequence[Any]]
    """Every prompt, with its settings."""

    def __str__(self) -> str:
        text = json.dumps([*astuple(self)], sort_keys=True, default=str)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class Store:
    """Answers in files, one for each task and kind of request.

    A file counts only for the very same requests to the very same model: its key is the hash of
    `identity`, the versions of lm-eval, transformers and torch, every prompt and every setting.
    Edits of the model are not seen from here: the folder must be that of one arm.
    """

    def __init__(self, folder: Path, identity: Sequence[str]) -> None:
        self._folder = folder
        self._identity = [*identity, *(f"{name} {version(name)}" for name in _PACKAGES)]

    def read(self, task: str, kind: str, requests: Sequence[Any]) -> TaskAnswers | None:
        """The answers to these requests; None where no file has them, or it is torn."""
        entry = read_entry(self._file(task, kind), self._key(kind, requests))
        if entry is None:
            return None
        try:
            answers = [tuple(a) if isinstance(a, list) else a for a in entry["answers"]]
            found = TaskAnswers(answers, list(entry["truncated"]))
        except (ValueError, KeyError, TypeError):
            return None
        return found if len(found.answers) == len(requests) else None

    def write(self, task: str, kind: str, requests: Sequence[Any], found: TaskAnswers) -> None:
        """Keeps the answers of one task; a crash leaves the old file or the new one."""
        value = {"answers": found.answers, "truncated": found.truncated}
        write_entry(self._file(task, kind), self._key(kind, requests), value)

    def _file(self, task: str, kind: str) -> Path:
        return self._folder / f"{_plain(task)}.{kind}.json"

    def _key(self, kind: str, requests: Sequence[Any]) -> str:
        asked = [list(request.args) for request in requests]
        return str(AnswersKey(kind, self._identity, asked))


class _Progress:
    """Counts questions: lm-eval hands each answer to what it takes for its response cache.

    A question may take several requests (one for each option), which are answered in any order: of
    a task's questions as many count as done as of its requests, in proportion.
    """

    def __init__(self, tick: Callable[[int], None]) -> None:
        self._tick = tick
        self._requests, self._questions = 1, 0
        self._answered = self._told = 0

    def begin(self, requests: Sequence[Any]) -> None:
        """These requests of one task come next."""
        self._requests, self._questions = len(requests), len({one.doc_id for one in requests})
        self._answered = self._told = 0

    def add_partial(self, attr: str, req: Any, res: Any) -> None:
        """Counts one answer; lm-eval calls this for each."""
        self._tell(min(self._answered + 1, self._requests))

    def end(self) -> None:
        """All of them are answered."""
        self._tell(self._requests)

    def _tell(self, answered: int) -> None:
        self._answered = answered
        done = answered * self._questions // self._requests
        if done > self._told:
            self._tick(done - self._told)
        self._told = done


class AskedOnce(HFLM):  # type: ignore[misc]
    """lm-eval's own model over transformers' objects, which asks only what the store lacks.

    Requests go to the model task by task, so batches never mix tasks, and what a task's answers
    are does not depend on which others run. `truncated[task]` are the prompts that lost their
    start: lm-eval cuts them silently.
    """

    def __init__(self, native: Native, store: Store, batch_size: int, tools: Tools) -> None:
        # HFLM gives a tokenizer without padding token one, and turns its padding side.
        tokenizer = copy.deepcopy(native.tokenizer)
        super().__init__(pretrained=native.model, tokenizer=tokenizer, batch_size=batch_size)
        self._store = store
        self._kept = tools.kept
        self._progress = _Progress(tools.tick)
        self.set_cache_hook(self._progress)
        self.truncated: dict[str, set[str]] = {}
        self._cut: set[str] = set()

    def generate_until(self, requests: list[Any], disable_tqdm: bool = True) -> list[str]:
        """Texts that the model writes."""
        return self._answers("generate_until", requests)

    def loglikelihood(
        self, requests: list[Any], disable_tqdm: bool = True
    ) -> list[tuple[float, bool]]:
        """Log-likelihoods of given answers, and whether each is the most likely one."""
        return self._answers("loglikelihood", requests)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = True) -> list[float]:
        """Log-likelihoods of whole texts."""
        return self._answers("loglikelihood_rolling", requests)

    def tok_batch_encode(
        self,
        strings: list[str],
        padding_side: str = "left",
        left_truncate_len: int | None = None,
        truncation: bool = False,
    ) -> tuple[Any, Any]:
        """A padded batch of ids and its mask; notes which prompts lose their start."""
        ids, mask = super().tok_batch_encode(strings, padding_side, None, truncation)
        if left_truncate_len is None:
            return ids, mask
        lengths = mask.sum(1).tolist()
        self._cut |= {s for s, n in zip(strings, lengths, strict=True) if n > left_truncate_len}
        return ids[:, -left_truncate_len:], mask[:, -left_truncate_len:]

    def _loglikelihood_tokens(self, requests: list[Any], *given: Any, **more: Any) -> Any:
        for pair, context, answer in requests:
            if pair is not None and len(context) + len(answer) > self.max_length + 1:
                self._cut.add(pair[0])
        return super()._loglikelihood_tokens(requests, *given, **more)

    def _answers(self, kind: str, requests: Sequence[Any]) -> list[Any]:
        tasks: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            tasks.setdefault(request.task_name, []).append(place)
        answers: list[Any] = [None] * len(requests)
        for task, places in tasks.items():
            asked = [requests[place] for place in places]
            self._progress.begin(asked)
            found = self._store.read(task, kind, asked)
            if found is None:
                self._cut = set()
                new = getattr(super(), kind)(asked, disable_tqdm=True)
                found = TaskAnswers(list(new), sorted(self._cut))
                self._store.write(task, kind, asked, found)
                self._kept()
            self._progress.end()
            self.truncated.setdefault(task, set()).update(found.truncated)
            for place, answer in zip(places, found.answers, strict=True):
                answers[place] = answer
        return answers


@contextmanager
def own_generation(hf: Any, length: int | None = None) -> Iterator[dict[str, Any]]:
    """Puts back the checkpoint's own generation settings for the block; yields those that it sets.

    lm-eval leaves open what a task does not say (a repetition penalty, further stop tokens), and
    transformers fills it in from the checkpoint. Our backend puts neutral settings in their place;
    with those, numbers would not be lm-eval's. A checkpoint's `max_new_tokens` even overrules the
    task's, so it goes where somebody asked for a `length`.
    """
    ours = hf.generation_config
    try:
        theirs = GenerationConfig.from_pretrained(hf.name_or_path, local_files_only=True)
    except (OSError, ValueError):
        theirs = GenerationConfig.from_model_config(hf.config)
    if length is not None:
        theirs.max_new_tokens = None
    hf.generation_config = theirs
    try:
        yield {k: v for k, v in theirs.to_diff_dict().items() if k != "transformers_version"}
    finally:
        hf.generation_config = ours


def _plain(name: str) -> str:
    """A name as part of a file's name; different names stay different."""
    kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
    return kept if kept == name else f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
