"""A BOS that the settings ask for and tokenizer.json does not write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, processors

from harness.contract import Example, Prompt
from harness_transformers.options import TransformersOptions

from .conftest import CONFIGS, load, save_model

EXAMPLE = Example("e", "Eat it.", {"instruction": "Eat it."})
BOS, EOS = 1, 2


def folder_with(path: Path, key: bool | None, *, bos: bool, eos: bool = False) -> Path:
    folder = save_model(path, CONFIGS["llama"], bos=bos)
    settings = folder / "tokenizer_config.json"
    found: dict[str, Any] = json.loads(settings.read_text())
    found.pop("add_bos_token", None)
    if key is not None:
        found["add_bos_token"] = key
    settings.write_text(json.dumps(found))
    if eos:
        inner = Tokenizer.from_file(str(folder / "tokenizer.json"))
        inner.post_processor = processors.Sequence(
            [
                processors.ByteLevel(),
                processors.TemplateProcessing("$A <|eos|>", None, [("<|eos|>", EOS)]),
            ]
        )
        inner.save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("style", ["plain", "chat"])
@pytest.mark.parametrize("eos", [False, True])
def test_the_key_is_honoured(style: Any, eos: bool, tmp_path: Path) -> None:
    """TOKENIZERS T2: one BOS before every text, in a run, ahead of it, and for other libraries.

    The right value is that of the same tokenizer whose tokenizer.json writes the BOS.
    """
    asked = folder_with(tmp_path / "m", True, bos=False, eos=eos)
    writes = folder_with(tmp_path / "n", None, bos=True)
    model, other, prompt = load(asked), load(writes), Prompt(style=style)
    (got,), (right,) = model.render([EXAMPLE], prompt), other.render([EXAMPLE], prompt)
    assert got == right
    assert got.ids.count(BOS) == 1
    ahead = TransformersOptions(path=str(asked)).render([EXAMPLE], prompt)
    assert ahead is not None
    assert list(ahead) == [right]
    after = [EOS] if eos else []
    assert model.encode("Why?") == [*other.encode("Why?"), *after]
    assert model.tokenizer("Why?").input_ids == [*other.tokenizer("Why?").input_ids, *after]
    assert model.notes == ()


@pytest.mark.parametrize("key", [True, None])
def test_never_two(key: bool | None, tmp_path: Path) -> None:
    """TOKENIZERS T2: where both write one, there is one."""
    model = load(folder_with(tmp_path / "m", key, bos=True))
    assert model.encode("Why?").count(BOS) == 1


def test_a_bos_that_is_never_written_is_said(tmp_path: Path) -> None:
    """TOKENIZERS T2: no key, no BOS."""
    model = load(folder_with(tmp_path / "m", None, bos=False))
    assert BOS not in model.encode("Why?")
    (note,) = model.notes
    assert "has a BOS (<|bos|>) and writes none" in note
    assert load(save_model(tmp_path / "n", CONFIGS["llama"])).notes == ()
