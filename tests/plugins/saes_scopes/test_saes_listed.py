"""sae_lens' list of releases: each SAE is read at a site, or refused with a reason."""

from __future__ import annotations

import importlib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

from harness.contract.sites import Site, site_from_hook_name
from harness.errors import ModelError
from harness_saes.formats.saelens import kinds
from harness_saes.formats.saelens.kinds import KINDS, reading
from harness_saes.formats.saelens.listed import ListedSae, Release, entries, find, releases
from harness_saes.formats.saelens.options import SaelensOptions
from harness_saes.formats.saelens.published import saes_of

ROOT = Path(__file__).parents[3]
LOADERS = "sae_lens.loading.pretrained_sae_loaders"
STATED = ("gemma_2", "gemma_2_transcoder", "gemma_3", "qwen_scope", "goodfire", "deepseek_r1",
          "mwhanna_transcoder")  # fmt: skip
"""Converters that state a hook without reading a file of the SAE."""


@pytest.fixture(scope="module")
def walked():
    """Every SAE of the list, and how it is read."""
    return [(release, sae, reading(release, sae)) for release in releases()
            for sae in release.saes.values()]  # fmt: skip


@pytest.mark.slow
def test_each_is_read_at_a_site_or_refused_with_a_reason(walked):
    assert len(walked) > 13_000
    for release, sae, found in walked:
        where = f"{release.name} {sae.id}"
        whys = [why for why in (found.unplaced, found.refused) if why is not None]
        assert len(whys) == (found.facts.site is None), where
        assert all(why.endswith(".") for why in whys), where
        assert found.formats, where
        assert found.facts.model, where


def test_every_converter_of_sae_lens_is_known():
    loaders = importlib.import_module(LOADERS)
    assert set(KINDS) == set(loaders.NAMED_PRETRAINED_SAE_LOADERS)


@pytest.mark.slow
def test_what_is_offered_for_the_residual_stream_lies_where_it_is_read(walked):
    """Two ways to the same place: the quick patterns of `published`, and the names of formats."""
    sites = {(release.name, sae.id): found.facts.site for release, sae, found in walked}
    offered = [sae for text in entries() for sae in saes_of(text)]
    assert len(offered) > 3000
    for sae in offered:
        assert sites[sae.keys["release"], sae.keys["id"]] == sae.facts.site


@pytest.fixture
def stated(monkeypatch, tmp_path):
    """The hooks that a converter of sae_lens states, without a file of the SAE and a network."""
    loaders = importlib.import_module(LOADERS)
    (tmp_path / "wandb-config.yaml").write_text(
        yaml.safe_dump({k: {"value": 8} for k in ("d_model", "d_feature", "batch_size")})
    )
    (tmp_path / "config.yaml").write_text("model_name: m\n")

    def download(repo_id, filename, **_):
        from huggingface_hub.errors import EntryNotFoundError

        if not (tmp_path / filename).is_file():
            raise EntryNotFoundError(filename)
        return str(tmp_path / filename)

    monkeypatch.setattr(loaders, "hf_hub_download", download)
    shapes = {"w_enc": [8, 32], "w_dec": [32, 8]}
    monkeypatch.setattr(loaders, "get_safetensors_tensor_shapes", lambda *_: shapes)

    def of(release, sae):
        getter = loaders.NAMED_PRETRAINED_SAE_CONFIG_GETTERS[release.kind]
        config = getter(release.repository, sae.path, "cpu", False, {})
        return config["hook_name"], config.get("hook_name_out"), config["model_name"]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("kind", STATED)
def test_sites_and_models_are_those_of_sae_lens_own_converters(walked, stated, kind):
    """For each SAE of the kind. What the MLP reads after its norm is `hook_mlp_in` only there."""
    mine = [one for one in walked if one[0].kind == kind]
    assert mine
    for release, sae, found in mine:
        reads, writes, model = stated(release, sae)
        site = site_from_hook_name(reads)
        if reads.endswith("hook_mlp_in"):
            site = Site("mlp_in", int(reads.split(".")[1]))
        assert found.facts.site == site or site is None, (release.name, sae.id)
        out = site_from_hook_name(writes) if writes else None
        assert found.facts.site_out == out, (release.name, sae.id)
        named = found.facts.model.rpartition("/")[2].lower()
        assert model in ("m", None) or model.rpartition("/")[2].lower() == named


def test_what_the_task_writes_for_our_own_format_is_valid(walked):
    for kind, one in KINDS.items():
        if one.own is not None and kind != "sparsify":
            release, sae, _ = next(found for found in walked if found[0].kind == kind)
            keys = one.own.keys(release, sae)
            assert one.own.options.model_validate(keys).path == release.repository


def test_reasons_name_what_is_nearest(walked):
    one = ListedSae("blocks.3.hook_mlp_in", "b")
    found = reading(Release("r", "o/n", "gpt2", "sae_lens", {one.id: one}), one)
    assert found.refused == (
        "blocks.3.hook_mlp_in is no site: it is before the norm in TransformerLens. What the MLP "
        "reads, after the norm, is mlp_in.3."
    )
    (clt, *_) = [found for release, _, found in walked if "clt" in release.name]
    assert (clt.refused, clt.facts.partial) == (None, True)
    assert "its files do" in clt.unplaced
    (embedding, *_) = [found for _, sae, found in walked if sae.path.startswith("embedding/")]
    assert (embedding.refused, embedding.formats) == (None, ("saelens",))
    assert 'site = "embed"' in embedding.unplaced
    assert "lacks (√d_model − 1)·b_dec" in embedding.note


def test_a_kind_that_is_new_is_refused_in_words():
    one = ListedSae("a", "b")
    found = reading(Release("r", "o/n", "gpt2", "brand_new", {"a": one}), one)
    assert found.refused == "its files are of a kind that is not known here: brand_new."
    assert found.facts.model == "gpt2"


def test_a_release_is_found_by_name_alone():
    release, sae = find("gemma-scope-2b-pt-res-canonical", "layer_20/width_16k/canonical", "x")
    assert (release.repository, sae.path) == (
        "google/gemma-scope-2b-pt-res",
        "layer_20/width_16k/average_l0_71",
    )
    assert find("own/saes", "layer_3", "x") is None
    with pytest.raises(ModelError, match=r"^here: unknown release of sae-lens"):
        find("gemma-scope-2b-pt-res-canonicl", "layer_20/width_16k/canonical", "here")


def test_without_a_list_a_release_is_left_to_the_run(monkeypatch):
    from harness_saes.formats.saelens import listed

    monkeypatch.setattr(listed, "entries", lambda: ())
    options = SaelensOptions(release="gone", id="a")
    assert options.describe().site is None


def test_the_card_of_a_release_is_known():
    release, id = "qwen2.5-7b-instruct-andyrdt", "resid_post_layer_11_trainer_1"
    facts = SaelensOptions(release=release, id=id).describe()
    assert (facts.site, facts.not_trained_on.skip_first) == (Site("resid_post", 11), 8)


def test_the_page_is_what_the_list_gives(walked, monkeypatch):
    """For the version that the page names; `python docs/list_releases.py` writes it anew."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    saelens = importlib.import_module("generator.saelens")
    committed = (ROOT / "docs" / "saelens.md").read_text(encoding="utf-8")
    if not committed.startswith(saelens.MADE.format(version("sae-lens"))):
        pytest.skip(f"the page is of another version than sae-lens {version('sae-lens')}")
    assert committed == saelens.page(walked), "Run: python docs/list_releases.py"
    for release in releases():
        assert committed.count(f"\n| {release.name} | {release.repository} | ") == 1


def test_the_kinds_are_placed_by_rules_and_not_by_release():
    names = {release.name for release in releases()} - KINDS.keys()
    text = Path(kinds.__file__).read_text(encoding="utf-8")
    assert not [name for name in names if f'"{name}"' in text]
