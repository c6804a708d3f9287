"""What the task `attribution` promises of the organism, as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import harness
from harness.cli.main import main
from harness.contract import Record, SectionOptions
from harness.planning.cost.estimate import cost
from harness.results.read import Results
from harness_sections.attribution import Attribution

ROOT = Path(__file__).parents[2]
TASK = ROOT / "tasks" / "attribution.toml"
PROMPTS = 12
FEW = "--set=directions.controls.sweep.k=[16]"
"""Controls of one size: those that a test looks at."""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("attribution") / "run"
    assert main(["eval", str(TASK), "--out", str(out), "--limit", str(PROMPTS), FEW, "-q"]) == 0
    return out


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return harness.load_results(folder)


def number(results: Results, id: str, **axes: object) -> Record:
    (found,) = (one for one in results.records if one.id == id and axes.items() <= one.axes.items())
    return found


def split(results: Results, part: str, order: str = "integrated") -> float:
    value = number(results, f"latent_attribution.{part}@1", order=order).value
    assert value is not None
    return value


def test_the_split_closes_and_the_path_is_complete(results: Results) -> None:
    up, down, change = (split(results, part) for part in ("up", "down", "change"))
    assert up + down == pytest.approx(change, rel=1e-12)
    assert up > 0.5 * change > 0
    said = sum(split(results, part) for part in ("latents", "error", "rest"))
    assert split(results, "gap") < 0.02
    assert said == pytest.approx(up, rel=0.02)
    assert split(results, "put_back") <= 1e-5
    assert split(results, "gap", "first") > 0.1
    refused = number(results, "latent_attribution.top@1", order="first", k=4)
    assert 'order = "integrated" may help' in str(refused.undefined)


def test_few_latents_carry_more_than_directions_dealt_out_anew(results: Results) -> None:
    for k in (1, 4, 16, 64):
        top = number(results, "latent_attribution.top@1", order="integrated", k=k)
        assert top.value is not None
        assert top.null is not None
        assert top.value > top.null["largest"]


def test_what_carries_it_ends_the_refusals_and_controls_do_not(results: Results) -> None:
    def refused(direction: str, **axes: object) -> list[float]:
        wanted = {"experiment": "harmful", "direction": direction, **axes}
        return [
            float(one.value or 0)
            for one in results.records
            if one.id == "refusal_score@1" and wanted.items() <= one.axes.items()
        ]

    assert refused("none") == [1.0]
    (carried,) = refused("carriers", k=16)
    assert carried <= 0.4
    controls = refused("controls", k=16)
    assert len(controls) == 5
    assert min(controls) >= 0.8


def test_the_page_says_it_dose_by_dose(results: Results) -> None:
    panel = Attribution(SectionOptions()).panel(results)
    assert panel is not None
    doses = panel.blocks[-1]
    rows = {(row[0], row[1]): row for row in doses.rows}  # type: ignore[union-attr]
    assert rows["carriers", 16][-1]
    assert rows["carriers", 1][-1] == ""  # no view is edited with it


def test_the_plan_counts_every_forward(folder: Path) -> None:
    planned = cost(harness.plan(harness.load(folder / "task.toml")))
    usage = json.loads((folder / "results.json").read_text())["provenance"]["usage"]["stages"]
    checked = 0
    for work in planned.work:
        if work.stage.startswith("activations, pass 1"):  # the next one edits views
            assert usage[work.stage][work.model]["forwards"] == work.counts.forwards
            checked += 1
    assert checked == 2


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_refused_by_name(dtype: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(TASK), "--set", f"models.base.dtype={dtype}"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "model base computes in numbers of 2 bytes" in told
    assert 'Write dtype = "float32" in [models.base]' in told


def test_quantised_weights_are_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "quantised"
    model.mkdir()
    source = ROOT / "tasks" / "organism" / "chat"
    for file in source.iterdir():
        if file.name != "config.json":
            (model / file.name).symlink_to(file)
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "gptq", "bits": 4}
    (model / "config.json").write_text(json.dumps(config))
    assert main(["check", str(TASK), "--set", f"models.chat.path={model}"]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "needs gradients of a model, and chat has none" in told


def test_an_sae_of_a_pair_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ROOT / "tasks" / "organism" / "pair_saes" / "crosscoder"
    file = tmp_path / "both.toml"
    file.write_text(
        f'extends = "{TASK}"\nname = "both"\n'
        f'[saes.both]\npath = "{both}"\nsite = "resid_post.4"\npair = "asked"\n'
        '[statistics.carriers]\nsae = "both"\n'
    )
    assert main(["check", str(file)]) == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "uses SAEs of one site of one model, and both reads both sides of a pair" in told
