"""What completions cost under edits, beside those without, and what the rows of a batch share.

    python tests/benchmarks/completions_speed.py [--rows 16] [--new 32] [--rounds 5]
        [--width 576 --blocks 30 --heads 9 --kept 3 --inner 1536 --vocabulary 49152] [--threads 1]

The model is a Llama of SmolLM2-135M's shape with random weights, and nothing ends a completion, so
that every arm does the same work. Each round runs all arms in turn, in another order each time; a
ratio is that of the medians, and its spread the least and the most of any round. `ablation` edits
four places of every block and checks 29 of them, `addition` edits one place.

The second table is of what a batch shares: one prompt under several arms that start late, and
prompts that begin alike, beside as many rows that have nothing in common.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from turns.series import Asked, Series, told

from harness.contract import Arm, Direction, Model, Sampling, Site, Tokens
from harness_interventions.ablation import Ablation
from harness_interventions.addition import Addition
from harness_interventions.options import AblationOptions, AdditionOptions
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions

BOUNDS = {"ablation at every block": 1.15, "addition": 1.05}
"""How many times as long as without edits they may take."""


SIZES = {"width": 576, "blocks": 30, "heads": 9, "kept": 3, "inner": 1536, "vocabulary": 49152}
WORK = {"rows": 16, "prompt": 32, "new": 32, "rounds": 5, "threads": 1}
TOY = {"width": 32, "blocks": 2, "heads": 2, "kept": 1, "inner": 64, "vocabulary": 300, "new": 2}


def series(asked: Asked) -> Iterator[Series]:
    """Each arm in seconds on the wall; its quotient with no edit is the main command's."""
    given = argparse.Namespace(**SIZES | WORK | (TOY if asked.toy else {}))
    given.rounds = asked.repeats
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = _model(Path(folder), given)
    rows = _rows(given.rows, given.prompt, 0, given.vocabulary)
    runs = {
        name: _writes(model, rows, arm, given.new)
        for name, arm in _arms(model, given.width).items()
    }
    for name, times in _in_turns(runs, given).items():
        yield Series(f"{given.rows} rows", name, tuple(times))


def main(words: Sequence[str] | None = None) -> None:
    """Prints both tables, and whether the bounds hold."""
    if told(words, series):
        return
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in {**SIZES, **WORK}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args(words)
    torch.set_num_threads(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = _model(Path(folder), given)
    _edits(model, given)
    _shared(model, given)


def _edits(model: Model, given: argparse.Namespace) -> None:
    rows = _rows(given.rows, given.prompt, 0, given.vocabulary)
    arms = _arms(model, given.width)
    found = _in_turns(
        {name: _writes(model, rows, arm, given.new) for name, arm in arms.items()}, given
    )
    print(
        f"{given.rows} rows of {given.prompt} tokens, {given.new} written, {given.threads} threads"
    )
    print("| | seconds | times no edit | least | most |\n|---|---|---|---|---|")
    plain = found["no edit"]
    for name, times in found.items():
        ratios = [one / other for one, other in zip(times, plain, strict=True)]
        ratio = statistics.median(times) / statistics.median(plain)
        print(
            f"| {name} | {statistics.median(times):.3f} | {ratio:.3f} | {min(ratios):.3f} |"
            f" {max(ratios):.3f} |"
        )
        if name in BOUNDS:
            says = "holds" if ratio <= BOUNDS[name] else "DOES NOT HOLD"
            print(f"bound {BOUNDS[name]}: {says}")


def _shared(model: Model, given: argparse.Namespace) -> None:
    """Prompts of which two thirds are the same, and one prompt under as many arms as rows."""
    late = [_added(model, given.width, given.blocks - 1, n) for n in range(given.rows)]
    alike, apart = (
        _rows(given.rows, given.prompt, shared, given.vocabulary)
        for shared in (2 * given.prompt // 3, 0)
    )
    one = [replace(alike[0], arm=n, example=str(n)) for n in range(given.rows)]
    each = [replace(row, arm=n) for n, row in enumerate(apart)]
    runs = {
        "nothing in common": lambda: model.generate(apart, Sampling(1)),
        "two thirds in common": lambda: model.generate(alike, Sampling(1)),
        "one prompt, an arm for each row": _under(model, late, one),
        "a prompt and an arm for each row": _under(model, late, each),
    }
    found = _in_turns(runs, given)
    print(f"\nprompts read, {given.rows} rows of {given.prompt} tokens")
    print("| | seconds | times nothing in common |\n|---|---|---|")
    plain = statistics.median(found["nothing in common"])
    for name, times in found.items():
        print(
            f"| {name} | {statistics.median(times):.3f} | {statistics.median(times) / plain:.3f} |"
        )


def _in_turns(
    runs: Mapping[str, Callable[[], object]], given: argparse.Namespace
) -> dict[str, list[float]]:
    """Seconds of each run in each round, after one that does not count."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(given.rounds + 1):
        order = list(runs) if number % 2 else list(reversed(runs))
        for name in order:
            begun = time.perf_counter()
            runs[name]()
            if number:
                found[name].append(time.perf_counter() - begun)
    return found


def _writes(
    model: Model, rows: Sequence[Tokens], arm: Arm | None, new: int
) -> Callable[[], object]:
    if arm is None:
        return lambda: model.generate(rows, Sampling(new))
    return _under(model, [arm], rows, new)


def _under(
    model: Model, arms: Sequence[Arm], rows: Sequence[Tokens], new: int = 1
) -> Callable[[], object]:
    def run() -> object:
        with model.edited(arms):
            return model.generate(rows, Sampling(new))

    return run


def _arms(model: Model, width: int) -> dict[str, Arm | None]:
    middle = (model.facts.layers or 2) // 2
    vector = np.random.default_rng(0).standard_normal((1, width))
    direction = Direction(Site("resid_post", middle), vector)
    ablated = Ablation(AblationOptions()).arm("ablation", direction, model.facts, model.dtype)
    return {
        "no edit": None,
        "ablation at every block": ablated,
        "addition": _added(model, width, middle, 0),
    }


def _added(model: Model, width: int, layer: int, seed: int) -> Arm:
    vector = np.random.default_rng(seed).standard_normal((1, width)) / 100
    direction = Direction(Site("resid_post", layer), vector)
    return Addition(AdditionOptions()).arm(f"addition {seed}", direction, model.facts, model.dtype)


def _rows(many: int, length: int, shared: int, vocabulary: int) -> list[Tokens]:
    """Random prompts of one length, which begin with as many shared tokens."""
    random = np.random.default_rng(1)
    ids = random.integers(3, vocabulary, (many, length))
    ids[:, :shared] = ids[0, :shared]
    return [Tokens(str(n), tuple(map(int, row)), (0, length), "") for n, row in enumerate(ids)]


def _model(folder: Path, given: argparse.Namespace) -> Model:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=given.width,
        num_hidden_layers=given.blocks,
        num_attention_heads=given.heads,
        num_key_value_heads=given.kept,
        intermediate_size=given.inner,
        vocab_size=given.vocabulary,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words = {"<pad>": 0, "w": 1}
    inner = Tokenizer(models.WordLevel(words, unk_token="w"))
    PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>").save_pretrained(folder)
    return TransformersBackend(TransformersOptions(path=str(folder))).load()


if __name__ == "__main__":
    main()
