"""What a run used: forwards, tokens and encodes, which every run repeats, and time and memory."""

from __future__ import annotations

import gc
import re
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness.contract import (
    Activations,
    Completion,
    Differentiable,
    Gradients,
    Keep,
    Model,
    OneByOne,
    Sae,
    Sampling,
    Scalar,
    Site,
    Tokens,
)
from harness.planning.counts import (
    NUMBER_BYTES,
    Counts,
    completion_counts,
    elsewhere_counts,
    forward_counts,
)

if TYPE_CHECKING:
    from torch import Tensor

    from harness.contract.latents import Latents


@dataclass(frozen=True)
class Spent:
    """What some work took, in any stage."""

    models: Mapping[str, Counts] = field(default_factory=dict)
    """By model."""
    saes: Mapping[str, int] = field(default_factory=dict)
    """By SAE: how many tokens it has encoded."""


class Usage:
    """Adds up what models do, by stage and model, while a run goes on."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._stage = ""
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._processor: defaultdict[str, float] = defaultdict(float)
        self._loading = 0.0
        self._ahead: Callable[[], float] = lambda: 0.0
        self._read_ahead = 0.0
        self.steady = threading.Lock()
        """Held while memory is compared before and after: another thread maps no files then."""
        self._busy = time.process_time()
        self._encodes: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._counts: defaultdict[tuple[str, str], Counts] = defaultdict(Counts)
        self._imports = 0
        self._gpu_before = 0

    def imported(self) -> None:
        """Counts memory from here on: call it once the components are imported."""
        # What earlier work left behind is freed now, and not while memory is counted.
        gc.collect()
        self._busy = time.process_time()
        self._imports = resident() or 0
        _forget_peak()
        if cuda := _cuda():
            cuda.reset_peak_memory_stats()
            self._gpu_before = cuda.memory_allocated()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Counts what happens inside the block, and its seconds, as this stage's."""
        before, self._stage = self._stage, name
        begun, busy, loading = time.monotonic(), self._here(), self._loading
        try:
            yield
        finally:
            self._stage = before
            self._seconds[name] += time.monotonic() - begun
            loaded = self._loading - loading
            self._processor[name] += self._here() - busy - loaded

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Counts the processor's seconds inside the block as no stage's: something is loaded."""
        busy = self._here()
        try:
            yield
        finally:
            self._loading += self._here() - busy

    @contextmanager
    def reading_ahead(self, seconds: Callable[[], float]) -> Iterator[None]:
        """Around what another thread reads ahead: its `seconds` of the processor, which grow, count
        as loading, and as no stage's."""
        self._ahead = seconds
        try:
            yield
        finally:
            self._read_ahead, self._ahead = self._read_ahead + seconds(), lambda: 0.0

    def _elsewhere(self) -> float:
        """Seconds of the processor that were spent on reading ahead."""
        return self._read_ahead + self._ahead()

    def _here(self) -> float:
        """Seconds of the processor without those."""
        return time.process_time() - self._elsewhere()

    def load(self, name: str, load: Callable[[], Model]) -> Model:
        """Calls `load` and returns its model, wrapped so that all it does is counted as `name`'s.

        What loading leaves in memory beside the weights is code where it imported some
        (transformers imports a model's own when it is loaded), so it counts among the imports.
        """
        with self.steady:
            modules, before = len(sys.modules), resident() or 0
            with self.loading():
                model = load()
            if len(sys.modules) > modules:
                size = NUMBER_BYTES.get(model.dtype, 4) if model.device == "cpu" else 0
                grown = (resident() or 0) - before - size * (model.facts.parameters or 0)
                self._imports += max(0, grown)
        kind = CountedOneByOne if isinstance(model, OneByOne) else Counted
        return cast(Model, kind(model, lambda counts: self.add(name, counts)))

    def counted(self, name: str, sae: Sae) -> Sae:
        """The SAE, wrapped so that every token that it encodes is counted as `name`'s."""
        return cast(Sae, CountedSae(sae, lambda tokens: self.add_encodes(name, tokens)))

    def add(self, model: str, counts: Counts) -> None:
        """Adds work of a model to the present stage."""
        self._counts[self._stage, model] += counts

    def add_encodes(self, sae: str, tokens: int) -> None:
        """Adds tokens that an SAE has encoded to the present stage."""
        self._encodes[self._stage, sae] += tokens

    @property
    def now(self) -> str:
        """The stage that goes on; empty between stages."""
        return self._stage

    def take(self) -> Spent:
        """What was done since the last call, in whatever stage; nothing of it stays here."""
        models: dict[str, Counts] = {}
        for (_, model), counts in self._counts.items():
            models[model] = models.get(model, Counts()) + counts
        saes: dict[str, int] = {}
        for (_, sae), tokens in self._encodes.items():
            saes[sae] = saes.get(sae, 0) + tokens
        self._counts.clear()
        self._encodes.clear()
        return Spent(models, saes)

    def spent(self, done: Spent) -> None:
        """Adds what another process did to the present stage."""
        for model, counts in done.models.items():
            self.add(model, counts)
        for sae, tokens in done.saes.items():
            self.add_encodes(sae, tokens)

    def tokens(self, stage: str | None = None) -> int:
        """Tokens that models have read and written, in one stage or in all of them."""
        counted = [n for (at, _), n in self._counts.items() if stage in (None, at)]
        return sum(one.tokens + one.completion_tokens for one in counted)

    def report(self) -> dict[str, Any]:
        """Plain values for the provenance of the results.

        `stages`, `total` and `encodes` are the same in every run of a task that starts afresh;
        completions that an earlier, unfinished run has written are not made again, and not counted
        again. `processor` has the seconds of this process's threads, which other work on the
        machine hardly changes: from the imports on, for loading models and SAEs, and for each stage
        without that.
        Work that bypasses the harness (a library that is handed the bare model) is not counted.
        """
        used = (stage for stage, _ in (*self._counts, *self._encodes))
        names = dict.fromkeys([*self._seconds, *used])
        peak, cuda = _peak(), _cuda()
        return {
            "total": asdict(sum(self._counts.values(), Counts())),
            "stages": {
                name: {m: asdict(c) for (stage, m), c in self._counts.items() if stage == name}
                for name in names
            },
            "encodes": {
                name: {sae: n for (stage, sae), n in self._encodes.items() if stage == name}
                for name in names
            },
            "seconds": {
                "total": time.monotonic() - self._begun,
                "stages": dict(self._seconds),
                "processor": {
                    "total": time.process_time() - self._busy,
                    "loading": self._loading + self._elsewhere(),
                    "stages": dict(self._processor),
                },
            },
            "memory_bytes": {
                "imports": self._imports,
                "beyond_imports": None if peak is None else max(0, peak - self._imports),
                "gpu": cuda.max_memory_allocated() - self._gpu_before if cuda else None,
            },
        }


class Counted:
    """A model that gives `count` the counts of its work; in everything else the model itself."""

    def __init__(self, model: Model, count: Callable[[Counts], None]) -> None:
        self._model = model
        self._count = count

    def __getattr__(self, name: str) -> Any:
        # While an object is copied it has no fields yet, and looking for `_model` would never end.
        if name == "_model":
            raise AttributeError(name)
        return getattr(self._model, name)

    def activations(
        self, tokens: Sequence[Tokens], sites: Sequence[Site], *, logits: bool = False
    ) -> Activations:
        """As the model's own: one forward over a padded batch."""
        found = self._model.activations(tokens, sites, logits=logits)
        if tokens and (sites or logits):
            self._count(forward_counts([len(t.ids) for t in tokens]))
        return found

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        """As the model's own: one forward over the prompts, and one for each further token."""
        done = self._model.generate(tokens, sampling)
        if done and "tokens" in self._model.facts.capabilities:
            lengths = [len(t.ids) for t in tokens]
            self._count(completion_counts(lengths, [c.tokens for c in done]))
        elif done:
            self._count(elsewhere_counts([c.tokens for c in done]))
        return done

    def gradients(
        self,
        tokens: Sequence[Tokens],
        scalar: Scalar,
        sites: Sequence[Site],
        *,
        put: Mapping[Site, Tensor] | None = None,
    ) -> Gradients:
        """As the model's own: counted as one forward, though the way back takes as long again."""
        found = cast(Differentiable, self._model).gradients(tokens, scalar, sites, put=put)
        if tokens:
            self._count(forward_counts([len(t.ids) for t in tokens]))
        return found


class CountedOneByOne(Counted):
    """Likewise, of a model that hands over each completion as soon as it is there."""

    def generate_each(self, tokens: Sequence[Tokens], sampling: Sampling, keep: Keep) -> None:
        """As the model's own: each completion counts once it is there."""

        def counted(index: int, completion: Completion) -> None:
            self._count(elsewhere_counts([completion.tokens]))
            keep(index, completion)

        cast(OneByOne, self._model).generate_each(tokens, sampling, counted)


class CountedSae:
    """An SAE that gives `count` the number of tokens of every call; in all else the SAE itself."""

    def __init__(self, sae: Sae, count: Callable[[int], None]) -> None:
        self._sae = sae
        self._count = count

    def __getattr__(self, name: str) -> Any:
        # While an object is copied it has no fields yet, and looking for `_sae` would never end.
        if name == "_sae":
            raise AttributeError(name)
        return getattr(self._sae, name)

    def encode(self, x: Tensor) -> Latents:
        """As the SAE's own: each row of x is a token."""
        self._count(len(x))
        return self._sae.encode(x)


# ── Memory ───────────────────────────────────────────────────────────────────────────────────────


def _status(key: str) -> int | None:
    """What Linux says of the process under this key, in bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(rf"^{key}:\s*(\d+)", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def resident() -> int | None:
    """Bytes that the process holds now; where the system does not say, the most it ever held."""
    return _status("VmRSS") or _peak()


def _peak() -> int | None:
    """The most bytes that the process held: since `_forget_peak` on Linux, else since its start."""
    if (found := _status("VmHWM")) is not None:
        return found
    try:
        import resource
    except ImportError:  # Windows
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _forget_peak() -> None:
    """Makes Linux count the peak from now on, so that earlier work is not in it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


def _cuda() -> Any:
    """torch.cuda where it is in use already; torch is not imported to find out."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_initialized() else None
