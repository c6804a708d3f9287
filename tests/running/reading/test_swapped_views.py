"""Views in which latents of another view are swapped: from a task to the KL of what comes of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

import harness
from harness.errors import TaskError
from harness.results.read import Results

ORGANISM = Path(__file__).parents[3] / "tasks" / "organism"
LAYER, COUNT = 4, 3
TASK = f"""
name = "swapped"
[models.base]
path = "{ORGANISM}/base"
[models.chat]
path = "{ORGANISM}/chat"
[models.rays]
path = "{ORGANISM}/tunes/rays"
[views]
base.model = "base"
rays.model = "rays"
[views.chat]
model = "chat"
prompt = {{ style = "chat" }}
[saes.both]
path = "{ORGANISM}/pair_saes/crosscoder"
site = "resid_post.{LAYER}"
pair = "talk"
[data.asked]
file = "{ORGANISM}/data/harmful_test.jsonl"
column = "instruction"
limit = {COUNT}
[pairs.talk]
left = "base"
right = "chat"
render = "right"
data = "asked"
[directions.one]
method = "feature"
sae = "both"
side = "right"
index = 62
"""
SWAPPED = """
[views.{name}]
model = "chat"
prompt = {{ style = "chat" }}
[views.{name}.edit]
method = "latent_swap"
direction = "one"
other = "base"
{more}
[pairs.{name}]
left = "chat"
right = "{name}"
data = "asked"
sites = ["resid_post.5"]
[metrics.{name}]
method = "kl"
pair = "{name}"
"""
KINDS = {
    "nothing": 'latents = "none"',
    "one_latent": "",
    "all_latents": 'latents = "all"',
    "everything": 'latents = "all"\nparts = ["bias", "error"]',
    "half": 'latents = "none"\nstrength = 0.5',
}


def loaded(folder: Path, text: str, **overrides: object):
    file = folder / "swapped.toml"
    file.write_text(text, encoding="utf-8")
    return harness.load(file, **overrides)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("swapped")
    text = TASK + "".join(SWAPPED.format(name=k, more=more) for k, more in KINDS.items())
    return harness.run(harness.plan(loaded(folder, text)), folder / "run")


def kl(results: Results, pair: str) -> float:
    (found,) = [
        one.value
        for one in results.records
        if one.id == "kl.next_token@1" and one.axes.get("pair") == pair
    ]
    assert found is not None
    return float(found)


@torch.no_grad()
def by_hand() -> dict[str, float]:
    """KL(p_tuned ‖ p_patched) with transformers alone: a hook puts the stream into the model."""
    tokenizer = AutoTokenizer.from_pretrained(ORGANISM / "chat")
    base, chat = (
        LlamaForCausalLM.from_pretrained(ORGANISM / name, dtype=torch.float32).eval()
        for name in ("base", "chat")
    )
    from safetensors.torch import load_file

    w = load_file(ORGANISM / "pair_saes" / "crosscoder" / "model.safetensors")
    w = {name: tensor.double() for name, tensor in w.items() if tensor.is_floating_point()}
    g, mean = w["activation_global_scale"], w["activation_mean"]
    lines = (ORGANISM / "data" / "harmful_test.jsonl").read_text("utf-8").splitlines()[:COUNT]
    found: dict[str, list[float]] = {"nothing": [], "half": [], "one_latent": [], "all_latents": []}
    for line in lines:
        turn = [{"role": "user", "content": json.loads(line)["instruction"]}]
        ids = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt")
        ids = ids["input_ids"] if not isinstance(ids, torch.Tensor) else ids
        streams = [
            model(ids, output_hidden_states=True).hidden_states[LAYER + 1][0].double()
            for model in (base, chat)
        ]
        code = sum(((streams[m] - mean[m]) * g[m]) @ w["encoder.weight"][m] for m in (0, 1))
        f = (code + w["encoder.bias"]).relu()  # type: ignore[operator]
        rows = [w["decoder.weight"][m] / g[m] for m in (0, 1)]
        apart = rows[1] - rows[0]
        patched = {
            "nothing": streams[0],
            "half": (streams[0] + streams[1]) / 2,
            "one_latent": streams[0] + f[:, [62]] * apart[62],
            "all_latents": streams[0] + f @ apart,
        }
        plain = chat(ids).logits[0].double().log_softmax(-1)
        for name, stream in patched.items():
            hook = chat.model.layers[LAYER].register_forward_hook(
                lambda *_, stream=stream: stream.float()[None]
            )
            other = chat(ids).logits[0].double().log_softmax(-1)
            hook.remove()
            each = (plain.exp() * (plain - other)).sum(-1)
            found[name] += _measured(ids[0], each, tokenizer)
    return {name: float(np.mean(each)) for name, each in found.items()}


def _measured(ids: torch.Tensor, each: torch.Tensor, tokenizer) -> list[float]:
    """Not the first token, and none that begins or ends a text or a turn."""
    special = {tokenizer.bos_token_id, tokenizer.eos_token_id}
    return [float(v) for n, (i, v) in enumerate(zip(ids.tolist(), each, strict=True))
            if n and i not in special]  # fmt: skip


@pytest.mark.slow
def test_the_kl_of_swapped_streams_is_that_of_a_hook_by_hand(results: Results) -> None:
    for name, expected in by_hand().items():
        assert expected > 0.001
        assert kl(results, name) == pytest.approx(expected, rel=2e-3), name


@pytest.mark.slow
def test_law_with_everything_put_in_the_model_is_itself(results: Results) -> None:
    assert 0 <= kl(results, "everything") < 1e-6
    assert kl(results, "one_latent") < kl(results, "nothing")


# ── What a check says ──


@pytest.mark.parametrize(
    ("more", "other", "what"),
    [
        pytest.param(
            "", "rays", "here rays is on the left and chat on the right", id="other model"
        ),
        pytest.param('side = "left"', "base", "Turn the two round", id="turned round"),
        pytest.param('latents = "all"\nsae = "both"', "chat", "here chat is on the left", id="own"),
    ],
)
def test_a_crosscoder_of_other_models_is_refused_by_name(tmp_path, more, other, what) -> None:
    text = SWAPPED.format(name="bad", more=more).replace('"base"', f'"{other}"')
    with pytest.raises(TaskError, match=r"views\.bad\.edit") as error:
        loaded(tmp_path, TASK + text)
    assert "SAE both was trained on base (left) and chat (right)" in str(error.value)
    assert what in str(error.value)


def test_a_pair_of_other_models_is_refused_where_the_files_name_theirs(tmp_path) -> None:
    text = TASK.replace('right = "chat"', 'right = "rays"')
    with pytest.raises(TaskError, match=r"saes\.both\.pair") as error:
        loaded(tmp_path, text)
    assert "trained on 'organism/base-organism/chat'" in str(error.value)
    assert "models.rays" in str(error.value)
    loaded(tmp_path, text, saes={"both": {"check_models": False}})


def test_what_reads_a_crosscoder_reads_its_models(tmp_path) -> None:
    more = """
[pairs.others]
left = "base"
right = "rays"
data = "asked"
saes = ["both"]
[metrics.fvu]
pair = "others"
[directions.sided]
method = "sided_features"
sae = "both"
pair = "others"
k = 1
"""
    with pytest.raises(TaskError) as error:
        loaded(tmp_path, TASK + more)
    where = {one.where.rpartition(": ")[2] for one in error.value.problems}
    assert where == {"metrics.fvu", "directions.sided"}
    for one in error.value.problems:
        assert "here base is on the left and rays on the right" in one.what
