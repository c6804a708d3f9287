"""ckkissane's crosscoders: formulas in float64, scales stated and estimated, bad files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.contract import Calibrated, Site
from harness.errors import ModelError
from harness.testing import check_sae, check_sae_format
from harness_saes.formats.ckkissane.load import Ckkissane
from harness_saes.formats.ckkissane.options import CkkissaneOptions

D, N = 6, 20


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + seed))


def state() -> dict[str, torch.Tensor]:
    return {
        "W_enc": random(2, D, N),
        "W_dec": random(N, 2, D, seed=1),
        "b_enc": random(N) * 0.3,
        "b_dec": random(2, D, seed=2),
    }


def write(folder: Path, tensors: dict[str, torch.Tensor], **settings: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(tensors, folder / "cc_weights.pt")
    told = {"hook_point": "blocks.14.hook_resid_pre", "d_in": D, "dict_size": N, "seed": 49}
    (folder / "cfg.json").write_text(json.dumps(told | settings))
    return folder


def options(folder: Path, **more: object) -> CkkissaneOptions:
    return CkkissaneOptions(path=str(folder), **more)


def reference(scales: tuple[float, float]):
    w = {name: tensor.double().numpy() for name, tensor in state().items()}

    def token(x):
        own = [scales[m] * x[m * D : (m + 1) * D] for m in (0, 1)]
        f = np.maximum(sum(own[m] @ w["W_enc"][m] for m in (0, 1)) + w["b_enc"], 0)
        parts = [sum(f[j] * w["W_dec"][j, m] for j in range(N)) + w["b_dec"][m] for m in (0, 1)]
        return f, np.concatenate([part / scale for part, scale in zip(parts, scales, strict=True)])

    def whole(x):
        found = [token(one) for one in x]
        return np.stack([z for z, _ in found]), np.stack([out for _, out in found])

    return whole


def test_stated_scales(tmp_path):
    own = options(write(tmp_path / "a", state()), scales=(0.2759, 0.24423))
    x = random(30, 2 * D, seed=3) * 6
    check_sae_format(Ckkissane, own, reference=reference((0.2759, 0.24423)), x=x, rtol=2e-5)
    facts = own.describe()
    assert (facts.site, facts.d_in, facts.of_pair) == (Site("resid_pre", 14), 2 * D, True)
    assert CkkissaneOptions.claims(own.path)
    assert "0.2759" in Ckkissane(own).load("cpu").notes[0]


def test_scales_are_estimated_as_the_training_did(tmp_path):
    """√d over the mean length, for each model; and what is used is said."""
    sae = Ckkissane(options(write(tmp_path / "a", state()))).load("cpu")
    assert isinstance(sae, Calibrated)
    with pytest.raises(ModelError, match=r"scales = \[left, right\].*preflight"):
        sae.encode(random(3, 2 * D))
    x = torch.cat([random(50, D, seed=4) * 3, random(50, D, seed=5) * 11], dim=1)
    expected = tuple(
        float(D**0.5 / np.mean([np.sqrt((row**2).sum()) for row in part.double().numpy()]))
        for part in (x[:, :D], x[:, D:])
    )
    found = sae.calibrated(x)
    assert found.facts.scales == pytest.approx(expected, rel=1e-9)
    check_sae(found, reference(expected), x, rtol=2e-5)
    assert f"{expected[0]:.5g} (left)" in found.notes[0]
    assert found.fingerprint != sae.fingerprint
    with pytest.raises(ModelError, match="cannot be estimated"):
        sae.calibrated(x[:0])


@pytest.mark.parametrize(
    ("tensors", "settings", "said"),
    [
        ({"W_enc": random(3, D, N)}, {}, "Expected \\[2, width, latents\\]"),
        ({}, {"dict_size": N + 1}, "dict_size is 21, but cc_weights.pt has 20"),
        ({"W_dec": random(2, N, D)}, {}, "W_dec is"),
        ({"b_enc": torch.full((N,), float("nan"))}, {}, "not finite"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, tensors, settings, said):
    folder = write(tmp_path / "a", state() | tensors, **settings)
    with pytest.raises(ModelError, match=said):
        Ckkissane(options(folder, scales=(1.0, 1.0))).load("cpu")
