"""Configurations in JSON, with a key or a value of them made wrong."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from campaign.files.told import Told, shown
from campaign.values import NUMBERS, OTHERS, WORDS

Place = tuple[str | int, ...]
_TWIN = "\0twin\0"
"""Stands for a key that comes twice, which no dict can hold, until the text is written."""


def json_damage(file: Path, chance: random.Random) -> Told:
    """One to three changes of what the file says."""
    try:
        data = json.loads(file.read_bytes())
    except (ValueError, RecursionError):  # damaged before, in another way
        return Told("left as it was")
    done = [chance.choice(_CHANGES)(data, chance) for _ in range(chance.choice((1, 1, 1, 2, 3)))]
    text, twins = json.dumps(data, default=str), [one for one in done if one[1]]
    for _, key in twins:
        text = text.replace(json.dumps(_TWIN), json.dumps(key), 1)
    # Lone surrogates are left as escapes by json; what else there is can be written.
    file.write_text(text, encoding="utf-8")
    return Told("; ".join(what for what, _ in done))


def _place(data: Any, chance: random.Random) -> Place:
    """A place in nested values, found on a walk from the top: those of long lists (vocabularies)
    are not more likely than the few settings beside them."""
    place: Place = ()
    while isinstance(data, (dict, list)) and data and (not place or chance.random() < 0.6):
        keys: list[Any] = [*data] if isinstance(data, dict) else [*range(len(data))]
        key = chance.choice(keys)
        place, data = (*place, key), data[key]
    return place


def _around(data: Any, place: Place) -> Any:
    for key in place[:-1]:
        data = data[key]
    return data


def _value(data: Any, place: Place) -> Any:
    return _around(data, place)[place[-1]] if place else data


def _set(data: Any, place: Place, value: Any) -> None:
    if place:
        _around(data, place)[place[-1]] = value


def _named(place: Place) -> str:
    return ".".join(shown(key, 40).strip("'") for key in place) or "the whole"


Change = Callable[[Any, random.Random], tuple[str, str]]
"""What was changed, and the key that comes twice, if one does."""


def junk(chance: random.Random) -> Any:
    """A value that nobody means."""
    match chance.randrange(12):
        case 0 | 1 | 2 | 3:
            return chance.choice(NUMBERS)
        case 4 | 5 | 6:
            return chance.choice(WORDS)
        case 7 | 8:
            return copy.deepcopy(chance.choice(OTHERS))
        case 9:
            return None
        case 10:
            return chance.choice(("\ud800", "x" * 100_000, [0] * 20_000, {"a": {}}, -1, 0, 1))
    return _nested(chance.choice((3, 50, 300, 900)))


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def _replace(data: Any, chance: random.Random) -> tuple[str, str]:
    place, new = _place(data, chance), junk(chance)
    _set(data, place, new)
    return f"{_named(place)} = {shown(new)}", ""


def _retype(data: Any, chance: random.Random) -> tuple[str, str]:
    """The same value as another type, or nearly the same number."""
    place = _place(data, chance)
    old = _value(data, place)
    forms: list[Any] = [[old], {"value": old}, str(old), None]
    if isinstance(old, bool):
        forms += [not old, int(old)]
    elif isinstance(old, (int, float)):
        forms += [old + 1, old - 1, -old, old * 2, old * 1000, float(old), old + 0.5, 0]
    elif isinstance(old, str):
        forms += [old.upper(), old[:-1], f"{old}x", f" {old}", [*old[:50]], ""]
    elif isinstance(old, list):
        forms += [old[:-1], old + old[:1], old[::-1], {str(i): v for i, v in enumerate(old)}, []]
    elif isinstance(old, dict):
        forms += [[*old], [*old.values()], {}]
    new = copy.deepcopy(chance.choice(forms))
    _set(data, place, new)
    return f"{_named(place)}: {shown(old)} becomes {shown(new)}", ""


def _drop(data: Any, chance: random.Random) -> tuple[str, str]:
    place = _place(data, chance)
    if place and isinstance(_around(data, place), (dict, list)):
        del _around(data, place)[place[-1]]
    return f"without {_named(place)}", ""


def _rename(data: Any, chance: random.Random) -> tuple[str, str]:
    place = _place(data, chance)
    table = _around(data, place) if place else None
    if not isinstance(table, dict):
        return _replace(data, chance)
    key = str(place[-1])
    new = chance.choice((key.upper(), key[:-1], f"{key}s", f"{key}_", "", key[::-1], f"_{key}"))
    table[new] = table.pop(place[-1])
    return f"{_named(place)} is called {new!r}", ""


def _twin(data: Any, chance: random.Random) -> tuple[str, str]:
    place = _place(data, chance)
    table = _around(data, place) if place else None
    if not isinstance(table, dict) or _TWIN in table:
        return _replace(data, chance)
    table[_TWIN] = new = junk(chance)
    return f"{_named(place)} comes twice, the second time as {shown(new)}", str(place[-1])


def _swap(data: Any, chance: random.Random) -> tuple[str, str]:
    one, two = _place(data, chance), _place(data, chance)
    short = min(len(one), len(two))
    if one[:short] != two[:short]:  # neither lies inside the other one
        old, new = _value(data, one), _value(data, two)
        _set(data, one, new)
        _set(data, two, old)
    return f"{_named(one)} and {_named(two)} change places", ""


def _copied(data: Any, chance: random.Random) -> tuple[str, str]:
    one, two = _place(data, chance), _place(data, chance)
    _set(data, one, copy.deepcopy(_value(data, two)))
    return f"{_named(one)} is what {_named(two)} is", ""


def _added(data: Any, chance: random.Random) -> tuple[str, str]:
    """A key that libraries act on, or one that nobody knows."""
    place = _place(data, chance) if chance.random() < 0.3 else ()
    table = _value(data, place)
    if not isinstance(table, dict):
        table = data if isinstance(data, dict) else None
    if table is None:
        return _replace(data, chance)
    key, value = chance.choice(TEMPTING) if chance.random() < 0.7 else ("nobody_knows", 1)
    table[key] = copy.deepcopy(value) if chance.random() < 0.8 else junk(chance)
    return f"{_named(place)} gets {key} = {shown(table[key])}", ""


CODE = "stranger.Model"
"""A class of the file `stranger.py`, which leaves a witness where it is run."""
TEMPTING: list[tuple[str, Any]] = [
    ("auto_map", {"AutoConfig": "stranger.Config", "AutoModelForCausalLM": CODE,
                  "AutoTokenizer": [CODE, CODE]}),
    ("auto_mapping", {"base_model_class": "Model", "parent_library": "stranger"}),
    ("custom_pipelines", {"x": {"impl": CODE}}),
    ("quantization_config", {"quant_method": "bitsandbytes", "load_in_8bit": True}),
    ("quantization_config", {"quant_method": "nobody-has-this"}),
    ("quantization_config", {"quant_method": "torchao", "quant_type": "int4_weight_only"}),
    ("_attn_implementation", "flash_attention_2"), ("attn_implementation", "nobody/kernel"),
    ("dtype", "float16"), ("torch_dtype", "float8_e4m3fn"), ("torch_dtype", "int8"),
    ("rope_scaling", {"type": "yarn", "factor": 2.0}), ("rope_parameters", {"rope_type": "no"}),
    ("text_config", {"hidden_size": 4}), ("is_encoder_decoder", True), ("pruned_heads", {"0": [1]}),
    ("architectures", ["LlamaModel"]), ("model_type", "gpt2"), ("tie_word_embeddings", True),
    ("sliding_window", 1), ("attention_bias", True), ("mlp_bias", True), ("head_dim", 3),
    ("add_bos_token", True), ("add_prefix_space", True), ("legacy", False), ("use_fast", False),
    ("tokenizer_class", "LlamaTokenizer"), ("tokenizer_class", "stranger.Model"),
    ("model_max_length", 4), ("padding_side", "left"), ("chat_template", "{{ messages }}"),
    ("chat_template", [{"name": "default", "template": "{{ 1 }}"}]), ("split_special_tokens", True),
    ("response_template", "x"), ("modules_to_save", ["lm_head"]), ("layers_to_transform", [0]),
    ("rank_pattern", {"q_proj": 1}), ("alpha_pattern", {".*": 0}), ("use_dora", True),
    ("layer_replication", [[0, 3], [1, 3]]), ("target_parameters", ["q_proj.weight"]),
    ("target_modules", "(a+)+$"), ("target_modules", "all-linear"), ("peft_type", "PROMPT_TUNING"),
    ("lora_bias", True), ("fan_in_fan_out", True), ("trainable_token_indices", [3]),
    ("activation_fn", "nobody"), ("hook_name", "blocks.99.hook_resid_post"), ("d_sae", 10**9),
    ("d_in", 7), ("k", 0), ("k", 10**6), ("prepend_bos", False), ("normalize_activations", "x"),
    ("scaling_factor", 0), ("weight_map", {"x": "../../../../etc/passwd"}), ("added_tokens", []),
]  # fmt: skip
"""Keys of configurations, and values that make a library do something else."""
_CHANGES: list[Change] = [
    _replace, _replace, _retype, _retype, _retype, _drop, _drop, _rename, _twin, _swap, _copied,
    _added, _added,
]  # fmt: skip
