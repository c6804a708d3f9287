"""Options: facts from files, and no torch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from harness.contract import ModelFacts
from harness.contract.capabilities import ALL
from harness.errors import ModelError
from harness_transformers.config import facts_of
from harness_transformers.model import TransformersModel
from harness_transformers.options import TransformersOptions
from harness_transformers.plugin import harness_components

from .conftest import make_tokenizer


def test_facts_are_those_of_the_loaded_model(
    model: TransformersModel, family: str, folders: dict[str, Path]
) -> None:
    told = TransformersOptions(path=str(folders[family])).describe()
    real = model.facts
    assert told == real
    assert real.parameters == sum(p.numel() for p in model.hf.parameters())
    assert None not in vars(replace(told)).values()


@pytest.mark.slow
def test_nothing_heavy_is_imported(folders: dict[str, Path]) -> None:
    code = (
        "import sys\n"
        "from harness_transformers.plugin import harness_components\n"
        "from harness_transformers.options import TransformersOptions\n"
        f"facts = TransformersOptions(path={str(folders['llama'])!r}).describe()\n"
        "assert facts.layers == 3\n"
        "TransformersOptions(path='acme/none').describe()\n"
        "heavy = {'torch', 'transformers', 'peft', 'numpy', 'safetensors'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_component_is_there() -> None:
    (component,) = harness_components()
    assert (component.kind, component.name) == ("backend", "transformers")
    for place in (component.load, component.options):
        module, _, name = place.partition(":")
        assert hasattr(__import__(module, fromlist=[name]), name)


def test_every_option_is_described() -> None:
    fields = TransformersOptions.model_fields
    assert all(field.description for field in fields.values())


@pytest.mark.parametrize(
    "wrong", [{"device": "tpu"}, {"dtype": "int8"}, {"paths": "x"}, {"device": "cuda:x"}]
)
def test_wrong_options(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        TransformersOptions(**{"path": "x", **wrong})  # type: ignore[arg-type]


def test_a_model_for_several_media() -> None:
    config = {
        "architectures": ["Some"],
        "text_config": {"num_hidden_layers": 34, "hidden_size": 2560, "vocab_size": 9},
        "vision_config": {"num_hidden_layers": 27, "hidden_size": 1152},
    }
    facts = facts_of(config, parameters=None, chat_template=None)
    assert facts == ModelFacts("Some", 34, 2560, None, 9)


def test_what_nothing_tells_stays_open(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert TransformersOptions(path=str(tmp_path)).describe() == ModelFacts(capabilities=ALL)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ModelError, match=r"config.json is missing"):
        TransformersOptions(path=str(tmp_path)).describe()
    with pytest.raises(ModelError, match="adapter /no/where: no such folder"):
        TransformersOptions(path=str(tmp_path), adapter="/no/where").describe()


@pytest.mark.parametrize("names", [5, "Llama", {"0": "x"}, [7, None], ["x" * 1000], True])
def test_classes_that_are_no_names(tmp_path: Path, names: object) -> None:
    told = {"architectures": names, "model_type": ["llama"], "tie_word_embeddings": False}
    (tmp_path / "config.json").write_text(json.dumps(told))
    assert TransformersOptions(path=str(tmp_path)).describe().architecture is None


def test_where_a_chat_template_may_be(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    options = TransformersOptions(path=str(tmp_path))
    make_tokenizer(template=None).save_pretrained(tmp_path)
    assert options.describe().chat_template is False
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": "x"}))
    assert options.describe().chat_template is True
    make_tokenizer().save_pretrained(tmp_path / "other")
    assert (tmp_path / "other" / "chat_template.jinja").is_file()
    other = TransformersOptions(path=str(tmp_path), tokenizer=str(tmp_path / "other"))
    assert other.describe().chat_template is True


@pytest.mark.parametrize("kept", [(), ("pytorch_model.bin",)])
def test_a_folder_without_safetensors_is_told_before_a_run(
    folders: dict[str, Path], tmp_path: Path, kept: tuple[str, ...]
) -> None:
    """CASES row 27: judge, model or adapter folder without safetensors passed `check`."""
    shutil.copytree(folders["llama"], folder := tmp_path / "model")
    options = TransformersOptions(path=str(folder))
    options.check()
    (folder / "model.safetensors").unlink()
    for name in kept:
        (folder / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=r"has no model\.safetensors") as caught:
        options.check()
    assert all(name in str(caught.value) for name in kept)
    (adapter := tmp_path / "adapter").mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.bin").write_bytes(b"x")
    tuned = TransformersOptions(path=str(folders["llama"]), adapter=str(adapter))
    with pytest.raises(ModelError, match=r"has no adapter_model\.safetensors"):
        tuned.check()
    (adapter / "adapter_model.safetensors").write_bytes(b"x")
    tuned.check()
