"""The two sides of a training: the base is the base to the bit, and the model is left alone."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from peft import LoraConfig, PrefixTuningConfig, inject_adapter_in_model
from torch import nn
from training_runs import BASE, base, lora, put_on, tokenizer, weights

from harness.contract import Example, Native, Prompt, Record, Sampling, parse_site
from harness.errors import InvalidRun, ModelError, UsageError
from harness.training.adapter import adapted, check_is_base, switched_off
from harness.training.sharded import agreed, check_whole
from harness.training.sides import checksum, sides
from harness.training.telling import log_names
from harness.training.untouched import untouched
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions

KINDS = ("embed", "resid_pre.1", "resid_post.4", "mlp_in.2", "mlp_out.3", "attn_out.0", "attn_z.5")
SITES = [parse_site(name) for name in KINDS]
TEXTS = [Example("a", "The cat sat."), Example("b", "A longer line of text, with more tokens.")]


def trained(model: Any) -> Any:
    """The model with numbers in its adapter, as after some steps."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter) * (0.3 if "lora" in name else 0.01))
    return model


def wrapped(model: Any, other: Any = None) -> dict[str, Any]:
    backend = TransformersBackend(TransformersOptions(path=str(BASE)))
    return sides(model, tokenizer(), other).wrapped(backend)


def read(model: Any, bare: Any) -> dict[Any, torch.Tensor]:
    with untouched([bare]):
        return dict(model.activations(model.render(TEXTS, Prompt()), SITES).sites)


# ── The base ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"target_modules": ["embed_tokens", "q_proj", "down_proj"]},
        {"trainable_token_indices": [5, 6]},
    ],
    ids=lambda one: "-".join(one) or "lora",
)
def test_with_its_adapter_off_a_model_is_its_base_to_the_bit(given: Any) -> None:
    """The reference is the base loaded once more, and read as any model is read."""
    model = trained(lora(**given))
    both = wrapped(model)
    reference = wrapped(base(), base())["base"]
    found, expected = read(both["base"], model), read(reference, reference.hf)
    now = read(both["tuned"], model)
    for site in SITES:
        assert torch.equal(found[site], expected[site]), site
    assert any(not torch.equal(now[site], expected[site]) for site in SITES)


@pytest.mark.slow
def test_an_adapter_without_a_model_of_peft_around_it() -> None:
    """As transformers' `add_adapter` puts one in."""
    settings = LoraConfig(target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    model = inject_adapter_in_model(settings, base())
    found = read(wrapped(model)["base"], model)
    reference = wrapped(base(), base())["base"]
    assert all(torch.equal(found[s], x) for s, x in read(reference, reference.hf).items())


@pytest.mark.slow
def test_what_is_no_base_is_refused() -> None:
    merged = lora()
    merged.merge_adapter()
    with pytest.raises(UsageError, match="merged into the weights"):
        wrapped(merged)
    thawed = lora()
    thawed.get_base_model().model.norm.weight.requires_grad_(True)
    with pytest.raises(UsageError, match="weights of the base train"):
        wrapped(thawed)
    with pytest.raises(UsageError, match="learned tokens before the prompt"):
        wrapped(put_on(PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)))
    with pytest.raises(ModelError, match="has no tokenizer"):
        sides(lora(), None, None).wrapped(TransformersBackend(TransformersOptions(path="x/y")))


def test_an_adapter_that_cannot_be_switched_off_is_found() -> None:
    """A layer whose switch does nothing, as of a peft that is broken."""
    model = trained(lora()).get_base_model().eval()
    layers = adapted(model)
    check_is_base(model, layers)
    broken = layers[5]
    broken.enable_adapters = MethodType(lambda self, enabled: None, broken)
    with pytest.raises(InvalidRun, match="still gives other numbers than the base"):
        check_is_base(model, layers)
    assert not any(len(layer._forward_hooks) for layer in layers)


def test_a_base_that_changes_is_noticed() -> None:
    model, other = lora(), base()
    side = wrapped(model, other)["base"]
    read(side, other)
    read(side, other)
    assert not side.changed
    with torch.no_grad():
        other.model.layers[3].mlp.up_proj.weight[0, 0] += 1e-3
    read(side, other)
    assert side.changed


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 59), st.integers(0, 31), st.sampled_from([torch.float32, torch.bfloat16]))
def test_a_checksum_sees_every_bit_and_every_place(at: int, bit: int, dtype: torch.dtype) -> None:
    x = torch.randn(60, generator=torch.Generator().manual_seed(at)).to(dtype)
    whole = {torch.float32: torch.int32, torch.bfloat16: torch.int16}[dtype]
    bit %= 8 * x.element_size()
    y = x.clone()
    y.view(whole)[at] ^= 1 << bit if bit < 8 * x.element_size() - 1 else torch.iinfo(whole).min
    assert checksum([x]) == checksum([x.clone()])
    assert checksum([x]) != checksum([y])
    assert checksum([x]) != checksum([x.roll(1)])
    assert checksum([x, y]) != checksum([y, x])


# ── Nothing is touched ───────────────────────────────────────────────────────────────────────────


def state(model: Any) -> dict[str, Any]:
    """All that a reading may change."""
    hf = model.get_base_model()
    return {
        "modes": [module.training for module in model.modules()],
        "trains": [p.requires_grad for p in model.parameters()],
        "gradients": [id(p.grad) for p in model.parameters()],
        "sums": [float(p.grad.double().sum()) for p in model.parameters() if p.grad is not None],
        "hooks": [
            len(m._forward_hooks) + len(m._forward_pre_hooks) + len(m._backward_hooks)
            for m in model.modules()
        ],
        "buffers": [(id(b), float(b.double().sum())) for b in model.buffers()],
        "cache": hf.config.use_cache,
        "generation": id(vars(hf).get("generation_config")),
        "forward": [id(vars(m).get("forward")) for m in model.modules()],
        "off": [layer.disable_adapters for layer in adapted(model)],
        "random": (random.getstate(), np.random.get_state()[1].tolist()),
        "random of torch": torch.get_rng_state().tolist(),
        "modes of torch": (torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")),
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
def test_all_is_as_it_was_also_after_an_error(fails: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    model = lora(modules_to_save=["lm_head"])
    own = tokenizer()
    template = own.chat_template
    model.train()
    model.get_base_model().model.layers[2].eval()  # one part is frozen, and has its own mode
    frozen = [p for n, p in model.named_parameters() if "lora_A" in n]
    for parameter in frozen:
        parameter.requires_grad_(False)
    ids = torch.tensor([[5, 6, 7, 8]])
    model(input_ids=ids, labels=ids).loss.backward()
    hf, kept = model.get_base_model(), weights(model)
    buffer = hf.model.rotary_emb.inv_freq
    if fails:  # and what runs writes into a buffer, as models with growing positions do
        forward = hf.model.norm.forward

        def broken(x: torch.Tensor) -> torch.Tensor:
            random.random(), np.random.rand(), torch.rand(3)
            buffer.mul_(2)
            raise ValueError("broken")

        hf.model.norm.forward = broken
    before = state(model)
    both = sides(model, own, None)
    backend = TransformersBackend(TransformersOptions(path=str(BASE)))
    if fails:
        with pytest.raises(ValueError, match="broken"):
            both.wrapped(backend)
        with pytest.raises(ValueError, match="broken"), untouched([hf]), switched_off(both.layers):
            hf(input_ids=ids)
    else:
        models = both.wrapped(backend)
        assert state(model) == before
        for name in ("base", "tuned"):
            read(models[name], hf)
    assert state(model) == before
    assert own.chat_template == template
    assert "apply_chat_template" not in vars(own)
    assert all(torch.equal(value, kept[key]) for key, value in weights(model).items())
    if fails:
        hf.model.norm.forward = forward


@pytest.mark.slow
def test_mixed_precision_of_the_trainer_is_left_out_meanwhile() -> None:
    """accelerate wraps `forward`; read within it, a model would be rounded and its base not."""
    model = lora()
    hf = model.get_base_model()
    expected = read(wrapped(model)["tuned"], hf)
    original = hf.forward

    def in_bfloat16(self: Any, *args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", torch.bfloat16):
            return original(*args, **kwargs)

    hf._original_forward = original
    hf.forward = around = MethodType(in_bfloat16, hf)
    with torch.autocast("cpu", torch.bfloat16):
        found = read(wrapped(model)["tuned"], hf)
    assert vars(hf)["forward"] is around
    for site in SITES:
        assert torch.equal(found[site], expected[site])


@pytest.mark.slow
def test_a_wrapped_model_generates_by_the_rules_of_the_harness() -> None:
    hf = base().eval()
    theirs = hf.generation_config
    backend = TransformersBackend(TransformersOptions(path=str(BASE)))
    mine, loaded = backend.wrap(Native(hf, tokenizer()), "mine"), backend.load()
    assert mine.facts.layers == 6
    assert mine.masked_ids == loaded.masked_ids
    tokens = mine.render(TEXTS, Prompt())
    assert tokens == loaded.render(TEXTS, Prompt())
    sampling = Sampling(max_new_tokens=5, temperature=0.0, top_p=1.0, seed=0)
    assert mine.generate(tokens, sampling) == loaded.generate(tokens, sampling)
    assert hf.generation_config is theirs
    with pytest.raises(ModelError, match="no configuration as transformers' models have it"):
        backend.wrap(Native(nn.Linear(2, 2), tokenizer()), "a layer")


# ── Processes, names, imports ────────────────────────────────────────────────────────────────────


def test_a_model_in_pieces_is_refused() -> None:
    model = nn.Linear(2, 2)
    check_whole(model)
    model.weight.ds_id = 3  # type: ignore[assignment]
    with pytest.raises(UsageError, match="split over processes by DeepSpeed ZeRO-3"):
        check_whole(model)


_PROCESS = """
import sys, torch.distributed as d
from harness.training.sharded import agreed
d.init_process_group("gloo", init_method=sys.argv[1], rank=int(sys.argv[2]), world_size=2)
first, second = agreed(sys.argv[2] == "0"), agreed(sys.argv[2] == "1")
print(first, second)
"""


@pytest.mark.slow
def test_all_processes_stop_where_the_main_one_does(tmp_path: Path, warm_python: list[str]) -> None:
    assert agreed(True)
    assert not agreed(False)
    address = f"file://{tmp_path / 'meet'}"
    running = [
        subprocess.Popen(
            [*warm_python, "-c", _PROCESS, address, str(rank)], stdout=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    assert [one.communicate(timeout=600)[0].split() for one in running] == [["True", "False"]] * 2


def test_names_in_a_log() -> None:
    def record(id: str, value: float | None, **axes: Any) -> Record:
        why = None if value is not None else "nothing"
        return Record(id, value, n=1, n_of="tokens", unit="ratio", undefined=why, axes=axes)

    step = {"pair": "training.40", "data": "probe", "checkpoint": 40}
    found = log_names(
        [
            record("cosine.raw@1", 0.5, site="resid_post.4", sae="mid", **step),
            record("cosine.raw@1", 0.25, site="resid_post@0.5", **step),
            record("fvu.pooled@1", 0.1, view="base", site="resid_post.4", sae="mid", **step),
            record("fvu.pooled@1", None, view="tuned", site="resid_post.4", sae="mid", **step),
            record("cosine.raw@1", 0.75, site="resid_post.5", sae="mid", **step),
        ]
    )
    assert found == {
        "drift/cosine.raw/mid": 0.5,
        "drift/cosine.raw/resid_post_0.5": 0.25,
        "drift/fvu.pooled/base/mid": 0.1,
        "drift/cosine.raw/mid/2": 0.75,
    }


def test_importing_the_module_imports_nothing_heavy() -> None:
    code = (
        "import sys, harness.training\n"
        "assert not {'torch', 'transformers', 'numpy', 'peft'} & set(sys.modules)\n"
        "assert harness.training.__all__ == ['Drift', 'DriftCallback']\n"
        "try: harness.training.nothing\n"
        "except AttributeError: pass\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)
