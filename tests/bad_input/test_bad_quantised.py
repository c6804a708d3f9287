"""A quantised model that is asked for what it lacks, and models that are spread wrongly: told by
`check`, before a weight is read. Issue 20, 4."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.task.file import task_folders
from harness_transformers import quantised

from .conftest import Said, clear

BASE = task_folders()[0] / "organism" / "base"
TASK = """\
name = "spread"
[models.base]
path = "base"
[views.base]
model = "base"
"""


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task on the organism's base model, whose config.json is a copy."""
    (tmp_path / "base").mkdir()
    for file in BASE.iterdir():
        if file.name != "config.json":
            (tmp_path / "base" / file.name).symlink_to(file)
    config = (BASE / "config.json").read_text()
    (tmp_path / "base" / "config.json").write_text(config)
    (tmp_path / "task.toml").write_text(TASK)
    return tmp_path / "task.toml"


def mark(task: Path, settings: Any) -> None:
    file = task.parent / "base" / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps({**config, "quantization_config": settings}))


ROUND = "models.base.quantization=bnb-4bit"
GPTQ = {"quant_method": "gptq", "bits": 4}


@pytest.mark.parametrize(
    ("stored", "overrides", "there", "parts"),
    [
        (None, [ROUND], False,
         [r"models\.base: .*needs the package bitsandbytes, which is not inst.*pip install bits"]),
        (None, [ROUND, "models.base.adapter=adapter"], True,
         [r"models\.base: an adapter is merged into plain weights, and quantization leaves none\."
          r" Allowed: one of them\. Merge the adapter"]),
        (None, ["models.base.quantization=bnb-3bit"], True,
         [r"models\.base\.quantization: input should be 'bnb-4bit', .*not \"bnb-3bit\""]),
        (GPTQ, [], False,
         [r"reading its weights \(gptq in config\.json\) needs the package gptqmodel"]),
        (GPTQ, [ROUND], True, [r"quantised already \(gptq in config\.json\).*Allowed: one of th"]),
        (GPTQ, ["models.base.adapter=adapter"], True,
         [r"its weights are quantised \(gptq\), and an adapter is merged into plain ones"]),
        (None, ["models.base.device_map=everywhere"], True,
         [r"models\.base\.device_map: no such device: 'everywhere'\. Allowed: auto, balanced"]),
    ],
)  # fmt: skip
def test_what_a_quantised_model_lacks(
    said: Said, task: Path, monkeypatch: pytest.MonkeyPatch, stored: Any, overrides: list[str],
    there: bool, parts: list[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(quantised, "find_spec", lambda module: object() if there else None)
    if stored is not None:
        mark(task, stored)
    adapter = task.parent / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text("{}")
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    settings = [word for one in overrides for word in ("--set", one)]
    code, _, err = said("check", task, *settings)
    assert code == 2, err
    clear(err, *parts)
    assert len(err.splitlines()) == 1, err


@pytest.mark.parametrize("settings", ["gptq", [], [4], 7, {"bits": "four"}, {"config_groups": 3}])
def test_a_config_that_says_it_oddly_is_no_traceback(said: Said, task: Path, settings: Any) -> None:
    mark(task, settings)
    code, _, err = said("check", task)
    assert code in (0, 2)
    assert "Traceback" not in err
