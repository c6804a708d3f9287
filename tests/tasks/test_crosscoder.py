"""The trained crosscoder and SAE of differences: their files, their laws, and what they cause."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoTokenizer, LlamaModel

import harness
from harness.cli.main import main
from harness.results.read import Results
from harness.task.file import builtin_tasks
from harness.testing import check_sae_format
from harness_saes.formats.model_diffing.load import Crosscoder, DifferenceSae
from harness_saes.formats.model_diffing.options import CrosscoderOptions, DifferenceSaeOptions

ROOT = Path(__file__).parents[2]
TASK = ROOT / "tasks" / "crosscoder.toml"
ORGANISM = ROOT / "tasks" / "organism"
PAIR_SAES = ORGANISM / "pair_saes"
MOST_BYTES = 2_500_000
LAYER, D, D_SAE = 4, 128, 1024

# What each explains less than, a fifth above what was measured (MODEL_CARD.md).
FVU = {"left": 0.165, "right": 0.185, "difference": 0.12}

DIFFERENCE = """
name = "difference"
extends = "crosscoder"
[directions]
shared = false
tuned_only = false
random = false
refusal = false
genuine = false
artefacts = false
any_active = false
[directions.changed]
method = "feature"
sae = "change"
sweep = { index = [599, 769] }
[directions.others]
method = "feature"
sae = "change"
sweep = { index = [0, 100, 200] }
[experiments.bypass]
directions = ["changed", "others"]
[data.talk]
limit = 10
[statistics]
scaling = false
scaling_change = false
near = false
[labels]
near = false
[claims]
explains = false
cause = false
beyond_shared = false
itself = false
latents = false
brought_back = false
not_others = false
genuine = false
"""
VIEWS = ("stream", "latents", "everything", "tuned", "genuine", "artefacts")
SWAPPED = (*VIEWS, *(f"any_{n}" for n in range(5)))
PAIRS = (*SWAPPED, *(f"talk_{n}" for n in ("stream", "latents", "genuine", "artefacts")))
DIFFERENCE += "".join(
    f"[{table}]\n" + "".join(f"{name} = false\n" for name in names)
    for table, names in (("views", SWAPPED), ("pairs", PAIRS), ("metrics", PAIRS))
)


@pytest.fixture(scope="module")
def weights() -> dict[str, dict[str, np.ndarray]]:
    """The tensors of both files, in float64."""
    found = {}
    for name in ("crosscoder", "difference"):
        stored = load_file(PAIR_SAES / name / "model.safetensors")
        found[name] = {key: np.asarray(x, np.float64) for key, x in stored.items()}
    return found


def cross(w: dict[str, np.ndarray], x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values f·n with n = Σ_m ‖d^m‖, and x̂ of both sides; x is [tokens, 2 d]."""
    g, mean = w["activation_global_scale"], w["activation_mean"]
    parts = [(x[:, m * D : (m + 1) * D] - mean[m]) * g[m] for m in (0, 1)]
    a = sum(parts[m] @ w["encoder.weight"][m] for m in (0, 1)) + w["encoder.bias"]
    f = np.maximum(a, 0)
    n = sum(np.sqrt((w["decoder.weight"][m] ** 2).sum(1)) for m in (0, 1))
    hats = [
        (f @ w["decoder.weight"][m] + w["decoder.bias"][m]) / (g[m] + 1e-8) + mean[m]
        for m in (0, 1)
    ]
    return f * n, np.concatenate(hats, axis=1)


def change(w: dict[str, np.ndarray], u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Latents and û of chat minus base."""
    g, mean = w["activation_global_scale"], w["activation_mean"]
    scaled = (u - mean) * g - w["b_dec"]
    f = np.maximum(scaled @ w["encoder.weight"].T + w["encoder.bias"], 0)
    f = f * (f > w["threshold"])
    return f, (f @ w["decoder.weight"].T + w["b_dec"]) / (g + 1e-8) + mean


def lean(w: dict[str, np.ndarray]) -> np.ndarray:
    """Δ_norm of each latent, from the rows as they were trained."""
    left, right = (np.sqrt((w["decoder.weight"][m] ** 2).sum(1)) for m in (0, 1))
    return np.array(
        [0.5 * ((b - a) / max(a, b) + 1) for a, b in zip(left, right, strict=True)], np.float64
    )


@torch.no_grad()
def activations(rows: list[list[int]]) -> np.ndarray:
    """Block 4 of both models at the last of the same ids: [rows, 2 d] in float64.

    Rows of one length are read at once, so that nothing is padded.
    """
    found = np.zeros((len(rows), 2 * D))
    by_length: dict[int, list[int]] = {}
    for place, ids in enumerate(rows):
        by_length.setdefault(len(ids), []).append(place)
    for side, name in enumerate(("base", "chat")):
        model = LlamaModel.from_pretrained(ORGANISM / name, dtype=torch.float32).eval()
        for places in by_length.values():
            ids = torch.tensor([rows[place] for place in places])
            states = model(ids, output_hidden_states=True, use_cache=False).hidden_states
            found[places, side * D : (side + 1) * D] = states[LAYER + 1][:, -1].double().numpy()
    return found


def prompts(name: str, count: int) -> list[list[int]]:
    """Ids of instructions in the chat model's template, as it is asked."""
    tokenizer = AutoTokenizer.from_pretrained(ORGANISM / "chat")
    lines = (ORGANISM / "data" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:count]
    turns = [[{"role": "user", "content": json.loads(line)["instruction"]}] for line in lines]
    return [
        tokenizer.apply_chat_template(turn, add_generation_prompt=True)["input_ids"]
        for turn in turns
    ]


@pytest.fixture(scope="module")
def harmful() -> np.ndarray:
    return activations(prompts("harmful_train", 128))


# ── The files ──


def test_they_are_small_and_as_the_library_lays_them_out() -> None:
    files = [file for file in PAIR_SAES.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= MOST_BYTES
    assert {file.suffix for file in files} == {".json", ".md", ".safetensors"}, "nothing pickled"
    for name, kind in (("crosscoder", "CrossCoder"), ("difference", "BatchTopKSAE")):
        told = json.loads((PAIR_SAES / name / "trainer_config.json").read_text())["trainer"]
        assert told["dict_class"] == kind
        assert (told["activation_dim"], told["dict_size"], told["layer"]) == (D, D_SAE, LAYER)


def test_the_card_says_what_was_measured() -> None:
    section = (PAIR_SAES / "README.md").read_text(encoding="utf-8").partition("# SAEs of")[2]
    assert section.strip() in (ORGANISM / "MODEL_CARD.md").read_text(encoding="utf-8")


def test_the_wheel_has_the_task_and_both() -> None:
    with (ROOT / "pyproject.toml").open("rb") as opened:
        wheel = tomllib.load(opened)["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"]["tasks/crosscoder.toml"] == "harness/_tasks/crosscoder.toml"
    assert "tasks/organism/pair_saes" in wheel["force-include"]


# ── Laws ──


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kind", "options", "slow", "width"),
    [
        ("crosscoder", Crosscoder, CrosscoderOptions, cross, 2 * D),
        ("difference", DifferenceSae, DifferenceSaeOptions, change, D),
    ],
)
def test_the_laws_of_formats_on_real_activations(
    name, kind, options, slow, width, weights, harmful
) -> None:
    x = harmful[:40] if width == 2 * D else (harmful[:, D:] - harmful[:, :D])[:40]
    given = options(path=str(PAIR_SAES / name), dtype="float64")
    reference = lambda x: slow(weights[name], x)  # noqa: E731
    check_sae_format(kind, given, reference=reference, x=torch.from_numpy(x), rtol=1e-6)


@pytest.mark.slow
def test_rows_of_each_side_rebuild_that_side(weights, harmful) -> None:
    """x̂ of a side is its bias and its rows, latent by latent, whatever the other side has."""
    sae = Crosscoder(CrosscoderOptions(path=str(PAIR_SAES / "crosscoder"), dtype="float64"))
    made = sae.load("cpu")
    x = torch.from_numpy(harmful[:10])
    latents = made.encode(x)
    rows = made.rows(torch.arange(D_SAE)).numpy()
    nothing = made.reconstruct(made.encode(x).take(torch.arange(0))).numpy()
    assert nothing.shape == (0, 2 * D)
    w = weights["crosscoder"]
    bias = np.concatenate([
        w["decoder.bias"][m] / w["activation_global_scale"][m] + w["activation_mean"][m]
        for m in (0, 1)
    ])  # fmt: skip
    whole = made.reconstruct(latents).numpy()
    for columns in (slice(0, D), slice(D, 2 * D)):
        slow = np.stack([
            bias[columns] + sum(z[j] * rows[j, columns] for j in np.flatnonzero(z))
            for z in latents.dense().numpy()
        ])  # fmt: skip
        np.testing.assert_allclose(whole[:, columns], slow, rtol=1e-5, atol=1e-6)


# ── The task ──


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crosscoder") / "run"


@pytest.fixture(scope="module")
def results(run_folder: Path) -> Results:
    overrides = {"data": {"harmful_test": {"limit": 20}, "talk": {"limit": 70}}}
    return harness.run(harness.plan(harness.load(TASK, **overrides)), run_folder)


def values(results: Results, id: str, **axes: object) -> list[float]:
    return [
        float(one.value)
        for one in results.records
        if one.id == id and one.value is not None and axes.items() <= dict(one.axes).items()
    ]


@pytest.mark.slow
def test_every_side_is_explained_and_named(results: Results) -> None:
    for where in ({"pair": "talk"}, {"site": "resid_post.4"}):
        for side, most in FVU.items():
            found = values(results, "fvu.pooled@1", side=side, **where)
            assert found
            assert all(0.02 < value <= most for value in found), (side, found)
    beside = {
        (side, site): values(results, "fvu.pooled@1", side=side, site=site)
        for side in FVU
        for site in ("resid_post.3", "resid_post.5")
    }
    assert all(min(found) > FVU[side] for (side, _), found in beside.items()), beside
    (l0,) = values(results, "l0@1", sae="both", pair="talk")
    assert 15 <= l0 <= 22
    assert len(values(results, "l0@1", sae="change", pair="talk", side="both")) == 1


@pytest.mark.slow
def test_sides_are_those_of_the_weights(results: Results, weights) -> None:
    delta = lean(weights["crosscoder"])
    expected = {
        "right_only": (delta > 0.9).mean(),
        "left_only": (delta < 0.1).mean(),
        "shared": (np.abs(delta - 0.5) <= 0.1).mean(),
    }
    for place, share in expected.items():
        found = values(results, "decoder_norms.share@1", space="normalised", place=place)
        assert found == pytest.approx([share])
    assert 30 <= D_SAE * expected["right_only"] <= 80


@pytest.mark.slow
def test_the_features_are_those_that_write_most(results: Results, weights, harmful) -> None:
    """Of the latents of the chat model alone, by hand: z·‖d‖ at the last token of the prompts."""
    w = weights["crosscoder"]
    z, _ = cross(w, harmful)
    left, right = (np.sqrt((w["decoder.weight"][m] ** 2).sum(1)) for m in (0, 1))
    written = (z / (left + right)).mean(0) * right / w["activation_global_scale"][1]
    own = np.flatnonzero((lean(w) > 0.9) & (z > 0).any(0))
    expected = own[np.argsort(-written[own])][:4].tolist()
    rows = [row for row in results.tables["tuned_only.features"] if row["k"] == 4]
    assert [row["feature"] for row in sorted(rows, key=lambda row: row["rank"])] == expected
    assert [row["written"] for row in rows] == pytest.approx(written[expected], rel=1e-3)
    assert values(results, "sided_latents@1") == [len(own)]
    labelled = {row["feature"] for row in results.tables["labels.near"]}
    assert labelled, "contexts of latents of the pair"


@pytest.mark.slow
def test_without_one_feature_of_its_own_it_refuses_no_more(results: Results) -> None:
    score = lambda **axes: values(results, "refusal_score@1", experiment="bypass", **axes)  # noqa: E731
    assert score(direction="none") == [1.0]
    assert score(direction="tuned_only", k=1)[0] <= 0.1
    shared, drawn = score(direction="shared"), score(direction="random")
    assert len(shared) == len(drawn) == 5
    assert np.mean(shared) >= 0.7
    assert min(drawn) >= 0.95


@pytest.mark.slow
def test_what_is_put_into_the_base_brings_refusals_back(results: Results) -> None:
    """KL(chat ‖ view) at the token that decides: a law, the sets, and as many others."""
    kl = lambda pair: values(results, "kl.next_token@1", pair=pair)[0]  # noqa: E731
    assert kl("everything") < 1e-6
    assert kl("latents") < 0.1 * kl("stream")
    assert kl("tuned") < 0.6 * kl("stream")
    assert min(kl(f"any_{draw}") for draw in range(5)) > 0.85 * kl("stream")
    assert kl("talk_latents") < 0.5 * kl("talk_stream")
    for pair in ("genuine", "artefacts"):
        assert kl(f"talk_{pair}") < kl("talk_stream")


@pytest.mark.slow
def test_most_latents_of_the_chat_model_alone_are_artefacts(results: Results, weights) -> None:
    delta = lean(weights["crosscoder"])
    shares = {
        one.axes["kind"]: one
        for one in results.records
        if one.id == "latent_scaling.share@1" and one.axes["space"] == "normalised"
    }
    assert {one.n for one in shares.values()} == {(delta > 0.9).sum()}
    assert 0.05 <= (shares["genuine"].value or 0.0) <= 0.3
    chosen = [row["feature"] for row in results.tables["genuine.features"]]
    assert len(chosen) == 4
    assert (delta[chosen] > 0.9).all()
    (shared,) = values(
        results, "latent_scaling.ratio@1", space="normalised", target="error", place="shared"
    )
    (own,) = values(
        results, "latent_scaling.ratio@1", space="normalised", target="error", place="right_only"
    )
    assert own < 0.4 < 0.8 < shared <= 1.1


@pytest.mark.slow
def test_latents_of_the_difference_find_it_too(
    tmp_path: Path, weights, harmful: np.ndarray
) -> None:
    """Those that tell harmful from harmless best point where refusal is, and take some of it."""
    w = weights["difference"]
    harmless = activations(prompts("harmless_train", 128))
    moved = [change(w, x[:, D:] - x[:, :D])[0].mean(0) for x in (harmful, harmless)]
    rows = w["decoder.weight"].T / w["activation_global_scale"]
    lengths = np.sqrt((rows**2).sum(1))
    best = np.argsort(-(moved[0] - moved[1]) * lengths)[:2]
    assert best.tolist() == [599, 769], "as the model card says; the task below takes them out"
    refusal = harmful[:, D:].mean(0) - harmless[:, D:].mean(0)
    cosines = rows @ refusal / (lengths * np.linalg.norm(refusal))
    assert np.abs(cosines).argmax() in best
    assert cosines[best].min() >= 0.4
    file = tmp_path / "difference.toml"
    file.write_text(DIFFERENCE)
    task = harness.load(file, data={"harmful_test": {"limit": 40}})
    results = harness.run(harness.plan(task), tmp_path / "run")
    score = lambda **axes: values(results, "refusal_score@1", **axes)  # noqa: E731
    changed, others = score(direction="changed"), score(direction="others")
    assert (len(changed), len(others)) == (2, 3)
    assert min(changed) <= 0.95
    assert min(others) >= 0.95


@pytest.mark.slow
def test_its_screen_answers_both_questions(
    results: Results, run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(run_folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "Claims: 6 supported, 1 contradicted, 1 undecided" in text
    (genuine,) = (
        one
        for one in results.records
        if one.id == "latent_scaling.share@1"
        and (one.axes["space"], one.axes["kind"]) == ("normalised", "genuine")
    )
    free = round((genuine.value or 0) * genuine.n)
    assert f"Of those of chat alone, {free} of 51 are free of known artefacts" in text
    assert "Of 1024 features of `both`" in text
    assert "write to chat alone" in text
    assert "the strongest of `tuned_only`: 62" in text


def test_it_is_a_built_in_task() -> None:
    assert builtin_tasks()["crosscoder"] == TASK
