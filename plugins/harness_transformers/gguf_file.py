"""A model in a GGUF file, for `check` and `plan`: its facts, and what is wrong. No torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.contract import ModelFacts, Needs
from harness.errors import ModelError
from harness_transformers.config import facts_of, sizes
from harness_transformers.files import sha256_of
from harness_transformers.gguf_header import Header, read_header

INSTALL = "pip install 'sae-harness[gguf]'"
_FLOATS = {"F16": "float16", "BF16": "bfloat16"}
"""Types that are numbers of a dtype; blocks of all others become float32."""
_TYPE = re.compile(r"[.-](i?q\d\w*|b?f\d+|mxfp4|nvfp4|tq\d\w*)$", re.IGNORECASE)
"""How a file's name ends that says how its weights are stored: `.Q4_1`, `-IQ2_XS`, `.F16`."""
_SPLITS = ("default", "gpt-2", "llama-bpe", "llama3", "llama-v3", "qwen2", "tekken", "gpt-4o")
"""Rules of splitting that transformers has been taught, or that are GPT-2's own."""
_POSITIONS = "rope_"
"""How tensors are called that scale positions: numbers of the configuration, not of the weights."""


@dataclass(frozen=True)
class GgufFile:
    """A GGUF file that holds a whole language model."""

    file: Path
    where: str
    """How messages name the model."""

    @property
    def header(self) -> Header:
        """What the file says before its weights begin; ModelError where it is damaged."""
        return read_header(self.file, self.where)

    @property
    def parameters(self) -> int:
        """Numbers in its weights."""
        weights = (t for t in self.header.tensors if not t.name.startswith(_POSITIONS))
        return sum(tensor.count for tensor in weights)

    @property
    def dtype(self) -> str:
        """The dtype in which nothing of it is lost: `float16`, `bfloat16` or `float32`."""
        return _FLOATS.get(next(iter(self.header.stored()), ""), "float32")

    @property
    def own_template(self) -> bool:
        """Whether the file brings a chat template."""
        return bool(self.header.values.get("tokenizer.chat_template"))

    def check(self) -> None:
        """ModelError where the file holds no whole model, or the package gguf is missing."""
        values = self.header.values
        if values.get("general.type", "model") != "model":
            raise ModelError(
                f"{self.where}: the file holds no model but a part of one (general.type ="
                f" {values['general.type']}). Allowed: the file with the whole language model."
            )
        parts = values.get("split.count", 1)
        if isinstance(parts, int) and parts > 1:
            raise ModelError(
                f"{self.where}: the file is one of {parts} parts, and transformers reads whole ones"
                " alone. Join them (llama-gguf-split --merge) and give the joined file."
            )
        if find_spec("gguf") is None:
            raise ModelError(
                f"{self.where}: reading a GGUF file needs the package gguf, which is not installed."
                f" Install it ({INSTALL}), or give a folder of transformers as path."
            )

    def facts(self, *, chat_template: bool | None) -> ModelFacts:
        """Sizes of the model."""
        return facts_of(self._config(), parameters=self.parameters, chat_template=chat_template)

    def needs(self, dtype: str, device: str) -> Needs:
        """What the model takes; nothing is to be downloaded."""
        own = {"lm_head.weight"} if self._has("output.weight") else {"token_embd.weight"}
        return sizes(self._config(), own, dtype, device)

    def names(self) -> tuple[str, ...]:
        """The file's name, without how the weights are stored, and what the file calls itself."""
        stem = self.file.name.removesuffix(".gguf")
        values = self.header.values
        keys = ("general.name", "general.basename", "general.source.repo_url")
        keys += ("general.base_model.0.name", "general.base_model.0.repo_url")
        told = [str(values[key]) for key in keys if values.get(key)]
        return tuple(dict.fromkeys([_TYPE.sub("", stem), stem, *told]))

    def doubts_of_tokenizer(self) -> Iterator[str]:
        """A warning where transformers may split text otherwise than the file's tokenizer does."""
        kind = self.header.values.get("tokenizer.ggml.model")
        rule = self.header.values.get("tokenizer.ggml.pre", "default")
        if kind == "gpt2" and rule not in _SPLITS:
            yield (
                f"its file names the rule {rule!r} by which text is split before it is tokenised."
                " transformers may not know it and then splits as GPT-2 does. Give the model's own"
                ' tokenizer: tokenizer = "…", a folder or hub id.'
            )

    def origin(self) -> dict[str, Any]:
        """What the provenance of a run says of the file."""
        return {
            "gguf": self.file.name,
            "sha256": sha256_of(self.file),
            "stored": self.header.stored(),
        }

    def require(self, sha256: str) -> None:
        """ModelError where the file has another sha256; reads all of it."""
        if (found := sha256_of(self.file)) != sha256:
            raise ModelError(
                f"{self.where}: its sha256 is {found}, and the task says {sha256}. Get the file"
                " that the task means, or change sha256."
            )

    def unreadable(self, why: str) -> ModelError:
        """The error for a file that transformers cannot read."""
        stored = ", ".join(self.header.stored())
        return ModelError(
            f"{self.where}: transformers cannot read it ({why}). It holds the architecture"
            f" {self.header.architecture}, stored as {stored}. Allowed: architectures and types"
            " that transformers takes out of GGUF files. Give the model's folder or hub id as path."
        )

    def _config(self) -> dict[str, Any]:
        """The header in the words of a config.json."""
        header = self.header
        embedding = [t.shape for t in header.tensors if t.name == "token_embd.weight"]
        tokens = header.values.get("tokenizer.ggml.tokens")  # how many there are
        found = {
            "model_type": header.architecture,
            "num_hidden_layers": header.of_model("block_count"),
            "hidden_size": header.of_model("embedding_length"),
            "num_attention_heads": header.of_model("attention.head_count"),
            "num_key_value_heads": header.of_model("attention.head_count_kv"),
            "head_dim": header.of_model("attention.value_length"),
            "vocab_size": embedding[0][0] if embedding else header.of_model("vocab_size") or tokens,
            "max_position_embeddings": header.of_model("context_length"),
            "intermediate_size": header.of_model("feed_forward_length"),
            "dtype": self.dtype,
        }
        return {key: value for key, value in found.items() if value is not None}

    def _has(self, name: str) -> bool:
        return any(tensor.name == name for tensor in self.header.tensors)


def lost(model: GgufFile, parameters: int, scaled: bool) -> Iterator[str]:
    """What transformers did not take over from the file.

    `parameters` are those of the loaded model, and `scaled` is whether its positions are scaled.
    """
    beyond = model.parameters - parameters
    if beyond > 0:
        yield (
            f"its file holds {beyond} numbers that transformers has no place for. They are left"
            " out: compare what the model writes with what another program makes of the file."
        )
    kind = model.header.of_model("rope.scaling.type")
    freqs = any(tensor.name.startswith(_POSITIONS) for tensor in model.header.tensors)
    if not scaled and (freqs or kind not in (None, "none")):
        yield (
            "its file scales its positions"
            + (f" (rope.scaling.type = {kind})" if kind else " (rope_freqs)")
            + ", which transformers does not read from GGUF files: it is not quite the model that"
            " was trained. Give the model's folder or hub id as path."
        )
