"""What stands at each site, checked against transformers' own outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.contract import Example, Prompt, Site, Tokens
from harness.contract.sites import parse_site
from harness.errors import ModelError
from harness_transformers.batches import padded
from harness_transformers.model import TransformersModel

from .conftest import LAYERS, load

KINDS = ("resid_pre", "attn_out", "mlp_out", "resid_post", "attn_z", "mlp_in", "attn_raw")


def rows(model: TransformersModel, tokens: list[Tokens], *names: str) -> dict[str, list[Tensor]]:
    got = model.activations(tokens, [parse_site(name) for name in names])
    assert got.start == (0,) * len(tokens)
    return {
        name: [x[i, : len(t.ids)] for i, t in enumerate(tokens)]
        for name, x in ((str(site), x) for site, x in got.sites.items())
    }


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-5)


@torch.no_grad()
def test_resid_post_is_hidden_states(model: TransformersModel, examples: list[Example]) -> None:
    tokens = model.render(examples, Prompt())
    names = [f"resid_post.{layer}" for layer in range(LAYERS)]
    got = rows(model, tokens, "embed", *names)
    for i, t in enumerate(tokens):
        alone = model.hf(torch.tensor([t.ids]), output_hidden_states=True).hidden_states
        close(got["embed"][i], alone[0][0])
        for layer in range(LAYERS - 1):  # the last of hidden_states is after the final norm
            close(got[f"resid_post.{layer}"][i], alone[layer + 1][0])


def test_parts_add_up_to_the_residual(model: TransformersModel, examples: list[Example]) -> None:
    tokens = model.render(examples, Prompt())
    names = [f"{kind}.{layer}" for kind in KINDS for layer in range(LAYERS)]
    got = rows(model, tokens, *names)
    total = got["resid_pre.0"][0].clone()
    for layer in range(LAYERS):
        close(got[f"resid_pre.{layer}"][0], total)
        assert not torch.equal(got[f"attn_out.{layer}"][0], got[f"mlp_out.{layer}"][0])
        total += got[f"attn_out.{layer}"][0] + got[f"mlp_out.{layer}"][0]
        close(got[f"resid_post.{layer}"][0], total)


def test_inner_sites(model: TransformersModel, family: str, examples: list[Example]) -> None:
    tokens = model.render(examples, Prompt())
    got = rows(model, tokens, "attn_z.1", "attn_raw.1", "attn_out.1", "mlp_in.1", "mlp_raw.1")
    assert got["attn_z.1"][0].shape[1] == model.facts.d_attn_z
    block = model.hf.get_submodule(model._layout.blocks[1])
    attention = next(m for n, m in block.named_children() if "attn" in n or n == "attention")
    projection = [m for m in attention.modules() if getattr(m, "weight", None) is not None]
    z = got["attn_z.1"][0]
    named = {m for n, m in attention.named_modules() if n in ("o_proj", "dense", "c_proj")}
    assert named & set(projection)
    with torch.no_grad():
        close(named.pop()(z), got["attn_raw.1"][0])
        close(block.mlp(got["mlp_in.1"][0][None])[0], got["mlp_raw.1"][0])
    normed = not torch.equal(got["attn_out.1"][0], got["attn_raw.1"][0])
    assert normed == (family in ("gemma2", "gemma3"))


def test_the_stream_between_attention_and_mlp(
    model: TransformersModel, family: str, examples: list[Example]
) -> None:
    """To the bit where one comes after the other; families that run both at once have none."""
    tokens = model.render(examples, Prompt())
    if family in ("phi", "gpt_neox"):
        with pytest.raises(ModelError, match=r"nothing in it reads the stream after attention"):
            model.activations(tokens, [Site("resid_mid", 1)])
        return
    got = rows(model, tokens, "resid_pre.1", "attn_out.1", "resid_mid.1", "mlp_in.1")
    for before, added, middle in zip(
        got["resid_pre.1"], got["attn_out.1"], got["resid_mid.1"], strict=True
    ):
        assert torch.equal(middle, before + added)
    norm = model._layout.place(Site("resid_mid", 1)).module
    with torch.no_grad():
        close(norm(got["resid_mid.1"][0][None])[0], got["mlp_in.1"][0])


@torch.no_grad()
def test_left_right_and_no_padding_agree(model: TransformersModel, examples: list[Example]) -> None:
    tokens = model.render(examples, Prompt())
    assert len({len(t.ids) for t in tokens}) == 3
    batch = rows(model, tokens, "resid_post.2")["resid_post.2"]
    ids, mask = padded(tokens, 0, torch.device("cpu"), left=True)
    kept: list[Tensor] = []
    last = model.hf.get_submodule(model._layout.blocks[-1])
    handle = last.register_forward_hook(
        lambda _m, _a, out: kept.append(out if isinstance(out, Tensor) else out[0])
    )
    positions = (mask.cumsum(-1) - 1).clamp_min(0)
    model.hf(input_ids=ids, attention_mask=mask, position_ids=positions)
    handle.remove()
    for i, t in enumerate(tokens):
        close(batch[i], rows(model, [t], "resid_post.2")["resid_post.2"][0])
        close(batch[i], kept[0][i, -len(t.ids) :])


def test_stops_at_the_deepest_site(model: TransformersModel, examples: list[Example]) -> None:
    tokens = model.render(examples, Prompt())
    ran: list[str] = []
    handles = [
        module.register_forward_pre_hook(lambda _m, _a, path=path: ran.append(path))
        for path, module in model.hf.named_modules()
        if path in model._layout.blocks or module is model.hf.get_output_embeddings()
    ]
    try:
        model.activations(tokens, [Site("resid_pre", 0), Site("resid_post", 1)])
        assert ran == list(model._layout.blocks[:2])
        ran.clear()
        assert model.activations(tokens, []).sites == {}
        assert ran == []
        assert model.activations(tokens, [Site("embed")], logits=True).logits is not None
        assert len(ran) == LAYERS + 1
    finally:
        for handle in handles:
            handle.remove()


def test_module_paths_and_fractions(llama: TransformersModel, examples: list[Example]) -> None:
    tokens = llama.render(examples, Prompt())
    got = rows(llama, tokens, "model.layers.1.mlp", "mlp_out.1", "resid_post@0.5", "resid_post.1")
    assert torch.equal(got["model.layers.1.mlp"][0], got["mlp_out.1"][0])
    assert torch.equal(got["resid_post@0.5"][0], got["resid_post.1"][0])


@pytest.mark.parametrize(
    ("site", "says"),
    [
        ("resid_post.3", "it has 3 blocks. Allowed: resid_post.0 to resid_post.2"),
        ("model.layers.1.mpl", "no such module. Did you mean model.layers.1.mlp"),
        ("model.layers", "runs 0 times"),
        ("model.rotary_emb", "Allowed: modules that run once"),
    ],
)
def test_sites_that_do_not_exist(
    llama: TransformersModel, site: str, says: str, examples: list[Example]
) -> None:
    with pytest.raises(ModelError, match=says):
        llama.activations(llama.render(examples, Prompt()), [parse_site(site)])


def test_a_module_that_runs_twice_is_no_site(
    loaded: dict[str, TransformersModel], examples: list[Example]
) -> None:
    phi = loaded["phi"]
    with pytest.raises(ModelError, match="runs 2 times"):
        phi.activations(phi.render(examples, Prompt()), [Site("model.layers.0.resid_dropout")])


def test_blocks_without_the_identity_have_residual_sites_only(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, examples: list[Example]
) -> None:
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    forward = LlamaDecoderLayer.forward

    def scaled(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        return 0.7 * forward(self, *args, **kwargs)

    monkeypatch.setattr(LlamaDecoderLayer, "forward", scaled)
    model = load(folders["llama"])
    tokens = model.render(examples, Prompt())
    assert model.activations(tokens, [Site("resid_post", 1)]).sites
    for kind in ("attn_out", "mlp_raw", "attn_z", "mlp_in"):
        with pytest.raises(ModelError, match="no two parts of the block add up"):
            model.activations(tokens, [Site(kind, 1)])


def test_blocks_that_add_in_place(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, examples: list[Example]
) -> None:
    """Some blocks write into what a part returned: what was captured must not change with it."""
    from transformers.models.llama.modeling_llama import LlamaDecoderLayer

    def in_place(self: Any, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        out, _ = self.self_attn(hidden_states=self.input_layernorm(hidden_states), **kwargs)
        out += hidden_states
        more = self.mlp(self.post_attention_layernorm(out))
        more += out
        return more

    plain = load(folders["llama"])
    tokens = plain.render(examples, Prompt())
    names = ("attn_out.1", "mlp_out.1", "resid_post.1")
    expected = rows(plain, tokens, *names)
    monkeypatch.setattr(LlamaDecoderLayer, "forward", in_place)
    model = load(folders["llama"])
    for name, got in rows(model, tokens, *names).items():
        for a, b in zip(got, expected[name], strict=True):
            close(a, b)


def test_half_precision_finds_the_same_parts(
    folders: dict[str, Path], examples: list[Example]
) -> None:
    model = load(folders["llama"], dtype="bfloat16")
    got = model.activations(model.render(examples, Prompt()), [Site("resid_post", 1)])
    assert got.sites[Site("resid_post", 1)].dtype == torch.bfloat16
    assert model._layout.place(Site("attn_out", 1)).path == "model.layers.1.self_attn"
