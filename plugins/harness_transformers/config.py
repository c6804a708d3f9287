"""What a model's config.json says: its facts and its sizes, as every family of models writes it."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from harness.contract import ModelFacts, Needs

NUMBER_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
_LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
_WIDTH = ("hidden_size", "n_embd", "d_model", "dim")
_LONGEST = 200
"""Characters of a name."""
_HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")


def facts_of(
    config: Mapping[str, Any], *, parameters: int | None, chat_template: bool | None
) -> ModelFacts:
    """Facts from a config.json; of a model for several media, those of its text part."""
    text = _text_part(config)
    heads, head = _attention(text)
    return ModelFacts(
        architecture=next(iter(_architectures(config)), _word(config.get("model_type"))),
        layers=_number(text, *_LAYERS),
        d_model=_number(text, *_WIDTH),
        d_attn_z=head * heads if head and heads else None,
        vocabulary=_number(text, "vocab_size"),
        context=_number(
            text, "max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length"
        ),
        parameters=parameters,
        chat_template=chat_template,
    )


def sizes(config: Mapping[str, Any], tensors: Set[str], dtype: str, device: str) -> Needs:
    """What decides the cost of a model, from its config.json and the names of its tensors.

    `dtype` and `device` are the backend's options; a size that is not stated is None.
    """
    text = _text_part(config)
    facts = facts_of(config, parameters=None, chat_template=None)
    heads, head = _attention(text)
    groups = _number(text, "num_key_value_heads") or heads
    # Without weights of its own the output is the input embedding, which is multiplied then.
    apart = any(name.endswith(("lm_head.weight", "embed_out.weight")) for name in tensors)
    embedding = facts.vocabulary * facts.d_model if facts.vocabulary and facts.d_model else None
    if dtype == "auto" and device not in ("auto", "cpu"):
        dtype = str(text.get("dtype") or text.get("torch_dtype"))  # as stored
    return Needs(
        number_bytes=NUMBER_BYTES.get(dtype),
        looked_up=None if not tensors else embedding if apart else 0,
        kept=2 * head * groups * facts.layers if head and groups and facts.layers else None,
        widest=_number(text, "intermediate_size", "n_inner", "ffn_dim")
        or (4 * facts.d_model if facts.d_model else None),
    )


def headless(config: Mapping[str, Any], tensors: Set[str]) -> bool:
    """Whether the files are those of a model without a language-model head, such as a LlamaModel.

    So they are where config.json names a class that writes no text and says that input and output
    share no weights, and no tensor has the name of a head. Where one of these is open, it isn't
    said: families leave the sharing to their defaults.
    """
    named = " ".join(_architectures(config))
    writes = any(word in named for word in ("CausalLM", "LMHead", "ConditionalGeneration"))
    apart = _text_part(config).get("tie_word_embeddings") is False
    heads = ("lm_head.weight", "embed_out.weight", "output.weight", "head.weight")
    has_one = any(name.endswith(heads) for name in tensors)
    return bool(named) and not writes and apart and bool(tensors) and not has_one


def _architectures(config: Mapping[str, Any]) -> list[str]:
    """The classes that config.json names, as far as they can be names."""
    given = config.get("architectures")
    return [one for one in given if _word(one)] if isinstance(given, list) else []


def _word(value: Any) -> str | None:
    return value if isinstance(value, str) and len(value) <= _LONGEST else None


def _attention(text: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The number of attention heads, and how many numbers a head has."""
    width, heads = _number(text, *_WIDTH), _number(text, *_HEADS)
    return heads, _number(text, "head_dim") or (width // heads if width and heads else None)


def _text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The settings of the language model, also where it is a part of one for several media."""
    for part in ("text_config", "llm_config", "language_config"):
        if isinstance(config.get(part), Mapping):
            return {**config, **config[part]}
    return config


def _number(config: Mapping[str, Any], *names: str) -> int | None:
    """The first whole number under one of a setting's names, which differ between families."""
    for name in names:
        value = config.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None
