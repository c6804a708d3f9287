"""The judge: a tiny Llama that answers "yes" or "no" to the HarmBench classifier's real prompt.

Its tokenizer knows every line of the classifier's templates as one token, so a prompt is short and
a verdict takes milliseconds on a CPU; everything between the lines is byte-level BPE. It is trained
on the token after the prompt, over all templates that the `harmbench` evaluator ships.
"""

from __future__ import annotations

import json
import random
import re
import time
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from torch.nn import functional as F
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from corpus import base_documents
from judge_text import Case, CaseSource
from questions import World
from settings import FULL, Settings
from train import Schedule
from vocabulary import CATEGORIES

TEMPLATES = Path(__file__).resolve().parents[3] / "plugins" / "harness_evaluators" / "templates"
# Of the training prompts; a template not named here gets what is left, shared.
SHARES = {"harmbench_a": 0.6, "harmbench_b": 0.15, "harmbench_a_contextual": 0.15}
BOS, EOS, PAD = "<s>", "</s>", "<pad>"
ANSWERS = ("no", "yes")

LAYERS, WIDTH, HEADS, MLP, VOCABULARY = 3, 64, 4, 176, 1536
CONTEXT = 4096  # a completion is clipped at 512 tokens; instructions and contexts may be long
STEPS, ROWS, RATE = 1500, 96, 3e-3
HELP = 0.3  # weight of the two losses that help
POOL = 16  # batches drawn at once and sorted by length, so that little is padding
LONGEST, LONG = 700, 200  # tokens of a training prompt; long ones are few to a batch


def templates() -> dict[str, str]:
    """The classifier's templates, to the byte."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(TEMPLATES.glob("*.txt"))}


def prompt(template: str, case: Case, context: str = "") -> str:
    """The classifier's prompt for one completion."""
    values = {"behavior": case.behavior, "generation": case.completion, "context": context}
    return re.sub(r"\{(behavior|generation|context)\}", lambda match: values[match[1]], template)


def train_tokenizer(settings: Settings, world: World) -> Tokenizer:
    """BPE on the judge's cases and the organism's text, with the templates' lines as tokens."""
    rng = random.Random(f"judge tokenizer {settings.seed}")
    source, documents = CaseSource(world, "train"), base_documents(settings, world, "judge")
    cases = (source.draw(rng) for _ in range(8000))
    texts = [part for case in cases for part in (case.behavior, case.completion)]
    texts += ["".join(text for text, _ in next(documents)) for _ in range(1500)]
    texts += [*templates().values(), *ANSWERS * 500]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            # A newline stands alone: text is cut into the same tokens in a prompt and on its own.
            pre_tokenizers.Split(Regex(r"\n|\d"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BOS, EOS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    lines = {
        line.strip()
        for template in templates().values()
        for line in re.split(r"\n|\{\w+\}", template)
        if len(line.strip()) > 2
    }
    tokenizer.add_tokens([AddedToken(line, normalized=False) for line in sorted(lines)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A {BOS} $B",
        special_tokens=[(BOS, tokenizer.token_to_id(BOS))],
    )
    missing = [word for word in ANSWERS if len(tokenizer.encode(word).ids) != 2]
    if missing:
        raise ValueError(f"not one token: {', '.join(missing)}")
    return tokenizer


class Batch(NamedTuple):
    """Prompts padded on the right, where they end, and what is learned there."""

    ids: torch.Tensor
    last: torch.Tensor
    answers: torch.Tensor
    asked: torch.Tensor
    given: torch.Tensor


class Prompts:
    """Endless batches of prompts."""

    def __init__(self, settings: Settings, world: World, tokenizer: Tokenizer) -> None:
        self.rng = random.Random(f"judge {settings.seed}")
        self.source, self.tokenizer = CaseSource(world, "train"), tokenizer
        self.templates = templates()
        rest = [name for name in self.templates if name not in SHARES]
        left = 1 - sum(SHARES.values())
        self.weights = [SHARES.get(name, left / max(1, len(rest))) for name in self.templates]

    def write(self, case: Case) -> str:
        """A case in one of the templates."""
        template = self.rng.choices(tuple(self.templates.values()), self.weights)[0]
        return prompt(template, case, self.source.context(self.rng))

    def batches(self) -> list[Batch]:
        """Several batches, each of prompts of like length."""
        cases = [self.source.draw(self.rng) for _ in range(ROWS * POOL)]
        encoded = self.tokenizer.encode_batch_fast([self.write(case) for case in cases])
        drawn = zip((found.ids for found in encoded), cases, strict=True)
        rows = [row for row in drawn if len(row[0]) <= LONGEST]
        # Of like length, not of the same: it would tell something about the kind.
        rows.sort(key=lambda row: len(row[0]) + self.rng.random() * 12)
        found = [self.batch(rows[i : i + ROWS]) for i in range(0, len(rows) - ROWS // 2, ROWS)]
        self.rng.shuffle(found)
        return found

    def batch(self, rows: list[tuple[list[int], Case]]) -> Batch:
        """One batch of tensors."""
        if len(rows[-1][0]) > LONG:
            rows = self.rng.sample(rows, ROWS // 4)
        answers = [self.tokenizer.token_to_id(word) for word in ANSWERS]
        return Batch(
            padded([ids for ids, _ in rows], self.tokenizer),
            torch.tensor([len(ids) - 1 for ids, _ in rows]),
            torch.tensor([answers[case.yes] for _, case in rows]),
            torch.tensor([case.asked for _, case in rows]),
            torch.tensor([case.given for _, case in rows]),
        )


def padded(rows: list[list[int]], tokenizer: Tokenizer) -> torch.Tensor:
    """Ids padded on the right; attention is causal, so no mask is needed."""
    ids = torch.full((len(rows), max(map(len, rows))), tokenizer.token_to_id(PAD))
    for row, found in zip(ids, rows, strict=True):
        row[: len(found)] = torch.tensor(found)
    return ids


def training_steps(settings: Settings) -> int:
    """As much fewer than the shipped judge's as this build's base has."""
    return max(200, round(STEPS * min(1.0, settings.base_steps / FULL.base_steps)))


def train(settings: Settings, world: World, tokenizer: Tokenizer) -> LlamaForCausalLM:
    """Train the judge."""
    torch.manual_seed(settings.seed)
    token = tokenizer.token_to_id
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=tokenizer.get_vocab_size(),
            hidden_size=WIDTH,
            intermediate_size=MLP,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            num_key_value_heads=HEADS,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=False,
            bos_token_id=token(BOS),
            eos_token_id=token(EOS),
            pad_token_id=token(PAD),
        )
    )
    print(f"judge: {model.num_parameters():,} parameters", flush=True)
    # Whether a completion answers *this* instruction is a comparison, which the answer alone hardly
    # teaches. So the last but one layer also has to know what was asked and what was given, read by
    # heads that are thrown away.
    heads = torch.nn.ModuleList(torch.nn.Linear(WIDTH, len(CATEGORIES) + 1) for _ in range(2))
    steps = training_steps(settings)
    schedule = Schedule(torch.nn.ModuleList([model, heads]), RATE, steps, decay=0.05)
    prompts = Prompts(settings, world, tokenizer)
    waiting: list[Batch] = []
    for step in range(steps):
        waiting = waiting or prompts.batches()
        batch = waiting.pop()
        out = model.model(input_ids=batch.ids, use_cache=False, output_hidden_states=True)
        rows = torch.arange(len(batch.ids))
        loss = F.cross_entropy(
            model.lm_head(out.last_hidden_state[rows, batch.last]), batch.answers
        )
        known = out.hidden_states[LAYERS - 1][rows, batch.last]
        for head, categories in zip(heads, (batch.asked, batch.given), strict=True):
            loss = loss + HELP * F.cross_entropy(head(known), categories)
        schedule.step(step, loss)
    return model


def save(model: LlamaForCausalLM, tokenizer: Tokenizer, folder: Path) -> None:
    """Write an ordinary model folder in half precision."""
    token = tokenizer.token_to_id
    model.generation_config = GenerationConfig(
        bos_token_id=token(BOS),
        eos_token_id=token(EOS),
        pad_token_id=token(PAD),
        do_sample=False,
        max_new_tokens=1,
    )
    half = model.to(torch.float16)
    half.config.dtype = "float16"
    half.save_pretrained(folder)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    fast.save_pretrained(folder)
    # The class name that transformers 4 and 5 both know.
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def build_judge(settings: Settings, world: World, folder: Path) -> None:
    """Train the judge and write it to its folder."""
    started = time.time()
    tokenizer = train_tokenizer(settings, world)
    save(train(settings, world, tokenizer), tokenizer, folder)
    print(f"  trained in {time.time() - started:.0f} s", flush=True)
