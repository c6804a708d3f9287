"""Releases in sae_lens' list: which of them are of a model, and where their SAEs read."""

from __future__ import annotations

import subprocess
import sys

import pytest

from harness_saes.formats.saelens import listed as module
from harness_saes.formats.saelens.options import SaelensOptions
from harness_saes.formats.saelens.published import published, saes_of

LIST = """
{release}:
  conversion_func: null
  model: {model}
  repo_id: {repo}
  saes:
  - id: {id}
    path: {path}
"""


def entry(id: str, path: str = "p", repo: str = "who/what", release: str = "r-res") -> str:
    return LIST.format(release=release, model="m", repo=repo, id=id, path=path)


@pytest.mark.parametrize(
    ("id", "path", "repo", "site"),
    [
        ("blocks.8.hook_resid_pre", "x", "who/what", "resid_pre.8"),
        ("blocks.12.hook_resid_post__trainer_3", "t/trainer_3", "who/what", "resid_post.12"),
        ("layer_20_width_16k_l0_big", "resid_post_all/layer_20_width_16k_l0_big", "g/s", "20"),
        ("layer_20/width_16k/canonical", "layer_20/width_16k/average_l0_71",
         "google/gemma-scope-2b-pt-res", "20"),
        ("l16r_8x", "Llama3_1-8B-Base-L16R-8x", "fnlp/Llama3_1-8B-Base-LXR-8x", "16"),
        ("layer14", "layer14.sae.pt", "Qwen/SAE-Res-Qwen3-1.7B-Base-W32K-L0_50", "14"),
        ("resid_post_layer_15_trainer_1", "resid_post_layer_15/trainer_1", "andyrdt/saes", "15"),
    ],
)  # fmt: skip
def test_where_an_sae_reads(id: str, path: str, repo: str, site: str) -> None:
    (sae,) = saes_of(entry(id, path, repo))
    assert str(sae.facts.site) == (site if "." in site else f"resid_post.{site}")
    assert sae.keys == {"release": "r-res", "id": id}


@pytest.mark.parametrize(
    ("id", "path", "repo"),
    [
        ("blocks.8.hook_mlp_out", "x", "who/what"),
        ("layer_2_width_16k_l0_big", "mlp_out_all/layer_2_width_16k_l0_big", "g/s"),
        ("layer_2/width_16k/canonical", "layer_2/width_16k", "google/gemma-scope-2b-pt-mlp"),
        ("l16m_8x", "Llama3_1-8B-Base-L16M-8x", "fnlp/Llama3_1-8B-Base-LXM-8x"),
        ("layer_3", "layer_3.safetensors", "mwhanna/qwen3-4b-transcoders"),
    ],
)
def test_what_is_not_on_the_residual_stream_is_left_out(id: str, path: str, repo: str) -> None:
    assert list(saes_of(entry(id, path, repo))) == []


@pytest.mark.parametrize("text", ["", "a: [", "just text", "r:\n  saes: 3\n  model: m\n"])
def test_a_list_of_another_shape_knows_of_none(text: str) -> None:
    assert list(saes_of(text)) == []


def test_the_width_is_that_of_the_sae_and_not_of_its_model() -> None:
    (one,) = saes_of(entry("layer_2/width_65k/x", "layer_2/", "google/gemma-scope-2b-pt-res"))
    (other,) = saes_of(entry("blocks.1.hook_resid_post", release="pythia-70m-res-sm"))
    assert (one.width, other.width) == (65_000, None)


def test_the_installed_list_is_asked_by_the_name_of_the_model() -> None:
    found = published(lambda name: name == "gpt2-small")
    assert {sae.facts.model for sae in found} == {"gpt2-small"}
    assert any(sae.release == "gpt2-small-res-jb" for sae in found)
    assert SaelensOptions(**found[0].keys)  # the task takes what the list says
    assert published(lambda name: False) == []


def test_without_sae_lens_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    module.entries.cache_clear()
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    try:
        assert published(lambda name: True) == []
    finally:
        module.entries.cache_clear()


@pytest.mark.slow
def test_neither_torch_nor_sae_lens_is_imported() -> None:
    code = (
        "import sys; from harness_saes.formats.saelens.options import SaelensOptions as S; "
        "assert S.published(lambda n: n == 'gemma-2b'); "
        "assert not {'torch', 'sae_lens'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
