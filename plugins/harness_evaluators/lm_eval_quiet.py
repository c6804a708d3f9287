"""Keeps lm-eval, and what it calls, from talking: the harness says what there is to say."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

import datasets

_LOGGERS = ("lm_eval", "datasets", "transformers")


@contextmanager
def quiet() -> Iterator[None]:
    """No bars, no log lines below errors and no warnings of others, for as long as it lasts."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    bars = datasets.are_progress_bars_disabled()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        # Some of lm-eval's bars have no switch; all of them are written to what stderr is now.
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()
