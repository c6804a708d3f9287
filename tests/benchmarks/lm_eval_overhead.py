"""How much slower lm-eval's tasks are through the harness, without edits and under them.

    python tests/benchmarks/lm_eval_overhead.py            # ≥ 50M random parameters, minutes
    python tests/benchmarks/lm_eval_overhead.py --toy      # seconds, to see that it runs

Times `simple_evaluate` on a random Llama by itself (HFLM, nothing of ours) against the evaluator
`lm_eval` on the same model, questions and batch size: unedited, under an addition at one block,
and under a strict ablation at all of them. The arms take turns, after one round that does not
count; medians are compared. Prints a line of JSON, and fails where an addition costs more than 5%
or an ablation more than 15%.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import chdir, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lm_eval.evaluator
import numpy as np
import torch
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
from turns.series import Asked, Series, told

from harness.contract import Arm, Direction, ModelFacts, Tools
from harness.contract.sites import parse_site
from harness_evaluators.lm_eval.benchmark import LmEval, quiet
from harness_evaluators.lm_eval.model import own_generation
from harness_evaluators.lm_eval.options import LmEvalOptions as Given
from harness_interventions import options as interventions
from harness_interventions.ablation import Ablation
from harness_interventions.addition import Addition
from harness_transformers.model import TransformersModel

ORGANISM = Path(__file__).parents[2] / "tasks" / "organism"
QUESTIONS = ORGANISM / "data" / "questions"
LIMITS = {"unedited": 1.05, "addition": 1.05, "ablation": 1.15}


@dataclass(frozen=True)
class Size:
    """A model, and what it is asked."""

    layers: int
    width: int
    questions: int
    new_tokens: int
    rounds: int


REAL = Size(layers=8, width=704, questions=8, new_tokens=24, rounds=7)
TOY = Size(layers=2, width=64, questions=2, new_tokens=4, rounds=2)
TASK = "organism_law"


def model_of(size: Size, device: str) -> TransformersModel:
    """A random Llama with the organism's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(ORGANISM / "base")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=size.width, intermediate_size=3 * size.width,
        num_hidden_layers=size.layers, num_attention_heads=size.width // 64,
        num_key_value_heads=size.width // 64, max_position_embeddings=2048,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    hf = LlamaForCausalLM(config).eval().to(device)
    facts = ModelFacts(layers=size.layers, d_model=size.width, context=2048)
    return TransformersModel(hf, tokenizer, facts, fingerprint="random", name="random")


def arms(model: TransformersModel) -> dict[str, Arm | None]:
    """The edits that are timed."""
    facts = model.facts
    assert facts.layers is not None
    assert facts.d_model is not None
    vector = np.random.default_rng(0).normal(size=(1, facts.d_model))
    direction = Direction(parse_site(f"resid_post.{facts.layers // 2}"), vector)
    addition = Addition(interventions.AdditionOptions()).arm(
        "addition", direction, facts, model.dtype
    )
    ablation = Ablation(interventions.AblationOptions()).arm(
        "ablation", direction, facts, model.dtype
    )
    return {"unedited": None, "addition": addition, "ablation": ablation}


def alone(model: TransformersModel, size: Size, questions: list[int]) -> Callable[[], None]:
    """lm-eval by itself; its tasks are loaded once, as ours are."""
    with quiet(), chdir(QUESTIONS):  # by itself it takes the files from where it was started
        manager = TaskManager(include_path=str(QUESTIONS), include_defaults=False)
        tasks = list(manager.load([TASK])["tasks"].values())
        lm = HFLM(pretrained=model.hf, tokenizer=model.tokenizer, batch_size=4)

    def run() -> None:
        with quiet(), own_generation(model.hf):
            simple_evaluate(
                model=lm, tasks=tasks, samples={TASK: questions}, num_fewshot=2,
                gen_kwargs={"max_gen_toks": size.new_tokens}, task_manager=manager,
                fewshot_as_multiturn=False,
            )  # fmt: skip

    return run


def through_us(model: TransformersModel, benchmark: LmEval, arm: Arm | None) -> Callable[[], None]:
    """The evaluator, in a fresh folder each time: nothing is remembered."""

    def run() -> None:
        edited = model.edited([arm]) if arm else nullcontext()
        with tempfile.TemporaryDirectory() as folder, edited:
            benchmark.run(model, Path(folder), Tools())

    return run


def measured(work: Mapping[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """The seconds of each, taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for round_ in range(rounds + 1):
        for name, run in work.items():
            begun = time.perf_counter()
            run()
            if round_:
                seconds[name].append(time.perf_counter() - begun)
    return seconds


def benchmark(size: Size, device: str = "cpu") -> dict[str, Any]:
    """The medians in seconds and the ratios to lm-eval alone."""
    model = model_of(size, device)
    turns, questions = turns_of(model, size)
    seconds = {name: statistics.median(times) for name, times in turns.items()}
    return {
        "parameters": sum(p.numel() for p in model.hf.parameters()),
        "questions": questions,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "ratio": {name: round(seconds[name] / seconds["alone"], 4) for name in LIMITS},
    }


def turns_of(model: TransformersModel, size: Size) -> tuple[dict[str, list[float]], int]:
    """The seconds of all arms and of lm-eval alone by turns, and how many questions were asked."""
    given = Given(
        tasks=(TASK,), include_path=str(QUESTIONS), apply_chat_template=False, num_fewshot=2,
        limit=size.questions, max_new_tokens=size.new_tokens, batch_size=4,
    )  # fmt: skip
    ours = LmEval(given)
    with tempfile.TemporaryDirectory() as folder:
        outcome = ours.run(model, Path(folder), Tools())
    questions = [row["question"] for row in outcome.tables["samples"]]
    work = {"alone": alone(model, size, questions)}
    work |= {name: through_us(model, ours, arm) for name, arm in arms(model).items()}
    return measured(work, size.rounds), len(questions)


def series(asked: Asked) -> Iterator[Series]:
    """Each arm beside lm-eval alone, in seconds on the wall."""
    lm_eval.evaluator.add_env_info = lambda results: None  # as in `main`
    size = replace(TOY if asked.toy else REAL, rounds=asked.repeats)
    seconds, _ = turns_of(model_of(size, "cpu"), size)
    for name in LIMITS:
        yield Series("", name, tuple(seconds[name]), "s", tuple(seconds["alone"]))


def main(words: Sequence[str] | None = None) -> int:
    """Prints the figures; 1 where one is over its limit."""
    if told(words, series):
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--toy", action="store_true", help="a tiny model, without limits")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args(words)
    # lm-eval asks pip and git of the machine at every call: a second that would hide the rest.
    lm_eval.evaluator.add_env_info = lambda results: None
    found = benchmark(TOY if given.toy else REAL, given.device)
    print(json.dumps(found))
    over = [name for name, most in LIMITS.items() if found["ratio"][name] > most]
    return 1 if over and not given.toy else 0


if __name__ == "__main__":
    sys.exit(main())
