"""A small world whose every text is hostile: models, an SAE, data, labels, a plugin and a task.

The models are real ones of transformers, with weights that make them parrots: after the word `askN`
they write the N-th text, which is one token of their vocabulary, and stop.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from campaign.strings.hostile import Hostile

LAYERS = 2
SPECIAL = ("<pad>", "<s>", "</s>")
SORTED = 6
"""How many texts are categories: each has all numbers of its own."""
PLAIN = ("say", "and", "then", "what", "it", "was")


@dataclass(frozen=True)
class Scene:
    """What was written, and the texts that are in it."""

    folder: Path
    strings: tuple[Hostile, ...]

    @property
    def first(self) -> Hostile:
        """The text of what there is but once: titles, names of folders and of models."""
        return self.strings[0]

    @property
    def home(self) -> Path:
        """The folder of the task, with a name of its own."""
        return self.folder / self.first.file_name

    @property
    def task(self) -> Path:
        return self.home / f"{self.first.file_name}.toml"

    def model(self, name: str) -> Path:
        return self.home / "models" / f"{self.first.file_name} {name}"


def write(folder: Path, strings: Sequence[Hostile], server: str) -> Scene:
    """Writes it. `server` answers as a judge and as a site of labels."""
    scene = Scene(folder, tuple(strings))
    scene.home.mkdir(parents=True)
    for number, name in enumerate(("base", "tuned")):
        _model(scene.model(name), strings, number)
    _adapter(scene.home / "adapter", scene)
    _sae(scene.home / "sae", scene)
    _data(scene.home / "data", strings)
    _labels(scene.home / "labels.jsonl", strings)
    texts = json.dumps([one.text for one in strings])
    (scene.home / "stranger.py").write_text(f"TEXTS = {texts}\n{STRANGER}", encoding="utf-8")
    scene.task.write_text(tomli_w.dumps(_task(scene, server)), encoding="utf-8")
    return scene


# ── Models that write the texts ──────────────────────────────────────────────────────────────────


def _vocabulary(strings: Sequence[Hostile]) -> list[str]:
    asks = [f"ask{place}" for place in range(len(strings))]
    return list(dict.fromkeys([*SPECIAL, *PLAIN, *asks, *(one.written for one in strings)]))


def _model(folder: Path, strings: Sequence[Hostile], other: int) -> None:
    words = _vocabulary(strings)
    width = -(-len(words) // 16) * 16
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=width, intermediate_size=16, num_hidden_layers=LAYERS,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=4096, pad_token_id=0,
        bos_token_id=1, eos_token_id=2, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(other)
    model = LlamaForCausalLM(config)
    number = {word: place for place, word in enumerate(words)}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.02)  # what differs between the two, and nothing beside a word
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.fill_(1.0)
        model.model.embed_tokens.weight.copy_(torch.eye(width)[: len(words)] * (1 + other))
        model.lm_head.weight.zero_()
        for place in range(len(words)):
            model.lm_head.weight[2, place] = 1.0  # after any other word it stops
        for place, one in enumerate(strings):
            ask = number[f"ask{place}"]
            model.lm_head.weight[2, ask] = 0.0
            model.lm_head.weight[number[one.written], ask] = 1.0
    model.save_pretrained(folder)
    inner = Tokenizer(models.WordLevel(number, unk_token="<pad>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    inner.add_tokens([AddedToken(one.written, normalized=False) for one in strings])
    PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    ).save_pretrained(folder)  # fmt: skip


def _width(scene: Scene) -> int:
    return -(-len(_vocabulary(scene.strings)) // 16) * 16


def _adapter(folder: Path, scene: Scene) -> None:
    """A LoRA of the base whose metadata are hostile wherever they are free."""
    text, place = scene.first.text, "base_model.model.model.layers.0.self_attn.q_proj"
    folder.mkdir()
    save_file(
        {f"{place}.lora_A.weight": torch.ones(1, _width(scene)),
         f"{place}.lora_B.weight": torch.ones(_width(scene), 1)},
        folder / "adapter_model.safetensors", {"note": scene.first.written},
    )  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps({
        "peft_type": "LORA", "r": 1, "lora_alpha": 1, "target_modules": ["q_proj"],
        "base_model_name_or_path": text, "revision": text, "task_type": "CAUSAL_LM", text: text,
    }))  # fmt: skip


def _sae(folder: Path, scene: Scene) -> None:
    """An SAE of the first block, whose metadata are hostile wherever they are free."""
    d_in = _width(scene)
    d_sae = max(32, len(scene.strings) + 8)
    text = scene.first.text
    chance = torch.Generator().manual_seed(0)
    decoder = torch.randn(d_sae, d_in, generator=chance)
    decoder /= decoder.norm(dim=1, keepdim=True)
    folder.mkdir()
    save_file(
        {"W_enc": decoder.T.contiguous(), "W_dec": decoder, "b_enc": torch.zeros(d_sae),
         "b_dec": torch.zeros(d_in)},
        folder / "sae_weights.safetensors", {"note": scene.first.written},
    )  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps({
        "architecture": "standard", "d_in": d_in, "d_sae": d_sae, "dtype": "float32",
        "apply_b_dec_to_input": False, "normalize_activations": "none", "device": "cpu",
        "metadata": {"model_name": text, "hook_name": "blocks.0.hook_resid_post",
                     "dataset_path": text, "sae_lens_version": text, "wandb_id": text},
    }))  # fmt: skip


# ── Data, labels, a plugin ───────────────────────────────────────────────────────────────────────


def _data(folder: Path, strings: Sequence[Hostile]) -> None:
    folder.mkdir()
    rows = [
        {"text": f"say {one.text} and then ask{place}", "answer": one.text,
         "kind": one.text if place < SORTED else "other", "id": one.text, one.text: "a column"}
        for place, one in enumerate(strings)
    ]  # fmt: skip
    if len(rows) == 1:  # a pair needs documents
        rows += [{**rows[0], "text": f"{word} {rows[0]['text']}"} for word in PLAIN]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{strings[0].file_name}.jsonl").write_text(content)


def _labels(file: Path, strings: Sequence[Hostile]) -> None:
    rows = [
        {"feature": place, "description": one.text, "cluster": one.text, "url": one.text}
        for place, one in enumerate(strings)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


STRANGER = """\
from harness.contract import (
    AnalysisOptions, Component, Figure, Grid, Outcome, Panel, Prose, Record, Verdict,
    EvaluatorOptions, SectionOptions, Score, hookimpl,
)
class Options(AnalysisOptions):
    "Options."
class Loud:
    def __init__(self, options): ...
    def run(self, findings):
        records = []
        for n, text in enumerate(TEXTS):
            axes = {"place": n, "said": text}
            records.append(Record("loud.value@1", 0.5, 9, "tokens", "share", ci=(0.4, 0.6),
                                  axes=axes))
            records.append(Record("loud.reason@1", None, 0, text, text, undefined=text, axes=axes))
            records.append(Record("loud.interval@1", 1.0, 1, text, text, ci_why=text, axes=axes,
                                  options={"said": text}, null={"kind": text, "value": 1.0}))
        rows = [{"feature": n, "said": text, TEXTS[0]: text} for n, text in enumerate(TEXTS)]
        return Outcome(tuple(records), {"loud": rows}, notes=tuple(TEXTS))
class Mine:
    def __init__(self, options): ...
    def panel(self, results):
        cells = [[n, text] for n, text in enumerate(TEXTS)]
        grid = Grid(TEXTS[0], ["n", TEXTS[0]], cells, TEXTS[0])
        names = [f"{n} {text}" for n, text in enumerate(TEXTS)]
        bars = {"type": "bar", "x": names, "y": list(range(len(TEXTS))), "name": TEXTS[0],
                "text": TEXTS, "hovertext": TEXTS, "customdata": TEXTS, "hovertemplate": TEXTS[0]}
        rows = [{"said": text, TEXTS[0]: n} for n, text in enumerate(TEXTS)]
        figure = Figure(TEXTS[0], TEXTS[0], [bars], {"title": {"text": TEXTS[0]},
                        "annotations": [{"text": TEXTS[0], "x": 0, "y": 0}]}, rows)
        return Panel(TEXTS[0], (grid, figure, *(Prose(text) for text in TEXTS)))
@hookimpl
def harness_components():
    return [
        Component("analysis", "loud", TEXTS[0], "stranger:Loud", "stranger:Options"),
        Component("section", "mine", TEXTS[0], "stranger:Mine", "harness.contract:SectionOptions"),
    ]
"""
"""A plugin in a file beside the task: it says the texts wherever a plugin can say something."""


# ── The task ─────────────────────────────────────────────────────────────────────────────────────


def _task(scene: Scene, server: str) -> dict[str, Any]:
    first = scene.first.written
    where = f"data/{scene.first.file_name}.jsonl"
    models = {name: {"path": str(scene.model(name))} for name in ("base", "tuned")}
    claims = {
        f"says{place}": {"text": one.written, "holds": "loud.value < 2", "source": one.written}
        for place, one in enumerate(scene.strings)
    }
    return {
        "name": "hostile",
        "title": first,
        "source": first,
        "plugins": ["./stranger.py"],
        "models": models,
        "views": {
            "base": {"model": "base"},
            "tuned": {"model": "tuned"},
        },
        "saes": {"mid": {"path": "sae", "site": "resid_post.0", "model": "base"}},
        "data": {"rows": {"file": where}, "sorted": {"file": where, "by": "kind"}},
        "pairs": {
            "both": {"left": "base", "right": "tuned", "data": "sorted", "saes": ["mid"],
                     "axes": {"said": first}},
        },
        "metrics": {"cosine": {"pair": "both"}},
        "directions": {
            "change": {"method": "difference_in_means", "view": "tuned", "site": "resid_post.0",
                       "positive": "rows", "negative": "rows"},
            "chance": {"method": "random", "like": "change", "draws": 1},
        },
        "statistics": {
            "feature_shift": {"pair": "both", "sae": "mid", "delta": 0.5, "minimum": 1,
                              "table": 300},
            "contexts": {"pair": "both", "sae": "mid"},
        },
        "labels": {
            "file": {"path": "labels.jsonl", "sae": "mid", "top": 300},
            "neuronpedia": {"sae": "mid", "top": 300, "id": "hostile/labels", "server": server,
                            "exports": server, "interval": 0.0},
        },
        "evaluators": {
            "substrings": {"phrases": [one.written for one in scene.strings]},
            "harmbench": {"server": server, "server_model": "judge",
                          "tokenizer": str(scene.model("base"))},
        },
        "experiments": {
            "talk": {"view": "tuned", "data": "rows", "evaluators": ["substrings", "harmbench"],
                     "generation": {"max_new_tokens": 3}},
        },
        "analyses": {"loud": {}},
        "claims": claims,
        "gates": {"few": {"assert": "loud.value <= 0.1"}, "some": {"assert": "loud.value >= 0.1"}},
    }  # fmt: skip
