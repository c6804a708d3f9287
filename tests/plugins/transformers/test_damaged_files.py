"""Models whose files are damaged: each is refused by name, whatever a library makes of it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.contract import Example, Prompt
from harness.errors import ModelError
from harness_transformers.checkpoint import checkpoint
from harness_transformers.options import TransformersOptions

from .conftest import load, make_tokenizer


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(folders["llama"], tmp_path / "model"))


def _delete(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _garbage(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not a weight in the world")


def _change(**settings: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))

    return change


def _weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        change(weights)
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    return apply


def _other_tokenizer(folder: Path) -> None:
    tokenizer = make_tokenizer()
    tokenizer.add_tokens([f"more{i}" for i in range(50)])
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer.json"
    state = json.loads(file.read_text())
    state["model"]["vocab"] |= {f"q{i}": 400 + i for i in range(50)}
    file.write_text(json.dumps(state))


def _index(folder: Path) -> None:
    shards = {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(shards))
    (folder / "model.safetensors").unlink()


def _generation(**settings: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / "generation_config.json").write_text(json.dumps(settings))

    return change


def _spoken(**settings: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "tokenizer_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))

    return change


def _header(name: str, **entry: object) -> Callable[[Path], None]:
    """Lets the header of the weights say something else of a tensor than its bytes hold."""

    def change(folder: Path) -> None:
        file = folder / "model.safetensors"
        content = file.read_bytes()
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        header[name] = {**header.get(name, {}), **entry}
        written = json.dumps(header).encode()
        file.write_bytes(len(written).to_bytes(8, "little") + written + content[8 + length :])

    return change


def _tokenizer(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        state = json.loads((folder / "tokenizer.json").read_text())
        change(state)
        (folder / "tokenizer.json").write_text(json.dumps(state))

    return apply


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (_delete("config.json"), "config.json is missing in"),
        (_delete("model.safetensors"), "has no model.safetensors and no"),
        (_delete("tokenizer.json"), "no tokenizer could be read"),
        (_truncate, "no whole safetensors file .it should have"),
        (_garbage, "no whole safetensors file"),
        (_index, "model-1-of-2.safetensors is missing in .* names it"),
        (lambda f: (f / "config.json").write_text("{"), "cannot be read as JSON"),
        (_change(model_type="new"), "transformers cannot load"),
        (_change(num_hidden_layers=4), "weights are not in its files"),
        (_change(hidden_size=64), "weights|cannot load"),
        (_weights(lambda w: w.pop("model.norm.weight")), r"1 weights .*model.norm.weight"),
        (_weights(lambda w: w["model.norm.weight"].fill_(torch.nan)), "NaN or infinite"),
        (_weights(lambda w: w["lm_head.weight"][0, 0].fill_(torch.inf)), "lm_head.weight holds"),
        (_other_tokenizer, "its tokenizer has 3.. tokens, its embedding 320"),
        (_change(vocab_size=[[1]]), "transformers cannot load .*'vocab_size' expected int"),
        (_change(num_attention_heads=5), "transformers cannot load .*not a multiple"),
        (_header("model.norm.weight", shape=[]), r"norm.weight is in the bytes .* is \[\] of F32"),
        (_header("model.norm.weight", dtype="F64"), "norm.weight is in the bytes .* of F64"),
        (
            _header("more", dtype="F32", shape=[1], data_offsets=[0, 4]),
            "bytes 0 to .*before it ends at 4",
        ),
        (
            _weights(lambda w: w.update({"lm_head.weight": w["lm_head.weight"].long()})),
            r"1 weights are stored as whole numbers .*lm_head.weight.*Allowed: floating point",
        ),
        (
            _weights(lambda w: w.update({"lm_head.weight": w["lm_head.weight"][:-1].clone()})),
            "have another shape than config.json says .lm_head.weight",
        ),
        (_generation(eos_token_id="5.24"), r"eos_token_id is '5.24'. Allowed: the number"),
        (_generation(eos_token_id=[2, 2.5]), r"eos_token_id is 2.5"),
        (_spoken(model_max_length="many"), r"no tokenizer could be read .*'int' and 'str'"),
        (_tokenizer(lambda t: t.update(post_processor={"type": "x"})), "no tokenizer could be"),
        (
            lambda f: (f / "chat_template.jinja").write_bytes(b"\xff{{ 1 }}"),
            "no tokenizer could be",
        ),
    ],
)
def test_damaged_models(damage: Callable[[Path], None], says: str, folder: Path) -> None:
    damage(folder)
    with pytest.raises(ModelError, match=says) as error:
        load(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.safetensors", "model.bin", 7, [1]])
def test_an_index_that_names_no_file_of_weights_beside_it(name: object, folder: Path) -> None:
    index = {"weight_map": {"model.norm.weight": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"index.json names .* as a file of weights. Allowed"):
        load(folder)


def test_templates_by_name_that_are_no_templates(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    settings = folder / "tokenizer_config.json"
    told = json.loads(settings.read_text())
    settings.write_text(json.dumps({**told, "chat_template": ["{{ 1 }}", 7, None]}))
    options = TransformersOptions(path=str(folder))
    assert options.render([Example("a", "x", {})], Prompt(style="chat")) is None
    with pytest.raises(ModelError, match=r"no tokenizer could be read from"):
        load(folder)


@pytest.mark.parametrize("step", [2**64, -1, True, "4", 1.5, None])
def test_a_step_that_no_axis_holds_is_no_step(step: object, folder: Path) -> None:
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": step}))
    assert checkpoint({"path": "base"}, folder, "base", tokenizer=True).step is None
    (folder / "trainer_state.json").write_text(json.dumps({"global_step": 2**63 - 1}))
    assert checkpoint({"path": "base"}, folder, "base", tokenizer=True).step == 2**63 - 1
