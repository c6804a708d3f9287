"""The task of the paper on supervised fine-tuning executes: on a tiny random Gemma 3."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, Gemma3TextConfig

import harness
from fakes import published
from harness.cli.main import main

TASKS = Path(__file__).parents[2] / "tasks"
PAPER = TASKS / "papers" / "sft_mechanism" / "gemma-3-1b.toml"
WIDTH, LAYERS = 16, (7, 13, 22)
SIZES = {"16k": 1, "65k": 2, "262k": 4}
pytestmark = [
    pytest.mark.slow,
    # peft asks transformers for something by its old name.
    pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning"),
]
TUNES = {"multinli": 1.0, "gsm8k": 0.8, "wildjailbreak": 0.9}
STEPS = {"multinli_500": 0.3, "multinli_1000": 0.6}


def tiny_gemma3(folder: Path) -> None:
    """Gemma 3 in small: 26 blocks, post-norms, local and global attention."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(TASKS / "organism" / "chat")
    config = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        num_hidden_layers=26,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        intermediate_size=32,
        sliding_window=16,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def adapter(base: Path, folder: Path, name: str, size: float) -> None:
    """A LoRA adapter with random weights; those of one fine-tune differ in their size alone."""
    torch.manual_seed(sum(map(ord, name.partition("_")[0])))
    model = AutoModelForCausalLM.from_pretrained(base)
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "down_proj"])
    wrapped = get_peft_model(model, config)
    with torch.no_grad():
        for key, parameter in wrapped.named_parameters():
            if "lora_B" in key:
                parameter.normal_(0, 0.1 * size)
    wrapped.save_pretrained(folder / name)


def jumprelu(folder: Path, layer: int, copies: int) -> None:
    """A JumpReLU SAE: both directions of every axis of some random rotations, each at its share."""
    folder.mkdir(parents=True)
    torch.manual_seed(layer + copies)
    rotations = [torch.linalg.qr(torch.randn(WIDTH, WIDTH))[0] for _ in range(copies)]
    both = torch.cat([sign * rotation for rotation in rotations for sign in (1, -1)], dim=1)
    weights = {
        "W_enc": both.contiguous(),
        "W_dec": (both.T / copies).contiguous(),
        "b_enc": torch.zeros(both.shape[1]),
        "b_dec": torch.zeros(WIDTH),
        "threshold": torch.full((both.shape[1],), 0.01),
    }
    save_file(weights, folder / "sae_weights.safetensors")
    config = {
        "architecture": "jumprelu",
        "d_in": WIDTH,
        "d_sae": both.shape[1],
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": False,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"hook_name": f"blocks.{layer}.hook_resid_post"},
    }
    (folder / "cfg.json").write_text(json.dumps(config))


class _Neuronpedia(BaseHTTPRequestHandler):
    """Has an explanation of every feature that it is asked for."""

    def do_GET(self) -> None:
        model, source, index = self.path.removeprefix("/api/feature/").split("/")
        told = {"description": f"feature {index} of {source}", "typeName": "x", "scores": []}
        row = {"modelId": model, "layer": source, "index": index, "explanations": [told]}
        body = json.dumps({**row, "activations": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def neuronpedia() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Neuronpedia)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def with_(folder: Path, server: str) -> str:
    """What cannot be had offline, put back."""
    lines = ['extends = "without.toml"', "[models]", 'base.path = "base"']
    lines += [f'{name} = {{ path = "base", adapter = "{name}" }}' for name in (*TUNES, *STEPS)]
    lines += [f'[data]\nweb = {{ hub = "{folder}/pile-10k", limit = 12 }}', "[saes]"]
    for layer in LAYERS:
        for size in SIZES:
            name = f"layer_{layer}_{size}"
            place = f'path = "{name}", site = "resid_post.{layer}"'
            lines.append(f'{name} = {{ format = "saelens", model = "base", {place} }}')
    lines.append("[labels]")
    asked = f'server = "{server}", interval = 0, top = 2'
    for name in (f"layer_{layer}_{size}" for layer in LAYERS for size in SIZES):
        lines.append(f"{name} = {{ {asked} }}")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def results(
    tmp_path_factory: pytest.TempPathFactory, neuronpedia: str
) -> harness.results.read.Results:
    folder = tmp_path_factory.mktemp("gemma3")
    tiny_gemma3(folder / "base")
    for name, size in {**TUNES, **STEPS}.items():
        adapter(folder / "base", folder, name, size)
    for layer in LAYERS:
        for size, copies in SIZES.items():
            jumprelu(folder / f"layer_{layer}_{size}", layer, copies)
    lines = (TASKS / "organism" / "data" / "web.jsonl").read_text().splitlines()[:12]
    published.pile_10k(folder / "pile-10k", [json.loads(line)["text"] for line in lines])
    text = f'extends = "{PAPER}"\nmodels = false\nsaes = false\n'
    (folder / "without.toml").write_text(text)
    (folder / "task.toml").write_text(with_(folder, neuronpedia))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HF_HUB_OFFLINE", raising=False)  # the server is here, and there is no other
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        assert main(["eval", str(folder / "task.toml"), "--out", str(folder / "run")]) == 0
    return harness.load_results(folder / "run")


def test_every_task_layer_and_width_is_measured(results: harness.results.read.Results) -> None:
    for pair in (*TUNES, *STEPS):
        for layer in LAYERS:
            site = f"resid_post.{layer}"
            for size in SIZES:
                at = {"pair": pair, "site": site, "sae": f"layer_{layer}_{size}"}
                for k in (1, 3, 5, 10):
                    rate = results.value("flip_rate.token", injection="pcs", k=k, **at)
                    ratio = results.value("flip_rate.over_random", k=k, **at)
                    assert rate is not None
                    assert ratio is not None
                largest = results.value("pc_feature_cosine.max_abs", pc=1, **at)
                assert largest is not None
                assert 0 < largest <= 1
            shares = [
                results.value("pc_explained_variance", pair=pair, site=site, pc=pc)
                for pc in range(1, 11)
            ]
            assert shares == sorted((s for s in shares if s is not None), reverse=True)


def test_layers_tasks_and_checkpoints_are_compared(results: harness.results.read.Results) -> None:
    for size in SIZES:
        analysis = f"layers_{size}"
        difference = results.value("layer_profile.centre_difference", analysis=analysis)
        assert difference is not None
        centre = results.value("layer_profile.centre", analysis=analysis, pair="gsm8k")
        assert centre is not None
        assert 7 <= centre <= 22
    shared = {"sae": "layer_13_65k", "pair": "multinli", "against": "gsm8k"}
    assert results.value("flip_overlap.count", **shared) is not None
    # The same change, larger and larger: the activations move apart.
    for layer in LAYERS:
        at = {"of": "cosine.raw@1", "sae": f"layer_{layer}_16k"}
        assert results.value("trajectory.trend", **at) == -1


def test_kinds_of_features_at_every_layer_and_width(
    results: harness.results.read.Results,
) -> None:
    for layer in LAYERS:
        for size in SIZES:
            rows = results.tables[f"kinds_{layer}_{size}.assignments"]
            assert rows
            for row in rows:
                source = f"{layer}-gemmascope-2-res-{size}"
                assert row["description"] == f"feature {row['feature']} of {source}"
                assert row["cluster"] == "other"  # a random model sorts nothing
            share = results.value("invalid_labels", analysis=f"kinds_{layer}_{size}")
            collateral = results.value("collateral", analysis=f"kinds_{layer}_{size}")
            assert (share, collateral) == (1.0, 1.0)
        points = results.tables[f"by_width_{layer}.points"]
        widths = {f"layer_{layer}_{size}": 2 * WIDTH * copies for size, copies in SIZES.items()}
        assert {row["sae"]: row["x"] for row in points} == widths
        assert {row["y"] for row in points} == {1.0}


def test_the_published_task_is_understood_offline() -> None:
    assert main(["check", str(PAPER)]) == 0
