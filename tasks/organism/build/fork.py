"""The library whose trainers made the SAEs of the pair, looked for before anything is imported."""

from __future__ import annotations

import warnings
from importlib import import_module

FORK = (
    'pip install nnsight "dictionary_learning @ git+https://github.com/science-of-finetuning/'
    'dictionary_learning@173f7fa"'
)


def trainers() -> tuple[type, type]:
    """The fork's trainers of crosscoders and of SAEs; SystemExit says how to get them.

    The package of the same name in the index has no crosscoders.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # nnsight's own, of its dependencies
            crosscoders = import_module("dictionary_learning.trainers.crosscoder")
            plain = import_module("dictionary_learning.trainers.batch_top_k")
    except ImportError as error:
        raise SystemExit(
            f"The step pair_saes needs the model-diffing fork of dictionary_learning ({error}). "
            f"Install it: {FORK}\nOr leave the step out: --only and the names of the others."
        ) from error
    return crosscoders.CrossCoderTrainer, plain.BatchTopKTrainer
