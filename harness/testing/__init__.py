"""Checks of plugins, one for each kind: call them in your own tests, and in `samples`.

A check tries the laws of the contract on an object that you give it, and raises AssertionError,
with the name of the law, where one is broken::

    from harness.testing import check_metric

`small_batch`, `small_sae` and `small_run` make something to try plugins on; `array_batch` makes
batches of your own tensors, `take` and `only` make smaller ones, and `organism` is the folder of a
small model with its SAEs. Importing this module imports nothing; a name imports torch when it is
first used.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.testing.analysis import check_analysis as check_analysis
    from harness.testing.backend import check_backend as check_backend
    from harness.testing.benchmark import check_benchmark as check_benchmark
    from harness.testing.direction import check_direction as check_direction
    from harness.testing.evaluator import check_evaluator as check_evaluator
    from harness.testing.executor import check_executor as check_executor
    from harness.testing.export import check_export as check_export
    from harness.testing.intervention import check_intervention as check_intervention
    from harness.testing.labels import check_labels as check_labels
    from harness.testing.metric import check_metric as check_metric
    from harness.testing.observer import check_observer as check_observer
    from harness.testing.sae import check_sae as check_sae
    from harness.testing.sae_format import check_sae_format as check_sae_format
    from harness.testing.section import check_section as check_section
    from harness.testing.statistic import check_statistic as check_statistic
    from harness.testing.support.batches import (
        array_batch as array_batch,
        only as only,
        take as take,
    )
    from harness.testing.support.examples import organism as organism
    from harness.testing.support.small_run import small_run as small_run
    from harness.testing.support.toys import (
        small_batch as small_batch,
        small_sae as small_sae,
    )

_KINDS = [module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg]
_HOMES = {f"check_{kind}": kind for kind in _KINDS} | {
    "array_batch": "support.batches",
    "only": "support.batches",
    "organism": "support.examples",
    "small_batch": "support.toys",
    "small_run": "support.small_run",
    "small_sae": "support.toys",
    "take": "support.batches",
}


def __getattr__(name: str) -> Any:
    """A check, imported when it is asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
