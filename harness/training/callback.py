"""The callback for transformers' `Trainer` and the trainers of TRL."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import Trainer, TrainerCallback

from harness.errors import HarnessError, UsageError
from harness.training.asked import BACKEND, Asked, Table
from harness.training.drift import Drift, Measured
from harness.training.sharded import agreed
from harness.training.telling import log_names

LOGGER = logging.getLogger("harness.training")


class DriftCallback(TrainerCallback):  # type: ignore[misc]
    """Every `every` steps, and at the start and the end, holds the model in training against its
    base: the metrics of the harness on one fixed set of texts.

    The training stays what it is without it, to the bit. With an adapter (peft), the base is the
    same model with the adapter off; else it is `base`: a model, or the folder or hub id of one.
    Where several processes train, the main one alone measures.

    The numbers go to the trainer's log, as `drift/cosine.raw/mid`: to `state.log_history`, and
    with `trainer` to W&B and all else that the trainer reports to. They are records, too, with
    their intervals, in the folder `out` (`drift` in the trainer's `output_dir`), for
    `harness.load_results`, `harness report` and `harness compare`; the axis `checkpoint` is the
    step. `stop_unless` and `warn_unless` are conditions in the language of gates, such as
    `"cosine.raw[sae=mid] >= 0.9"`, held against each measurement but the first, before which
    nothing was trained. The former end the training, as does a measurement that cannot be made
    while they are given; why is in `stopped`, in the logger `harness.training`, and among the
    warnings of the results.

    `probe` is a file of rows, a list of texts, or a table as in `[data.NAME]`; of a file or a list
    64 rows are read, and 128 tokens of each unless `prompt` says otherwise. `saes`, `metrics`,
    `statistics`, `prompt` and `preflight` take what the tables of a task file take. `tokenizer` is
    needed where the trainer has none (`processing_class`).

    Raises UsageError, when it is made or when the training starts, for what is wrong with all
    that; and InvalidRun, when it starts, where an SAE does not fit the base.
    """

    def __init__(
        self,
        probe: str | Path | Sequence[Any] | Table,
        *,
        saes: Mapping[str, str | Path | Table] | None = None,
        sites: Sequence[str] = (),
        metrics: Sequence[str] | Mapping[str, Table] | None = None,
        statistics: Mapping[str, Table] | None = None,
        every: int = 50,
        stop_unless: Sequence[str] = (),
        warn_unless: Sequence[str] = (),
        base: Any = None,
        tokenizer: Any = None,
        trainer: Any = None,
        out: str | Path | None = None,
        prompt: Table | None = None,
        preflight: Table | bool = True,
        backend: str = BACKEND,
    ) -> None:
        if not isinstance(every, int) or every < 1:
            raise UsageError(f"every: {every!r} is no number of steps. Allowed: 1 and more.")
        self.asked = Asked(
            probe, saes or {}, sites, metrics, statistics or {}, prompt or {}, preflight,
            stop_unless, warn_unless,
        )  # fmt: skip
        self.asked.gates()
        self.every = every
        self.trainer = trainer
        """Whose log, and whose trackers, are told. It may be set after the trainer was made."""
        self.stopped: str | None = None
        """Why it has ended the training; None where it has not."""
        self.share = 0.0
        """The share of the time since the start of the training that it has taken."""
        self._base, self._tokenizer, self._out, self._backend = base, tokenizer, out, backend
        self._drift: Drift | None = None
        self._last: int | None = None
        self._begun = self._spent = 0.0

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **others: Any
    ) -> None:
        """Loads what is needed and measures before the first step; of a training that goes on,
        at the step where it goes on."""
        self.stopped, self._last, self._spent = None, None, 0.0
        self._begun = time.monotonic()
        if not state.is_world_process_zero:
            return
        out = Path(args.output_dir) / "drift" if self._out is None else Path(self._out)
        tokenizer = self._tokenizer or others.get("processing_class")
        self._drift = Drift(self.asked, model, tokenizer, out.absolute(), self._base, self._backend)
        if state.global_step:
            self._drift.resume(state.global_step)
        self._spent += time.monotonic() - self._begun
        self._tell(state, control, self._drift.measure(state.global_step))

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> Any:
        """Measures every so many steps and after the last one; may end the training."""
        last = state.global_step >= state.max_steps or control.should_training_stop
        if state.global_step % self.every and not last:
            return control
        reasons = self._measured(state, control)
        if self.asked.stop_unless and agreed(bool(reasons)):
            control.should_training_stop = True
        if reasons:
            self.stopped = f"step {state.global_step}: {'; '.join(reasons)}"
            LOGGER.warning("the training stops at %s", self.stopped)
        return control

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Measures where the last step was not; then writes the report."""
        if self._drift is None:
            return
        # The best checkpoint may have been loaded: that is not the model of the last step.
        if self._last != state.global_step and not args.load_best_model_at_end:
            self._measured(state, control)
        try:
            self._drift.close()
        except HarnessError as error:
            LOGGER.warning("the report was not written: %s", error)
        LOGGER.info("measuring took %.1f s, %.1f%% of the training", self._spent, 100 * self.share)
        self._drift = None  # the model is the trainer's, not ours to keep

    def _measured(self, state: Any, control: Any) -> Sequence[str]:
        """Measures, and gives the reasons to stop; a failure is told and never ends a training
        that no condition was to end."""
        if self._drift is None:
            return ()
        try:
            found = self._drift.measure(state.global_step)
        except HarnessError as error:
            text = f"step {state.global_step}: was not measured: {error}"
            LOGGER.warning("%s", text)
            self._drift.note(text)
            self._last = state.global_step
            return (f"it was not measured: {error}",) if self.asked.stop_unless else ()
        self._tell(state, control, found)
        for text in found.warnings:
            LOGGER.warning("step %d: %s", found.step, text)
        return found.stops

    def _tell(self, state: Any, control: Any, found: Measured) -> None:
        self._last = found.step
        self._spent += found.seconds
        self.share = self._spent / max(time.monotonic() - self._begun, 1e-9)
        numbers = {**log_names(found.headlines), "drift/seconds": round(found.seconds, 4)}
        if self.trainer is not None:
            # Whoever logs ends the wish to log, and the loss of this step would never be told.
            wished = control.should_log
            # Not the trainer's own `log`: TRL's closes the averages of its own numbers with it.
            Trainer.log(self.trainer, numbers)
            control.should_log = wished
        else:
            state.log_history.append({**numbers, "epoch": state.epoch, "step": found.step})
