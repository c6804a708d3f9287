"""Makes the golden files: SAEs written by their own libraries, and what these compute with them.

    pip install eai-sparsify==1.3.3 dictionary-learning==0.1.0
    pip install git+https://github.com/openai/sparse_autoencoder@4965b94
    python tests/plugins/saes_golden/make.py

in an environment of its own: the libraries pin other versions than ours. Each SAE lies below
`FORMAT/CASE/` in its library's layout; `FORMAT/CASE.safetensors` beside it has activations `x`,
dense `latents` and `reconstruction` in float32. Goodfire has no library; its notebook's class is
two Linears.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

HERE = Path(__file__).parent
D_IN, D_SAE, K, TOKENS = 6, 18, 3, 12
Encode = Callable[[Tensor], tuple[Tensor, Tensor]]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def randomise(module: nn.Module) -> None:
    """Weights of a useful size; parameters only, so that k and group sizes stay."""
    with torch.no_grad():
        for seed, (name, weight) in enumerate(sorted(module.named_parameters())):
            scale = 0.3 if weight.ndim == 1 else weight.shape[-1] ** -0.5
            weight.copy_(normal(*weight.shape, seed=seed) * scale)
            if name == "threshold":
                weight.abs_()


def write(case: str, run: Encode) -> None:
    x = normal(TOKENS, D_IN, seed=99) * 2 + 0.5
    with torch.no_grad():
        latents, reconstruction = run(x)
    found = {"x": x, "latents": latents, "reconstruction": reconstruction}
    save_file({k: v.float().contiguous() for k, v in found.items()}, HERE / f"{case}.safetensors")


def sparsify() -> None:
    from sparsify import SparseCoder
    from sparsify.config import SparseCoderConfig

    cases: dict[str, tuple[str, torch.dtype, dict[str, Any]]] = {
        "sae": ("layers.3", torch.float32, {"num_latents": D_SAE}),
        "expansion": ("layers.3", torch.float32, {"expansion_factor": 3}),
        "bfloat16": ("layers.3", torch.bfloat16, {"num_latents": D_SAE}),
        "groupmax": ("layers.3", torch.float32, {"num_latents": D_SAE, "activation": "groupmax"}),
        "transcoder": ("layers.3.mlp", torch.float32, {"num_latents": D_SAE, "transcode": True}),
        "skip": (
            "layers.3.mlp",
            torch.float32,
            {"num_latents": D_SAE, "transcode": True, "skip_connection": True},
        ),
    }
    for case, (hookpoint, dtype, keys) in cases.items():
        sae = SparseCoder(D_IN, SparseCoderConfig(k=K, **keys))
        randomise(sae)
        folder = HERE / "sparsify" / case / hookpoint
        sae.to(dtype).save_to_disk(folder)
        loaded = SparseCoder.load_from_disk(folder).float()

        def run(x: Tensor, loaded: SparseCoder = loaded) -> tuple[Tensor, Tensor]:
            values, indices, _ = loaded.encode(x)
            return torch.zeros(TOKENS, D_SAE).scatter(1, indices, values), loaded(x).sae_out

        write(f"sparsify/{case}", run)


def dictionary_learning() -> None:
    for name in ("nnsight", "nnsight.envoy", "wandb"):
        sys.modules.setdefault(name, MagicMock())  # which only training needs
    from dictionary_learning.dictionary import AutoEncoderNew
    from dictionary_learning.trainers import (
        BatchTopKTrainer,
        GatedSAETrainer,
        JumpReluTrainer,
        StandardTrainer,
        TopKTrainer,
    )
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKTrainer
    from dictionary_learning.utils import load_dictionary

    common = {
        "steps": 10,
        "activation_dim": D_IN,
        "dict_size": D_SAE,
        "layer": 3,
        "lm_name": "meta-llama/Llama-3.1-8B-Instruct",
        "submodule_name": "resid_post_layer_3",
        "device": "cpu",
        "warmup_steps": 1,
    }
    sparse = {"sparsity_warmup_steps": 1}
    groups = {"k": K, "group_fractions": [0.5, 0.5]}
    trainers: dict[str, tuple[Any, dict[str, Any], float]] = {
        "autoencoder": (StandardTrainer, sparse, -1),
        "gated": (GatedSAETrainer, sparse, -1),
        "topk": (TopKTrainer, {"k": K}, 0.4),
        "batchtopk": (BatchTopKTrainer, {"k": K}, 0.4),
        "batchtopk_unfitted": (BatchTopKTrainer, {"k": K}, -1),
        "matryoshka": (MatryoshkaBatchTopKTrainer, groups, 0.4),
        "jumprelu": (JumpReluTrainer, sparse, -1),
        "autoencoder_new": (StandardTrainer, sparse, -1),
    }
    for case, (trainer_class, keys, threshold) in trainers.items():
        trainer = trainer_class(**common, **keys)
        about, sae = dict(trainer.config), trainer.ae
        if case == "autoencoder_new":  # no trainer of the release makes one
            about, sae = about | {"dict_class": "AutoEncoderNew"}, AutoEncoderNew(D_IN, D_SAE)
        randomise(sae)
        if "threshold" in dict(sae.named_buffers()):
            sae.threshold.fill_(threshold)
        folder = HERE / "dictionary_learning" / case / "resid_post_layer_3" / "trainer_0"
        folder.mkdir(parents=True, exist_ok=True)
        torch.save({k: v.cpu() for k, v in sae.state_dict().items()}, folder / "ae.pt")
        buffer = {"d_submodule": D_IN, "io": "out", "ctx_len": 128, "device": "cpu"}
        (folder / "config.json").write_text(
            json.dumps({"trainer": about, "buffer": buffer}, indent=4) + "\n"
        )
        loaded, _ = load_dictionary(str(folder), "cpu")

        def run(x: Tensor, loaded: Any = loaded) -> tuple[Tensor, Tensor]:
            latents = loaded.encode(x)
            return latents, loaded.decode(latents)

        write(f"dictionary_learning/{case}", run)


def openai() -> None:
    from sparse_autoencoder.model import Autoencoder, TopK

    cases = {
        "v1": ("resid_delta_mlp/autoencoders/3.pt", nn.ReLU(), False),
        "v4": ("resid_delta_mlp_v4/autoencoders/3.pt", nn.ReLU(), False),
        "v5": ("resid_post_mlp_v5_32k/autoencoders/3.pt", TopK(K), True),
    }
    for case, (path, activation, normalize) in cases.items():
        sae = Autoencoder(D_SAE, D_IN, activation, normalize=normalize)
        randomise(sae)
        file = HERE / "openai" / case / path
        file.parent.mkdir(parents=True, exist_ok=True)
        # state_dict() also has activation.k, which the published files cannot have: from_state_dict
        # does not take it.
        state = {k: v for k, v in sae.state_dict().items() if not k.startswith("activation.")}
        torch.save(state, file)
        loaded = Autoencoder.from_state_dict(torch.load(file, weights_only=True))

        def run(x: Tensor, loaded: Autoencoder = loaded) -> tuple[Tensor, Tensor]:
            latents, info = loaded.encode(x)
            return latents, loaded.decode(latents, info)

        write(f"openai/{case}", run)


def goodfire() -> None:
    class SparseAutoEncoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder_linear = nn.Linear(D_IN, D_SAE)
            self.decoder_linear = nn.Linear(D_SAE, D_IN)

    for case, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        sae = SparseAutoEncoder()
        randomise(sae)
        file = HERE / "goodfire" / case / "Llama-3.1-8B-Instruct-SAE-l19.pth"
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(sae.to(dtype).state_dict(), file)
        sae.load_state_dict(torch.load(file, weights_only=True))
        sae = sae.float()

        def run(x: Tensor, sae: SparseAutoEncoder = sae) -> tuple[Tensor, Tensor]:
            latents = torch.relu(sae.encoder_linear(x))
            return latents, sae.decoder_linear(latents)

        write(f"goodfire/{case}", run)


if __name__ == "__main__":
    for folder in ("sparsify", "dictionary_learning", "openai", "goodfire"):
        (HERE / folder).mkdir(exist_ok=True)
    sparsify()
    dictionary_learning()
    openai()
    goodfire()
