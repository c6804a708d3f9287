"""Crosscoders and difference SAEs: the fork's files, its formulas written slowly, bad files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from harness.contract import SaeFacts, SaeInput, Site
from harness.errors import ModelError
from harness.testing import check_sae, check_sae_format
from harness_saes.formats.model_diffing.load import Crosscoder, DifferenceSae
from harness_saes.formats.model_diffing.options import (
    CODES,
    CrosscoderOptions,
    DifferenceSaeOptions,
)

D, N = 6, 20
KINDS = [(kind, code) for kind in ("CrossCoder", "BatchTopKCrossCoder") for code in CODES]
GUARD = 1e-8


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape) + seed))


def buffers(*shape: int, normalised: bool) -> dict[str, torch.Tensor]:
    """The four of the normaliser; NaN where there is none, as the library stores that."""
    nothing = torch.full(shape, float("nan"))
    if not normalised:
        return {
            "target_rms": torch.tensor(1.0),
            "activation_mean": nothing,
            "activation_std": nothing,
            "activation_global_scale": torch.ones(shape[:-1]),
        }
    std, rms = random(*shape, seed=3).abs() + 0.2, torch.tensor(7.0)
    std[0] = std[0] * 3  # the two models are scaled by different numbers
    return {
        "target_rms": rms,
        "activation_mean": random(*shape, seed=4) * 5,
        "activation_std": std,
        "activation_global_scale": rms / torch.sqrt((std**2).sum(-1) + GUARD),
    }


def crosscoder(kind: str, code: str, normalised: bool = True) -> dict[str, torch.Tensor]:
    state = {
        "encoder.weight": random(2, D, N),
        "encoder.bias": random(N) * 0.3,
        "decoder.weight": random(2, N, D, seed=1),
        "decoder.bias": random(2, D, seed=2),
        "code_normalization_id": torch.tensor(CODES.index(code) + 1),
        **buffers(2, D, normalised=normalised),
    }
    state["decoder.weight"][1, 3] = 0  # written to one model alone
    state["decoder.weight"][:, 5] = 0  # to none
    if kind == "BatchTopKCrossCoder":
        state["k"] = torch.tensor(4, dtype=torch.int)
        state["threshold"] = torch.tensor([2.0, 5.0] if code == "DECOUPLED" else 6.0)
    return state


def trainer(kind: str, **more: object) -> dict[str, object]:
    return {
        "dict_class": kind,
        "trainer_class": f"{kind}Trainer",
        "activation_dim": D,
        "dict_size": N,
        "layer": 13,
        "submodule_name": "layer_13_out",
        "lm_name": "base-tuned",
        **more,
    }


def write_run(
    folder: Path,
    state: dict[str, torch.Tensor],
    settings: dict[str, object],
    compiled: bool = False,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    prefix = "_orig_mod." if compiled else ""
    torch.save({f"{prefix}{name}": t for name, t in state.items()}, folder / "model_final.pt")
    (folder / "config.json").write_text(json.dumps({"trainer": settings, "buffer": {}}))
    return folder


def load(folder: Path, **more: object):
    return Crosscoder(CrosscoderOptions(path=str(folder), **more)).load("cpu")


def load_difference(folder: Path, **more: object):
    return DifferenceSae(DifferenceSaeOptions(path=str(folder), **more)).load("cpu")


def normalised_by(w, m, x):
    """One activation of model m, as the library normalises it, in float64."""
    if np.isnan(w["activation_mean"]).any():
        return x
    return (x - w["activation_mean"][m]) * w["activation_global_scale"][m]


def written_by(w, m, x):
    if np.isnan(w["activation_mean"]).any():
        return x
    return x / (w["activation_global_scale"][m] + GUARD) + w["activation_mean"][m]


def sizes(rows: np.ndarray, code: str, alpha: float = 1.0, beta: float = 0.1) -> np.ndarray:
    """n_j: [2, latents] for DECOUPLED codes, else [latents]; latent by latent."""
    found = []
    for j in range(rows.shape[1]):
        first, second = (float(np.sqrt((rows[m, j] ** 2).sum())) for m in (0, 1))
        both = float(np.sqrt(first**2 + second**2))
        found.append(
            {
                "CROSSCODER": first + second,
                "SAE": both,
                "MIXED": alpha * both + beta * (first + second),
                "NONE": 1.0,
                "DECOUPLED": (first, second),
            }[code]
        )
    return np.array(found).T


def reference(state: dict[str, torch.Tensor], code: str, kind: str, **alphas: float):
    """The library's formulas, token by token and model by model, in float64: get_activations and
    decode(encode(x)). A DECOUPLED code of BatchTopK has a latent for each model."""
    w = {name: tensor.double().numpy() for name, tensor in state.items()}
    theirs = sizes(w["decoder.weight"], code, **alphas)
    apart = kind == "BatchTopKCrossCoder" and code == "DECOUPLED"

    def token(x):
        own = [normalised_by(w, m, x[m * D : (m + 1) * D]) for m in (0, 1)]
        if apart:  # the library normalises a second time
            own = [normalised_by(w, m, one) for m, one in enumerate(own)]
        a = sum(own[m] @ w["encoder.weight"][m] for m in (0, 1)) + w["encoder.bias"]
        f = np.maximum(a, 0)
        if apart:
            masks = np.stack([f * theirs[m] > w["threshold"][m] for m in (0, 1)])
            parts = [(f * masks[m]) @ w["decoder.weight"][m] + w["decoder.bias"][m] for m in (0, 1)]
            z = np.concatenate([f * masks[m] * theirs[m] for m in (0, 1)])
            return z, np.concatenate([written_by(w, m, part) for m, part in enumerate(parts)])
        n = theirs.sum(0) if theirs.ndim == 2 else theirs
        if "threshold" in w:
            f = f * (f * n > w["threshold"])
        parts = [f @ w["decoder.weight"][m] + w["decoder.bias"][m] for m in (0, 1)]
        return f * n, np.concatenate([written_by(w, m, part) for m, part in enumerate(parts)])

    def whole(x):
        found = [token(one) for one in x]
        return np.stack([z for z, _ in found]), np.stack([out for _, out in found])

    return whole


@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize(("kind", "code"), KINDS)
def test_equals_the_formulas_of_the_library(tmp_path, kind, code, normalised):
    state = crosscoder(kind, code, normalised)
    if code == "NONE":  # a row that is written nowhere is active all the same
        state["decoder.weight"][:, 5] = 1
    folder = write_run(tmp_path / "run", state, trainer(kind, code_normalization=code))
    x = random(40, 2 * D, seed=9) * 4
    whole = reference(state, code, kind)
    check_sae(load(folder), whole, x, rtol=3e-5)
    check_sae(load(folder, dtype="float64"), whole, x, rtol=1e-12)
    latents = load(folder).encode(x)
    assert 0 < len(latents.values) < latents.tokens * latents.d_sae


@pytest.mark.parametrize("code", ["CROSSCODER", "DECOUPLED"])
def test_the_format_keeps_the_laws_of_formats(tmp_path, code):
    kind = "BatchTopKCrossCoder"
    state = crosscoder(kind, code)
    folder = write_run(tmp_path / "run", state, trainer(kind, code_normalization=code))
    options = CrosscoderOptions(path=str(folder))
    check_sae_format(Crosscoder, options, reference=reference(state, code, kind), rtol=3e-5)
    assert CrosscoderOptions.claims(str(folder))
    assert not DifferenceSaeOptions.claims(str(folder))


def test_facts_say_what_is_joined(tmp_path):
    state = crosscoder("BatchTopKCrossCoder", "SAE")
    settings = trainer("BatchTopKCrossCoder", code_normalization="SAE")
    facts = load(write_run(tmp_path / "run", state, settings)).facts
    gains = tuple(state["activation_global_scale"].tolist())
    assert facts == SaeFacts(
        "batchtopk_crosscoder",
        2 * D,
        N,
        Site("resid_post", 13),
        model="base-tuned",
        inputs=(SaeInput("left", width=D), SaeInput("right", width=D)),
        scales=gains,
        shifts=tuple(tuple(mean) for mean in state["activation_mean"].tolist()),
    )
    assert facts.of_pair
    assert facts.columns() == (slice(0, D), slice(D, 2 * D))
    assert gains[0] != pytest.approx(gains[1], rel=0.5)
    turned = CrosscoderOptions(path=str(tmp_path / "run"), sides=("right", "left")).describe()
    assert [one.side for one in turned.inputs] == ["right", "left"]


def test_law_of_the_fold(tmp_path):
    """Weights that have taken the normaliser in give the same codes and reconstructions."""
    state = crosscoder("BatchTopKCrossCoder", "CROSSCODER")
    settings = trainer("BatchTopKCrossCoder", code_normalization="CROSSCODER")
    ours = load(write_run(tmp_path / "run", state, settings), dtype="float64")
    g, mean = state["activation_global_scale"].double(), state["activation_mean"].double()
    n = state["decoder.weight"].double().norm(dim=2).sum(0)  # of the rows before the fold
    encoder = state["encoder.weight"].double() * g[:, None, None]
    bias = state["encoder.bias"].double() - torch.einsum("ld,ldn->n", mean, encoder)
    decoder = state["decoder.weight"].double() / g[:, None, None]
    after = state["decoder.bias"].double() / g[:, None] + mean
    x = random(30, 2 * D, seed=5).double() * 4
    f = torch.relu(torch.einsum("tld,ldn->tn", x.view(-1, 2, D), encoder) + bias)
    f = f * (f * n > state["threshold"])
    out = torch.einsum("tn,lnd->tld", f, decoder) + after
    z = ours.encode(x)
    torch.testing.assert_close(z.dense(), f * n, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(ours.reconstruct(z), out.flatten(1), rtol=1e-6, atol=1e-6)
    rows = ours.rows(torch.arange(N)).view(N, 2, D) * n[:, None, None]
    kept = n > 0
    torch.testing.assert_close(rows[kept], decoder.transpose(0, 1)[kept], rtol=1e-6, atol=1e-9)


def test_a_copy_from_the_hub_is_the_same(tmp_path):
    """What PyTorchModelHubMixin writes of how it was built, and the run's configuration beside."""
    state = crosscoder("BatchTopKCrossCoder", "MIXED")
    settings = trainer("BatchTopKCrossCoder", code_normalization="MIXED")
    run = load(write_run(tmp_path / "run", state, settings))
    hub = tmp_path / "hub"
    hub.mkdir()
    save_file(state, hub / "model.safetensors")
    built = {"activation_dim": D, "dict_size": N, "num_layers": 2, "code_normalization": "MIXED"}
    (hub / "config.json").write_text(json.dumps(built))
    assert load(hub).facts == replace(run.facts, site=None, model=None)
    (hub / "trainer_config.json").write_text(json.dumps({"trainer": settings, "buffer": {}}))
    assert load(hub).facts == run.facts
    assert load(hub).fingerprint == run.fingerprint
    assert CrosscoderOptions.claims(str(hub))


def test_names_of_a_compiled_model_and_another_alpha(tmp_path):
    state = crosscoder("CrossCoder", "MIXED", normalised=False)
    settings = trainer("CrossCoder", code_normalization="MIXED", code_normalization_alpha_cc=0.7)
    folder = write_run(tmp_path / "run", state, settings, compiled=True)
    check_sae(load(folder), reference(state, "MIXED", "CrossCoder", beta=0.7), rtol=3e-5)


def test_an_old_file_is_taken_as_the_library_takes_it(tmp_path):
    state = crosscoder("CrossCoder", "CROSSCODER", normalised=False)
    old = {name: t for name, t in state.items() if name.startswith(("encoder", "decoder"))}
    sae = load(write_run(tmp_path / "run", old, trainer("CrossCoder")))
    check_sae(sae, reference(state, "CROSSCODER", "CrossCoder"), rtol=3e-5)
    assert "CROSSCODER is taken" in sae.notes[0]


def difference(normalised: bool = True) -> dict[str, torch.Tensor]:
    return {
        "encoder.weight": random(N, D),
        "encoder.bias": random(N) * 0.1,
        "decoder.weight": random(D, N, seed=1),
        "b_dec": random(D, seed=2),
        "k": torch.tensor(4, dtype=torch.int),
        "threshold": torch.tensor(0.8),
        **buffers(D, normalised=normalised),
    }


def reference_of_differences(state: dict[str, torch.Tensor]):
    w = {name: tensor.double().numpy() for name, tensor in state.items()}
    plain = bool(np.isnan(w["activation_mean"]).any())

    def token(u):
        if not plain:
            u = (u - w["activation_mean"]) * w["activation_global_scale"]
        f = np.maximum(w["encoder.weight"] @ (u - w["b_dec"]) + w["encoder.bias"], 0)
        f = f * (f > w["threshold"])
        out = w["decoder.weight"] @ f + w["b_dec"]
        if not plain:
            out = out / (w["activation_global_scale"] + GUARD) + w["activation_mean"]
        return f, out

    def whole(x):
        found = [token(one) for one in x]
        return np.stack([z for z, _ in found]), np.stack([out for _, out in found])

    return whole


@pytest.mark.parametrize("normalised", [True, False])
def test_an_sae_of_differences_equals_its_formulas(tmp_path, normalised):
    state = difference(normalised)
    folder = write_run(tmp_path / "run", state, trainer("BatchTopKSAE", k=4))
    options = DifferenceSaeOptions(path=str(folder))
    whole = reference_of_differences(state)
    x = random(40, D, seed=8) * 3
    check_sae_format(DifferenceSae, options, reference=whole, x=x, rtol=3e-5)
    facts = load_difference(folder).facts
    assert (facts.join, facts.d_in, facts.of_pair) == ("difference", D, True)
    assert facts.columns() == (slice(0, D), slice(0, D))
    assert not DifferenceSaeOptions.claims(str(folder)), "its files do not say what it reads"


def test_law_a_constant_change_is_in_the_normaliser_alone(tmp_path):
    """METHODS 2, section 2, (a): u = c makes no latent active, and û = c."""
    state = difference()
    state["activation_mean"] = torch.arange(D).float()
    state["b_dec"] = torch.zeros(D)
    state["encoder.bias"] = torch.zeros(N)
    sae = load_difference(write_run(tmp_path / "run", state, trainer("BatchTopKSAE")))
    u = torch.arange(D).float().repeat(5, 1)
    latents = sae.encode(u)
    assert not len(latents.values)
    torch.testing.assert_close(sae.reconstruct(latents), u)


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        ({"encoder.weight": random(3, D, N)}, {}, "3 activations of each token. Allowed: 2"),
        ({"encoder.weight": random(N, D)}, {}, "difference_sae"),
        ({}, {"dict_class": "BatchTopKCrossCoder"}, "Allowed: CrossCoder, by the tensors"),
        ({}, {"dict_class": "AutoEncoder"}, "Allowed: CrossCoder, by the tensors"),
        ({}, {"code_normalization": "LOUD"}, "LOUD.*Allowed: CROSSCODER, SAE"),
        ({}, {"code_normalization": "SAE"}, "its code is CROSSCODER, but not by config.json"),
        ({"code_normalization_id": torch.tensor(9)}, {}, "code_normalization_id is 9"),
        ({}, {"dict_size": N + 1}, "dict_size is 21, but the weights have 20"),
        ({}, {"encoder_layers": [0]}, "encoder_layers"),
        ({"activation_std": None}, {}, "lacks others"),
        ({"activation_global_scale": torch.zeros(2)}, {}, "not above 0"),
        ({"decoder.bias": None}, {}, "decoder.bias not found"),
        ({"decoder.bias": random(2, D) * float("inf")}, {}, "not finite"),
        (
            {"target_rms": torch.tensor(float("-inf"))},
            {},
            "target_rms has 1 values that are not fin",
        ),
        ({"b_skip": random(D)}, {}, "b_skip is one tensor too many"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, change, settings, said):
    state = crosscoder("CrossCoder", "CROSSCODER") | change
    state = {name: tensor for name, tensor in state.items() if tensor is not None}
    folder = write_run(tmp_path / "run", state, trainer("CrossCoder") | settings)
    with pytest.raises(ModelError, match=said):
        load(folder)


def test_a_threshold_of_each_model_belongs_to_decoupled_codes(tmp_path):
    state = crosscoder("BatchTopKCrossCoder", "DECOUPLED")
    settings = trainer("BatchTopKCrossCoder", code_normalization="SAE")
    with pytest.raises(ModelError, match="does not fit the threshold"):
        load(write_run(tmp_path / "run", state, settings))


def test_a_crosscoder_is_no_sae_of_differences(tmp_path):
    folder = write_run(tmp_path / "a", crosscoder("CrossCoder", "SAE"), trainer("CrossCoder"))
    with pytest.raises(ModelError, match="the format crosscoder"):
        load_difference(folder)


def test_a_side_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="each side once"):
        CrosscoderOptions(path=str(tmp_path), sides=("left", "left"))
