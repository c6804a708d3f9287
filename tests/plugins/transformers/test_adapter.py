"""Adapters: merged, a model is the one that peft runs with the adapter beside its weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig

from harness.contract import Prompt, Sampling, Site, Tokens
from harness_transformers import adapter as module
from harness_transformers.model import TransformersModel

from .conftest import _GLU, CONFIGS, LAYERS, load, save_model

# peft warns of tied embeddings, of what it saves, and asks for something by its old name.
pytestmark = pytest.mark.filterwarnings("ignore")

IDS = [1, 20, 30, 40, 50, 60, 41, 7]
EMBED, HEAD, INNER = "embed_tokens", "lm_head", "q_proj"
TARGETS = ([INNER, "down_proj"], [INNER, EMBED], [INNER, HEAD], [EMBED, HEAD])
LORA: dict[str, Any] = {"r": 4, "init_lora_weights": False}
FAMILIES: dict[str, Callable[[list[str]], Any]] = {
    "lora": lambda t: LoraConfig(target_modules=t, **LORA),
    "dora": lambda t: LoraConfig(target_modules=t, use_dora=True, **LORA),
    "rslora": lambda t: LoraConfig(target_modules=t, use_rslora=True, **LORA),
    "tied lora": lambda t: LoraConfig(target_modules=t, ensure_weight_tying=True, **LORA),
    "ia3": lambda t: peft.IA3Config(
        target_modules=t, feedforward_modules=sorted({"down_proj"} & set(t)), init_ia3_weights=False
    ),
    "loha": lambda t: peft.LoHaConfig(target_modules=t, r=4, init_weights=False),
    "lokr": lambda t: peft.LoKrConfig(target_modules=t, r=4, init_weights=False),
    "adalora": lambda t: peft.AdaLoraConfig(
        target_modules=t, total_step=9, tinit=1, tfinal=1, init_r=4, target_r=2
    ),
    "oft": lambda t: peft.OFTConfig(target_modules=t, oft_block_size=4, init_weights=False),
    "boft": lambda t: peft.BOFTConfig(target_modules=t, boft_block_size=4, init_weights=False),
    "vera": lambda t: peft.VeraConfig(target_modules=t, r=4, init_weights=False),
    "hra": lambda t: peft.HRAConfig(target_modules=t, r=4, init_weights=False),
    "fourier": lambda t: peft.FourierFTConfig(target_modules=t, n_frequency=50),
}
READS_EMBEDDINGS = ("lora", "dora", "rslora", "tied lora", "oft")
KINDS: dict[str, Any] = {
    f"{name}, {'+'.join(targets)}": make(targets)
    for name, make in FAMILIES.items()
    for targets in TARGETS
    if EMBED not in targets or name in READS_EMBEDDINGS
}
KINDS |= {
    f"saved {'+'.join(saved)}{', tied' if tied else ''}": LoraConfig(
        target_modules=[INNER], modules_to_save=saved, ensure_weight_tying=tied, **LORA
    )
    for saved in ([EMBED], [HEAD], [EMBED, HEAD])
    for tied in (False, True)
}
KINDS |= {
    "tokens": peft.TrainableTokensConfig(target_modules=[EMBED], token_indices=[20, 30]),
    "lora and tokens": LoraConfig(target_modules=[INNER], trainable_token_indices=[20], **LORA),
    "norms": peft.LNTuningConfig(target_modules=["input_layernorm"]),
    "replicated layers": LoraConfig(
        target_modules=[INNER, "down_proj"], layer_replication=[[0, 3], [1, 3]], **LORA
    ),
    "parameters": LoraConfig(target_modules=[], target_parameters=["q_proj.weight"], **LORA),
    "pissa": LoraConfig(target_modules=[INNER], r=4, init_lora_weights="pissa"),
    "biases": LoraConfig(target_modules=[INNER], bias="all", **LORA),
    "bias of the adapter": LoraConfig(target_modules=[INNER, "o_proj"], lora_bias=True, **LORA),
}


@pytest.fixture(scope="module", autouse=True)
def _without_cards() -> Iterator[None]:
    """A card is for people, and takes as long to write as an adapter to make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PeftModel, "create_or_update_model_card", lambda self, folder: None)
        yield


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    root = tmp_path_factory.mktemp("bases")
    return {
        tied: save_model(root / str(tied), LlamaConfig(**_GLU, tie_word_embeddings=tied))
        for tied in (True, False)
    }


@cache
def _read(base: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(base)


def plain(base: Path) -> Any:
    """The model without an adapter; a copy, as peft writes into what it is given."""
    return deepcopy(_read(base))


@cache
def untuned(base: Path) -> Tensor:
    """The logits without an adapter."""
    return watched(plain(base))["logits"]


def trained(config: Any, base: Path, folder: Path) -> Path:
    """A folder with an adapter whose every weight has moved."""
    torch.manual_seed(3)
    wrapped = get_peft_model(plain(base), deepcopy(config))
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    wrapped.save_pretrained(folder)
    return folder


def by_peft(base: Path, folder: Path) -> dict[str, Tensor]:
    """Activations and logits of peft's own model, the adapter beside the weights."""
    hf = PeftModel.from_pretrained(plain(base), folder).eval()
    return watched(hf.get_base_model())


@torch.no_grad()
def watched(hf: Any) -> dict[str, Tensor]:
    seen: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda _m, _i, out: seen.__setitem__(name, out[0] if type(out) is tuple else out)

    def read(name: str) -> Callable[..., None]:
        return lambda _m, args, kwargs: seen.__setitem__(
            name, args[0] if args else kwargs["hidden_states"]
        )

    for i, block in enumerate(hf.model.layers):
        block.register_forward_hook(keep(f"resid_post.{i}"))
        block.register_forward_pre_hook(read(f"resid_pre.{i}"), with_kwargs=True)
        block.self_attn.register_forward_hook(keep(f"attn_out.{i}"))
        block.mlp.register_forward_hook(keep(f"mlp_out.{i}"))
        block.mlp.register_forward_pre_hook(read(f"mlp_in.{i}"), with_kwargs=True)
        block.self_attn.o_proj.register_forward_pre_hook(read(f"attn_z.{i}"), with_kwargs=True)
    seen["logits"] = hf(input_ids=torch.tensor([IDS])).logits
    return seen


def ours(model: TransformersModel, sites: list[str]) -> dict[str, Tensor]:
    places = {name: Site(*_split(name)) for name in sites if name != "logits"}
    tokens = [Tokens("e", tuple(IDS), "", (0, len(IDS)))]
    found = model.activations(tokens, list(places.values()), logits=True)
    assert found.logits is not None
    return {name: found.sites[place] for name, place in places.items()} | {"logits": found.logits}


def _split(name: str) -> tuple[str, int]:
    kind, _, layer = name.partition(".")
    return kind, int(layer)


@pytest.mark.slow
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_merged_adapter_is_the_unmerged_one(
    kind: str, tied: bool, bases: dict[bool, Path], tmp_path: Path
) -> None:
    """CASES row 1: all sites and the logits, against peft's own model."""
    folder = trained(KINDS[kind], bases[tied], tmp_path / "adapter")
    expected = by_peft(bases[tied], folder)
    assert (expected["logits"] - untuned(bases[tied])).abs().max() > 1e-3
    model = load(bases[tied], adapter=str(folder))
    assert len(expected) == 1 + 6 * len(model._layout.blocks)
    got = ours(model, list(expected))
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-4, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("targets", [["c_attn"], ["c_attn", "wte"], ["lm_head"], ["wte"]])
def test_on_transposed_weights(targets: list[str], tmp_path: Path) -> None:
    """CASES row 1: GPT-2, whose embeddings are tied and whose weights lie the other way round."""
    base = save_model(tmp_path / "gpt2", CONFIGS["gpt2"])
    folder = trained(LoraConfig(target_modules=targets, **LORA), base, tmp_path / "adapter")
    ids = torch.tensor([IDS])
    hf = PeftModel.from_pretrained(plain(base), folder).eval()
    with torch.no_grad():
        expected = hf(input_ids=ids, output_hidden_states=True)
        got = load(base, adapter=str(folder)).hf(input_ids=ids, output_hidden_states=True)
    torch.testing.assert_close(got.logits, expected.logits, rtol=1e-4, atol=1e-4)
    for one, other in zip(got.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_an_untied_model_says_so(bases: dict[bool, Path], tmp_path: Path) -> None:
    """CASES row 1: saved and loaded again, it is the same model still."""
    folder = trained(KINDS["lora, embed_tokens+lm_head"], bases[True], tmp_path / "adapter")
    model = load(bases[True], adapter=str(folder))
    assert model.hf.config.tie_word_embeddings is False
    model.hf.save_pretrained(tmp_path / "saved")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert torch.equal(again.lm_head.weight, model.hf.lm_head.weight)
    assert torch.equal(again.model.embed_tokens.weight, model.hf.model.embed_tokens.weight)
    inner = trained(KINDS["lora, q_proj+down_proj"], bases[True], tmp_path / "inner")
    still = load(bases[True], adapter=str(inner)).hf
    assert still.lm_head.weight is still.model.embed_tokens.weight


def test_what_is_not_merged_exactly_is_refused(
    bases: dict[bool, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CASES row 1: without untying, the check of each layer sees what the merge has spoiled."""
    folder = trained(KINDS["lora, embed_tokens+lm_head"], bases[True], tmp_path / "adapter")
    monkeypatch.setattr(module, "_untie", lambda wrapped: None)
    with pytest.raises(module.ModelError, match=r"merged, (model\.embed_tokens|lm_head) gives oth"):
        load(bases[True], adapter=str(folder))


def test_an_adapter_that_acts_on_some_tokens_only(bases: dict[bool, Path], tmp_path: Path) -> None:
    """CASES row 1: an activated LoRA is no change of weights."""
    config = LoraConfig(
        target_modules=[INNER], task_type="CAUSAL_LM", alora_invocation_tokens=[30, 40], **LORA
    )
    folder = trained(config, bases[False], tmp_path / "adapter")
    with pytest.raises(module.ModelError, match=r"peft cannot merge it into weights \(aL"):
        load(bases[False], adapter=str(folder))


def test_only_weights_take_the_dtype(bases: dict[bool, Path], tmp_path: Path) -> None:
    """CASES row 1, its kind: the frequencies of rotary embeddings stay float32 in bfloat16."""
    folder = trained(KINDS["lora, q_proj+down_proj"], bases[False], tmp_path / "adapter")
    base = load(bases[False], dtype="bfloat16").hf
    tuned = load(bases[False], dtype="bfloat16", adapter=str(folder)).hf
    kinds = {name: p.dtype for name, p in base.named_parameters()}
    assert kinds == {name: p.dtype for name, p in tuned.named_parameters()}
    buffers = dict(tuned.named_buffers())
    for name, buffer in base.named_buffers():
        assert buffer.dtype == torch.float32
        torch.testing.assert_close(buffers[name], buffer, rtol=0, atol=0)


@pytest.mark.slow
def test_sites_after_replication(bases: dict[bool, Path], tmp_path: Path) -> None:
    """CASES row 1: replicated layers are layers."""
    folder = trained(KINDS["replicated layers"], bases[True], tmp_path / "adapter")
    model = load(bases[True], adapter=str(folder))
    assert model.facts.layers == LAYERS + 2
    assert model.render([], Prompt()) == []


# ── Another vocabulary ───────────────────────────────────────────────────────────────────────────

ROWS = 328


def resized(base: Path, folder: Path, config: Any) -> tuple[Path, dict[str, Tensor]]:
    """An adapter of the model after its vocabulary was resized; what peft's own model gives."""
    torch.manual_seed(5)
    hf = plain(base)
    hf.resize_token_embeddings(ROWS)
    wrapped = get_peft_model(hf, deepcopy(config))
    with torch.no_grad():
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * 0.05)
    wrapped.save_pretrained(folder, save_embedding_layers=True)
    return folder, watched(wrapped.eval().get_base_model())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "tied"),
    [
        ("lora, q_proj+down_proj", True),
        ("lora, q_proj+down_proj", False),
        ("lora, q_proj+embed_tokens", True),  # the one weight that both ends share
        ("lora, embed_tokens+lm_head", True),
        ("lora, embed_tokens+lm_head", False),
        ("saved embed_tokens+lm_head", True),
        ("saved embed_tokens+lm_head", False),
    ],
)
def test_an_adapter_trained_after_the_vocabulary_was_resized(
    kind: str, tied: bool, bases: dict[bool, Path], tmp_path: Path
) -> None:
    """CASES row 26: it brings its embeddings along, so it runs, as it did in peft."""
    folder, expected = resized(bases[tied], tmp_path / "adapter", KINDS[kind])
    model = load(bases[tied], adapter=str(folder))
    got = ours(model, list(expected))
    assert got["logits"].shape[-1] == ROWS
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-4, msg=name)


def test_a_resized_vocabulary_that_the_adapter_does_not_bring(
    bases: dict[bool, Path], tmp_path: Path
) -> None:
    """CASES row 26: tensor, sizes and remedy."""
    kind = KINDS["lora, q_proj+embed_tokens"]
    folder, _ = resized(bases[False], tmp_path / "adapter", kind)
    says = (
        r"it holds model\.embed_tokens with 328 rows, the model has 320, and it does not hold"
        r" lm_head\. Allowed: .*save_pretrained\) and give that folder as path\."
    )
    with pytest.raises(module.ModelError, match=says):
        load(bases[False], adapter=str(folder))
    weights = {k: v for k, v in load_file(folder / module.WEIGHTS).items() if "lora" in k}
    save_file(weights, folder / module.WEIGHTS)
    says = (
        r"it does not fit the model \(its tensor \S*embed_tokens\S* is \[4, 328\], in the model"
        r" \[4, 320\]\)\. .*trained on, or copy its files again\."
    )
    with pytest.raises(module.ModelError, match=says):
        load(bases[False], adapter=str(folder))


@pytest.mark.parametrize("added", [True, False], ids=["added", "in the vocabulary"])
def test_a_padding_token_of_which_the_model_knows_nothing(
    added: bool, bases: dict[bool, Path], tmp_path: Path
) -> None:
    """CASES row 26: its number equals the rows. Padding is ours: the right values need none."""
    base = Path(shutil.copytree(bases[False], tmp_path / "model"))
    tokenizer = json.loads((base / "tokenizer.json").read_text())
    rows = plain(bases[False]).get_input_embeddings().weight.shape[0]
    pad = {"id": rows, "content": "<pad>", "single_word": False, "lstrip": False, "rstrip": False,
           "normalized": False, "special": True}  # fmt: skip
    tokenizer["added_tokens"].append(pad)
    tokenizer["model"]["vocab"] |= {f"x{i}": i for i in range(300, rows)}
    if not added:
        tokenizer["model"]["vocab"]["<pad>"] = rows
    (base / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = json.loads((base / "tokenizer_config.json").read_text())
    (base / "tokenizer_config.json").write_text(json.dumps({**settings, "pad_token": "<pad>"}))
    model = load(base)
    assert model.tokenizer.pad_token_id == rows
    assert model.masked_ids == {1, 2, 6}  # with the end of a turn
    batch = [Tokens("a", tuple(IDS), "", (0, 8)), Tokens("b", tuple(IDS[:3]), "", (0, 3))]
    found = model.activations(batch, [], logits=True).logits
    assert found is not None
    with torch.no_grad():
        alone = plain(bases[False])(input_ids=torch.tensor([IDS[:3]])).logits
    torch.testing.assert_close(found[1, :3], alone[0], rtol=1e-5, atol=1e-5)
    assert model.generate(batch, Sampling(max_new_tokens=4))
