"""GGUF files that do not fit the task: one message each, and before anything runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest

from harness.task.file import task_folders

from .conftest import Said, clear

TASK = """\
name = "file"
[models.base]
gguf = "tiny.gguf"
[views.base]
model = "base"
[saes.mid]
path = "sae"
model = "base"
site = "resid_post.1"
[data.web]
file = "web.jsonl"
limit = 3
[metrics.l0]
view = "base"
data = "web"
saes = ["mid"]
"""


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task on a GGUF file of width 32 and an SAE of the organism, which is wider."""
    organism = task_folders()[0] / "organism"
    shutil.copytree(organism / "saes" / "resid_post.4", tmp_path / "sae")
    shutil.copyfile(organism / "data" / "web.jsonl", tmp_path / "web.jsonl")
    writer = gguf.GGUFWriter(tmp_path / "tiny.gguf", "llama")
    writer.add_block_count(2)
    writer.add_embedding_length(32)
    writer.add_head_count(4)
    writer.add_tensor("token_embd.weight", np.zeros((300, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (tmp_path / "file.toml").write_text(TASK)
    return tmp_path / "file.toml"


@pytest.mark.parametrize("command", ["check", "plan"])
def test_an_sae_of_another_size(said: Said, task: Path, command: str) -> None:
    """Issue 14: known from the file's header, so before a weight is read.

    The SAE was trained at another site, too, which is a mistake of its own and is said first.
    """
    code, _, err = said(command, task, "--set", "saes.mid.check_site=false")
    assert code == 2
    clear(err, r"saes\.mid", r"\b32\b")


def test_path_and_gguf_together(said: Said, task: Path) -> None:
    code, _, err = said("check", task, "--set", "models.base.path=gpt2")
    assert code == 2
    clear(err, r"models\.base: .*exactly one of path and gguf, not path and gguf")


def test_the_hub_instead_of_the_file(said: Said, task: Path) -> None:
    """`false` takes the file away, which an override could not do otherwise."""
    flags = ["--set", "models.base.path=acme/tiny", "--set", "models.base.gguf=false"]
    flags += ["--set", "saes.mid.check_site=false"]
    code, _, err = said("check", task, *flags)
    assert code == 0, err


def test_a_file_that_is_not_there(said: Said, task: Path) -> None:
    code, _, err = said("check", task, "--set", "models.base.gguf=nowhere.gguf")
    assert code == 2
    clear(err, r"models\.base\.gguf: 'nowhere\.gguf': no such file")


def test_a_damaged_file(said: Said, task: Path) -> None:
    file = task.with_name("tiny.gguf")
    file.write_bytes(file.read_bytes()[:-500])
    code, _, err = said("check", task)
    assert code == 2
    clear(err, r"models\.base.*tiny\.gguf.*no whole GGUF file")
