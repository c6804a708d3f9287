"""The patchscope against a plain hook that replaces the last token, and its search by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from harness.contract import Site
from harness.errors import ModelError
from harness_analyses.difference_lens.head import Head
from harness_analyses.difference_lens.options import PatchscopeOptions
from harness_analyses.difference_lens.placed import Placed
from harness_analyses.difference_lens.readers import PatchscopeReader, together
from harness_transformers.model import TransformersModel

PROMPTS = PatchscopeOptions(difference="d", model="m").prompts
TEXTS = (
    "man -> man\n1135 -> 1135\nhello -> hello\n?",
    "bear -> bear\n42 -> 42\nblue -> blue\n?",
    "921 -> 921\ntarget -> target\nanna -> anna\n?",
)


def block(model: TransformersModel, layer: int) -> torch.nn.Module:
    hf = model.hf
    found: torch.nn.Module = (
        hf.transformer.h[layer] if hasattr(hf, "transformer") else hf.model.layers[layer]
    )
    return found


def patched(model: TransformersModel, text: str, layer: int, v: torch.Tensor) -> torch.Tensor:
    """The original's way: a hook writes v to the last position of the block's output."""

    def hook(_module: Any, _args: Any, output: Any) -> Any:
        x = (output[0] if isinstance(output, tuple) else output).clone()
        x[0, -1] = v
        return (x, *output[1:]) if isinstance(output, tuple) else x

    handle = block(model, layer).register_forward_hook(hook)
    with torch.no_grad():
        logits = model.hf(torch.tensor([model.encode(text)])).logits[0, -1]
    handle.remove()
    return logits.double()


def vectors(n: int = 4) -> torch.Tensor:
    return 5 * torch.randn(n, 16, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_only_the_last_token_is_replaced(model: TransformersModel, layer: int) -> None:
    placed = Placed(model, Site("resid_post", layer), PROMPTS, 2048)
    for v, found in zip(vectors(), placed.logits(vectors()), strict=True):
        for text, logits in zip(TEXTS, found, strict=True):
            wanted = patched(model, text, layer, v)
            assert float((logits - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())


def test_the_activation_that_is_there_changes_nothing(model: TransformersModel) -> None:
    """What a token had, put back in its place, leaves the prediction: and is told as no change."""
    site = Site("resid_post", 1)
    tokens = model.encode(TEXTS[0])
    kept: list[torch.Tensor] = []

    def keep(_module: Any, _args: Any, output: Any) -> None:
        kept.append((output[0] if isinstance(output, tuple) else output)[0, -1].clone())

    handle = block(model, 1).register_forward_hook(keep)
    plain = model.hf(torch.tensor([tokens])).logits[0, -1]
    handle.remove()
    nudged = kept[0] * (1 + 1e-6) + 1e-6
    (found,) = Placed(model, site, PROMPTS[:1], 2048).logits(nudged[None])
    assert float((found[0] - plain).abs().max()) <= 1e-3 * float(plain.abs().max())


def test_tokens_that_look_alike_are_refused(models: dict[str, TransformersModel]) -> None:
    """Where no attention has looked yet, equal tokens have equal activations."""
    with pytest.raises(ModelError, match=r"cannot be told apart\. Allowed: a deeper site"):
        Placed(models["llama"], Site("embed"), [("?",)], 2048)


def test_the_mean_keeps_what_all_prompts_find_likely() -> None:
    rng = np.random.default_rng(0)
    each = [torch.tensor(rng.dirichlet(np.ones(50))) for _ in range(3)]
    tops = [set(np.argsort(-one.numpy())[:20].tolist()) for one in each]
    common = set.intersection(*tops)
    found = together(each, 20).numpy()
    for token in range(50):
        wanted = np.mean([one.numpy()[token] for one in each]) if token in common else 0.0
        assert found[token] == pytest.approx(wanted, abs=1e-12)
    assert np.allclose(together(each, 50), np.mean([one.numpy() for one in each], axis=0))


@pytest.mark.slow
def test_the_search_takes_the_strength_whose_tokens_are_most_alike(
    models: dict[str, TransformersModel],
) -> None:
    """Everything once more in numpy: hooks, softmax, rows of the unembedding, cosines."""
    model, scales, top = models["llama"], (0.5, 1.0, 3.0, 20.0), 6
    head, site = Head(model), Site("resid_post", 1)
    asked = [torch.tensor([11]), torch.tensor([12, 13])]
    placed = Placed(model, site, PROMPTS, 2048)
    reader = PatchscopeReader(head, placed, asked, top=top, keep=1500, scales=scales)
    rows = (model.hf.lm_head.weight * model.hf.model.norm.weight).double().detach().numpy()
    for sign, readings in ((1, reader.read(vectors())), (-1, reader.read_inverse(vectors()))):
        for v, reading in zip(vectors(), readings, strict=True):
            slow = []
            for scale in scales:
                each = [
                    patched(model, text, 1, sign * scale * v).softmax(0).numpy() for text in TEXTS
                ]
                kept = set.intersection(*(set(np.argsort(-p)[:1500].tolist()) for p in each))
                p = np.mean(each, axis=0) * np.isin(np.arange(2048), list(kept))
                said = np.argsort(-p)[:top]
                units = rows[said] / np.linalg.norm(rows[said], axis=1, keepdims=True)
                cosines = [units[i] @ units[j] for i in range(top) for j in range(i)]
                slow.append((float(np.mean(cosines)), scale, said, p))
            best = max(slow, key=lambda one: round(one[0], 6))  # the first of equals
            assert reading.scale == best[1]
            assert reading.coherence == pytest.approx(best[0], abs=1e-5)
            assert set(reading.said.ids) == set(best[2].tolist())
            assert reading.said.probabilities == pytest.approx(best[3][best[2]], abs=1e-6)
            assert reading.ranks[0] == 1 + (best[3] > best[3][11]).sum()
            assert reading.ranks[1] == 1 + (best[3] > best[3][[12, 13]].max()).sum()
            tried = [(trial.scale, trial.coherence) for trial in reading.trials]
            assert tried == [(one[1], pytest.approx(one[0], abs=1e-5)) for one in slow]
