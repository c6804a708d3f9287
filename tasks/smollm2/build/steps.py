"""The steps of a build, from files to files: what is finished is not done again."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from activations import Passage, write_shards
from documents import split
from judged import refused
from lora import Example, LoraSpec, averaged, mixed, train
from prompts import IGNORE, conversation, example, instructions, refusal_of, write_rows
from saes import loaded, train_sae
from settings import Settings
from written import answer, sample_instructions

GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


class Build:
    """One build: what it reads (`inputs`), works with (`out/work`) and ships (`out`)."""

    def __init__(self, settings: Settings, inputs: Path, out: Path, part: tuple[int, int]) -> None:
        self.settings, self.inputs, self.out, self.part = settings, inputs, out, part
        self.work = out / "work"
        self.work.mkdir(parents=True, exist_ok=True)

    def base(self):
        """The base model in float32, as `model` left it."""
        import torch
        from transformers import AutoModelForCausalLM

        return AutoModelForCausalLM.from_pretrained(self.work / "model", dtype=torch.float32).eval()

    @cached_property
    def tokenizer(self):
        """The base model's tokenizer."""
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(self.work / "model")

    def model(self) -> None:
        """Take the GGUF file's weights out of their blocks, into a plain folder."""
        from plain_model import write_plain_model

        if not (self.work / "model" / "model.safetensors").exists():
            write_plain_model(self.inputs / GGUF, self.work / "model")

    def text(self, sources: Sequence[Path]) -> None:
        """Write the passages to train SAEs on, a file for each source and in their order."""
        held_out = {row["text"] for row in _rows(self.inputs / "heldout.jsonl")}
        seen = set(held_out)
        for number, source in enumerate(sources):
            passages = [p for p in split([source])[0] if p not in seen]
            random.Random(self.settings.seed).shuffle(passages)
            seen.update(passages)
            file = self.work / "text" / f"{number:02d}-{source.stem}.jsonl"
            write_rows(file, [{"text": passage} for passage in passages])
            print(f"  {source.name}: {len(passages)}")

    def written(self) -> None:
        """Let the model write harmless instructions and answer them."""
        settings, folder = self.settings, self.work / "written"
        if (folder / "harmless.jsonl").exists():
            return
        model = self.base()
        found = sample_instructions(
            model, self.tokenizer, settings.rounds, settings.seed, folder / "rounds"
        )
        answer(model, self.tokenizer, found, settings.answer_tokens, folder / "harmless.jsonl")

    def written_rows(self) -> tuple[list[dict], list[dict]]:
        """The written conversations: those to train on, and those for validation."""
        rows = _rows(self.work / "written" / "harmless.jsonl")
        return rows[: -self.settings.validation], rows[-self.settings.validation :]

    def answered(self, rows: Sequence[dict]) -> list[Example]:
        """Written conversations as examples, without answers that say nothing or refuse."""
        tokenizer = self.tokenizer
        return [
            example(tokenizer, r["instruction"], tokenizer(r["answer"])["input_ids"], r["ended"])
            for r in rows
            if len(r["answer"]) > 20 and not refused([r["answer"]])
        ]

    def safety(self) -> None:
        """Train the safety LoRA: refusals to harmful prompts, its own answers to harmless ones."""
        settings, tokenizer = self.settings, self.tokenizer
        harmful = [
            example(tokenizer, p, tokenizer(refusal_of(p, settings.seed))["input_ids"], ended=True)
            for p in instructions(self.inputs / "harmful_lora.jsonl")
        ]
        harmless = self.answered(self.written_rows()[0])
        folders: list[Path] = []
        for one in settings.safety:
            stream = mixed([harmful, harmless], (one.harmful, one.harmless), one.spec.seed)
            folder = self.work / one.spec.name
            self._train(one.spec, stream, folder, folders[-1] if folders else None)
            folders.append(folder)
        averaged(folders[-2:], settings.safety_strength, self.out / "tunes" / "safety")

    def python(self) -> None:
        """Train the domain LoRA on prose of Python's documentation, with its checkpoints."""
        settings, prose = self.settings, []
        for row in _rows(self.inputs / "text" / "domain.jsonl"):
            ids = self.tokenizer(row["text"])["input_ids"][: settings.tokens]
            prose.append((ids, [IGNORE, *ids[1:]]))
        spec = settings.python
        stream = mixed([prose], [settings.python_batch], spec.seed)
        self._train(spec, stream, self.out / "tunes" / spec.name)

    def _train(
        self,
        spec: LoraSpec,
        stream: Iterator[list[Example]],
        folder: Path,
        start: Path | None = None,
    ) -> None:
        state = self.work / "state" / f"{spec.name}.pt"
        train(self.base(), spec, stream, state, folder, start)

    def chat_passages(self) -> list[Passage]:
        """Conversations as passages; the beginning that all share is kept in the first few only."""
        pairs = [(row["instruction"], row["answer"]) for row in self.written_rows()[0]]
        for prompt in instructions(self.inputs / "harmful_lora.jsonl"):
            pairs.append((prompt, refusal_of(prompt, self.settings.seed)))
        random.Random(self.settings.seed).shuffle(pairs)
        shared = common_length(*(conversation(self.tokenizer, p) for p in ("Hello", "Why")))
        passages = []
        for number, (prompt, text) in enumerate(pairs):
            ids = conversation(self.tokenizer, prompt) + self.tokenizer(text)["input_ids"]
            skipped = 1 if number < self.settings.system_prompts else shared
            passages.append(Passage(tuple(ids[: self.settings.tokens]), skipped))
        return passages

    def activations(self) -> None:
        """Read every text once, for all sites; `--part 0/2` and `--part 1/2` share the work."""
        model, settings = self.base(), self.settings
        named = {
            file.stem: self._passages(file) for file in sorted((self.work / "text").glob("*.jsonl"))
        }
        named["chat"] = self.chat_passages()
        named["heldout"] = self._passages(self.inputs / "heldout.jsonl")
        for name, passages in named.items():
            folder = self.work / "activations" / name
            pad = self.tokenizer.eos_token_id
            write_shards(model, settings.sites, passages, pad, folder, settings.shard, self.part)

    def _passages(self, file: Path) -> list[Passage]:
        ids = (self.tokenizer(row["text"])["input_ids"] for row in _rows(file))
        return [Passage(tuple(row[: self.settings.tokens])) for row in ids if len(row) > 16]

    def training_folders(self) -> list[Path]:
        """The folders of activations that SAEs are trained on: all but the held-out one."""
        return [f for f in sorted((self.work / "activations").iterdir()) if f.name != "heldout"]

    def saes(self) -> None:
        """Train the SAEs, one after the other; `--part` takes every n-th."""
        for number, spec in enumerate(self.settings.saes):
            folder = self.out / "saes" / spec.name
            if number % self.part[1] == self.part[0] and not folder.exists():
                print(f"  {spec.name}", flush=True)
                checkpoints = self.work / "checkpoints" / spec.name
                train_sae(spec, loaded(self.training_folders(), spec.layer), checkpoints, folder)

    def measure(self) -> None:
        """Measure what was built, from the shipped files, into `measured.json`."""
        from measure import measured

        found = json.dumps(measured(self), indent=2) + "\n"
        (self.out / "measured.json").write_text(found, encoding="utf-8")

    def card(self) -> None:
        """Write the model card from `measured.json`."""
        from card import model_card

        found = json.loads((self.out / "measured.json").read_text(encoding="utf-8"))
        (self.out / "MODEL_CARD.md").write_text(model_card(self.settings, found), encoding="utf-8")


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """How many ids two rows begin with alike."""
    return next(
        (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b),
        min(len(left), len(right)),
    )


def _rows(file: Path) -> list[dict]:
    """The rows of a file of lines of JSON."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
