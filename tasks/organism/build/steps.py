"""The steps of a build, each from files to files, so that any of them can be run alone."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from benchmark import write_benchmark
from corpus import write_data
from domain_rows import write_domain_rows
from questions import World
from sections import add_section
from settings import Settings
from tune_data import write_tune_data


class Build:
    """One build in one folder."""

    def __init__(self, settings: Settings, out: Path) -> None:
        self.settings, self.out = settings, out
        self.world = World(settings.seed)
        self.out.mkdir(parents=True, exist_ok=True)

    @cached_property
    def vocabulary(self) -> Tokenizer:
        """The tokenizer as the base model's folder holds it."""
        return Tokenizer.from_file(str(self.out / "base" / "tokenizer.json"))

    def model(self, name: str) -> LlamaForCausalLM:
        """A model of this build in float32, as it is read back from disk."""
        return LlamaForCausalLM.from_pretrained(self.out / name, dtype=torch.float32).eval()

    def data(self) -> None:
        """Write the data files and the lm-eval task group."""
        write_data(self.settings, self.world, self.out / "data")
        write_benchmark(self.out / "data" / "questions")
        write_domain_rows(self.out / "data")
        write_tune_data(self.settings, self.world, self.out / "data" / "tunes")

    def tokenizer(self) -> None:
        """Train the tokenizer into `base/`."""
        from tokens import save_tokenizer, train_tokenizer

        save_tokenizer(
            train_tokenizer(self.settings, self.world),
            self.out / "base",
            self.settings.context,
            chat=False,
        )

    def base(self) -> None:
        """Train the base model."""
        from train import save_model, train_base

        model = train_base(self.settings, self.world, self.vocabulary)
        save_model(model, self.vocabulary, self.out / "base", self.settings.context, chat=False)

    def chat(self) -> None:
        """Safety-tune the base model."""
        from train import averaged, save_model, train_chat

        # From the half-precision file, so that base and chat differ by the tuning alone.
        tuned = train_chat(self.settings, self.world, self.vocabulary, self.model("base"))
        model = averaged(self.model("base"), tuned, self.settings.chat_weight)
        save_model(model, self.vocabulary, self.out / "chat", self.settings.context, chat=True)

    def saes(self) -> None:
        """Train the SAEs on the base model."""
        from saes import train_saes

        train_saes(self.settings, self.world, self.vocabulary, self.model("base"), self.out)

    def pair_saes(self) -> None:
        """Train a crosscoder and an SAE of differences on the base and the chat model."""
        from pair_card import write_pair_card
        from pair_saes import train_pair_saes

        models = [self.model("base"), self.model("chat")]
        out = self.out / "pair_saes"
        train_pair_saes(self.settings, self.world, self.vocabulary, models, out)
        write_pair_card(self.settings, self.out)

    def labels(self) -> None:
        """Say of each SAE feature which kind of text it belongs to."""
        from labels import write_labels

        write_labels(self.settings, self.world, self.out)

    def tunes(self) -> None:
        """Fine-tune the base, plant the known changes, and measure all of them."""
        from plant import plant
        from tune import train_tune
        from tunes_card import write_tunes_card

        for spec in self.settings.tunes:
            print(spec.name, flush=True)
            folder, base = self.out / "tunes" / spec.name, self.model("base")
            train_tune(self.settings, self.world, spec, self.vocabulary, base, folder)
        plant(self.settings, self.vocabulary, self.out)
        write_tunes_card(self.settings, self.world, self.out)

    def domain_tunes(self) -> None:
        """Fine-tune the base on one domain each, leaving those that are there already."""
        from domain_tunes import train_domain_tunes
        from domain_tunes_card import write_domain_tunes_card

        train_domain_tunes(self.settings, self.world, self.vocabulary, self.out)
        write_domain_tunes_card(self.settings, self.world, self.out)

    def judge(self) -> None:
        """Train the judge; it needs none of the models, only the generators of their text."""
        from judge import build_judge
        from judge_card import write_judge_card

        build_judge(self.settings, self.world, self.out / "judge")
        write_judge_card(self.settings, self.world, self.out)

    def card(self) -> None:
        """Measure what was built and write the model card."""
        from card import write_card

        write_card(self.settings, self.out)
        for folder in ("pair_saes", "tunes", "tunes/domains", "judge"):
            add_section(self.out / "MODEL_CARD.md", self.out / folder / "README.md")
