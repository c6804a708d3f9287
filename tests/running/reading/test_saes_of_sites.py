"""SAEs that read several sites of one model, from a task to its records."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import fakes
from fakes.running import at, pair_tokens, passed, total_forwards
from fakes.tasks import only
from harness.contract import Record
from harness.registry import Registry, discover
from harness.running.session import Session

D, N = fakes.WIDTH, 10
BLOCKS = (1, 2)
HEAD = """
[saes.many]
format = "gemma_scope_2_crosscoder"
path = "many"
model = "base"
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["many"]
"""


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The fake models with our own SAE formats and metrics."""
    ours = ("saes", "metrics", "statistics", "directions")
    points = [EntryPoint(f"harness-{one}", f"harness_{one}.plugin", "harness") for one in ours]
    return discover(candidates=[EntryPoint("fake", "fakes", "harness"), *points])


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    parts = [
        {
            "w_enc": torch.randn(D, N, generator=generator),
            "w_dec": torch.randn(N, 2, D, generator=generator),
            "b_enc": torch.randn(N, generator=generator),
            "b_dec": torch.randn(D, generator=generator),
            "threshold": torch.rand(N, generator=generator) * 5,
        }
        for _ in BLOCKS
    ]
    (tmp_path / "many").mkdir()
    for number, part in enumerate(parts):
        save_file(part, tmp_path / "many" / f"params_layer_{number}.safetensors")
    told = {"type": "crosscoder", "hf_hook_point_in": "model.layers.{1,2}.output"}
    (tmp_path / "many" / "config.json").write_text(json.dumps(told))
    return parts


@pytest.fixture
def results(session: Callable[..., Session]) -> Callable[..., list[Record]]:
    def results(text: str, level: int = 0) -> list[Record]:
        found = passed(session(HEAD + text), level)
        return [record.on(**at(one)) for one in found for record in one.outcome.records]

    return results


def slow(session: Session, parts: list[dict[str, torch.Tensor]]) -> dict[tuple[str, str], float]:
    """FVU by view and site, and L0 by view, in float64."""
    w = [{name: tensor.double().numpy() for name, tensor in part.items()} for part in parts]
    found: dict[tuple[str, str], float] = {}
    both = [list(pair_tokens(session, "p", f"resid_post.{block}")) for block in BLOCKS]
    for view, side in (("base", "left"), ("chat", "right")):
        x = [np.stack([getattr(token, side) for token in tokens]) for tokens in both]
        a = [x[i] @ w[i]["w_enc"] + w[i]["b_enc"] for i in range(2)]
        f = [np.where(a[i] > w[i]["threshold"], a[i], 0) for i in range(2)]
        for i, block in enumerate(BLOCKS):
            hat = sum(f[k] @ w[k]["w_dec"][:, i] for k in range(2)) + w[i]["b_dec"]
            error, spread = np.square(x[i] - hat).sum(), np.square(x[i] - x[i].mean(0)).sum()
            found[view, f"resid_post.{block}"] = float(error / spread)
        found[view, "l0"] = float(sum((one > 0).sum(1) for one in f).mean())
    return found


def test_each_site_is_reconstructed_and_the_latents_are_one(results, session, files) -> None:
    found, expected = (
        results("[metrics.fvu]\npair='p'\n[metrics.l0]\npair='p'\n"),
        slow(session(HEAD), files),
    )
    fvu = {
        (str(r.axes["view"]), str(r.axes["site"])): r.value for r in found if r.id == "fvu.pooled@1"
    }
    assert fvu == {
        key: pytest.approx(value, rel=1e-5) for key, value in expected.items() if key[1] != "l0"
    }
    l0 = {str(r.axes["view"]): r.value for r in found if r.id.startswith("l0")}
    assert l0 == {view: pytest.approx(expected[view, "l0"]) for view in ("base", "chat")}
    assert total_forwards() == 2


def test_latents_of_both_sides_are_compared(results) -> None:
    found = results("[metrics.latent_overlap]\npair='p'\nk=3\n")
    (record,) = [r for r in found if r.id == "latent_overlap.topk@1"]
    assert record.value is not None
    assert 0 < record.value < 1


def test_preflight_measures_each_site_and_no_neighbour(results, session, files) -> None:
    found = [
        r
        for r in results("[preflight]\ndata='web'\nfvu_max=100\n", level=-1)
        if r.axes.get("sae") == "many" and r.id == "fvu.pooled@1"
    ]
    expected = slow(session(HEAD), files)
    assert {str(r.axes["site"]): r.value for r in found} == {
        site: pytest.approx(expected["base", site], rel=1e-5)
        for site in ("resid_post.1", "resid_post.2")
    }


def test_what_reads_one_site_is_refused(problems) -> None:
    refused = "[metrics.explained_ratio]\npair='p'\n"
    only(problems(HEAD + refused), r"metrics\.explained_ratio", "joins 2")
    refused = "[directions.d]\nmethod='feature'\nsae='many'\nindex=1\n"
    only(problems(HEAD + refused), r"directions\.d\.sae", "2 sites at once")
    refused = "[statistics.feature_shift]\npair='p'\nsae='many'\n"
    only(problems(HEAD + refused), r"statistics\.feature_shift", "reads 2 sites at once")
    only(problems(HEAD, "saes.many.site=resid_post.1"), r"saes\.many\.site", "Remove site")
    # `mid` of the fake task is at resid_post.2, too: one depth is one mistake.
    found = problems(HEAD, "models.base.layers=2")
    only(found, r"resid_post\.2 is deeper than base", r"Also at: saes\.many\.site")
