"""SAEs that read both sides of a pair, from a task to its records, against a slow form."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch

import fakes
from fakes.running import at, pair_tokens, passed, total_forwards
from fakes.tasks import only
from harness.contract import Record, Site
from harness.planning.planner import plan
from harness.registry import Registry, discover
from harness.results.read import Results
from harness.running.runner import run
from harness.running.session import Session

D, N = fakes.WIDTH, 24
HEAD = """
[saes.both]
format = "crosscoder"
path = "crosscoder"
pair = "p"
site = "resid_post.2"
[saes.change]
format = "difference_sae"
path = "difference"
pair = "p"
site = "resid_post.2"
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["both", "change"]
"""
METRICS = "[metrics.fvu]\npair = 'p'\n[metrics.l0]\npair = 'p'\n"
PREFLIGHT = "[preflight]\ndata = 'web'\nfvu_max = 1000\n"


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The fake models with our own SAE formats, metrics, statistics and directions."""
    ours = ("saes", "metrics", "statistics", "directions", "interventions")
    points = [EntryPoint(f"harness-{one}", f"harness_{one}.plugin", "harness") for one in ours]
    return discover(candidates=[EntryPoint("fake", "fakes", "harness"), *points])


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> dict[str, dict[str, torch.Tensor]]:
    """A crosscoder and an SAE of differences, of the size of the fake models."""
    states = {
        "crosscoder": {
            "encoder.weight": random(2, D, N, seed=1),
            "encoder.bias": random(N, seed=2),
            "decoder.weight": random(2, N, D, seed=3),
            "decoder.bias": random(2, D, seed=4),
        },
        "difference": {
            "encoder.weight": random(N, D, seed=5),
            "encoder.bias": random(N, seed=6),
            "decoder.weight": random(D, N, seed=7),
            "b_dec": random(D, seed=8),
            "threshold": torch.tensor(3.0),
        },
    }
    for name, kind in (("crosscoder", "CrossCoder"), ("difference", "BatchTopKSAE")):
        (tmp_path / name).mkdir()
        torch.save(states[name], tmp_path / name / "model_final.pt")
        (tmp_path / name / "config.json").write_text(json.dumps({"trainer": {"dict_class": kind}}))
    return states


@pytest.fixture
def results(session: Callable[..., Session]) -> Callable[..., list[Record]]:
    """The records of the first pass of a task, or of its preflight."""

    def results(text: str, *overrides: str, level: int = 0) -> list[Record]:
        found = passed(session(HEAD + text, *overrides), level)
        return [record.on(**at(one)) for one in found for record in one.outcome.records]

    return results


def by_side(found: list[Record], sae: str, id: str) -> dict[str, float]:
    mine = [one for one in found if one.axes.get("sae") == sae and one.id.startswith(id)]
    return {str(one.axes["side"]): float(one.value or 0.0) for one in mine}


def fvu(x: np.ndarray, x_hat: np.ndarray) -> float:
    return float(np.square(x - x_hat).sum() / np.square(x - x.mean(0)).sum())


def slow(
    session: Session, files: dict[str, dict[str, torch.Tensor]], site: str = "resid_post.2"
) -> dict[tuple[str, str], float]:
    """FVU of each side and L0, token by token in float64, from the formulas of both papers."""
    w = {n: {k: t.double().numpy() for k, t in s.items()} for n, s in files.items()}
    tokens = list(pair_tokens(session, "p", site))
    x, y = np.stack([t.left for t in tokens]), np.stack([t.right for t in tokens])
    cross, change = w["crosscoder"], w["difference"]
    a = x @ cross["encoder.weight"][0] + y @ cross["encoder.weight"][1] + cross["encoder.bias"]
    f = np.maximum(a, 0)
    hats = [f @ cross["decoder.weight"][m] + cross["decoder.bias"][m] for m in (0, 1)]
    u = y - x
    g = np.maximum((u - change["b_dec"]) @ change["encoder.weight"].T + change["encoder.bias"], 0)
    g = g * (g > 3.0)
    u_hat = g @ change["decoder.weight"].T + change["b_dec"]
    return {
        ("both", "left"): fvu(x, hats[0]),
        ("both", "right"): fvu(y, hats[1]),
        ("both", "l0"): float((f > 0).sum(1).mean()),
        ("change", "difference"): fvu(u, u_hat),
        ("change", "l0"): float((g > 0).sum(1).mean()),
    }


def test_fvu_of_each_side_and_l0_of_both(results, session, files) -> None:
    found, expected = results(METRICS), slow(session(HEAD), files)
    assert by_side(found, "both", "fvu.pooled") == {
        side: pytest.approx(expected["both", side], rel=1e-5) for side in ("left", "right")
    }
    assert by_side(found, "change", "fvu.pooled") == {
        "difference": pytest.approx(expected["change", "difference"], rel=1e-5)
    }
    for sae in ("both", "change"):
        assert by_side(found, sae, "l0") == {"both": pytest.approx(expected[sae, "l0"], rel=1e-12)}
    views = {(r.axes.get("side"), r.axes.get("view")) for r in found if r.axes.get("sae") == "both"}
    assert views == {("left", "base"), ("right", "chat"), ("both", None)}


def test_a_filter_selects_the_same_tokens(results, session, files) -> None:
    where = "where = { cosine_below = 0.997 }\n"
    text = METRICS.replace("[metrics.l0]", f"{where}[metrics.l0]") + where
    together = results(
        text
        + METRICS.replace("metrics.", "metrics.all_")
        .replace("pair", "method = 'fvu'\npair", 1)
        .replace("l0]\npair", "l0]\nmethod = 'l0'\npair")
    )
    alone = results(text)
    picked = [one for one in together if not str(one.axes.get("metric")).startswith("all_")]
    key = lambda r: (r.id, sorted((k, str(v)) for k, v in r.axes.items()))  # noqa: E731
    mine = sorted((one for one in picked if "sae" in one.axes), key=key)
    theirs = sorted((one for one in alone if "sae" in one.axes), key=key)
    assert len(mine) == len(theirs) > 3
    for one, other in zip(mine, theirs, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-6)
        assert one.n == other.n > 0
    assert min(one.n for one in mine) < len(list(pair_tokens(session(HEAD), "p")))


def test_one_forward_a_view_and_one_encode_an_sae(results, monkeypatch) -> None:
    from harness_saes.core.joined import JoinedSae

    encoded: list[int] = []
    plain = JoinedSae.encode
    monkeypatch.setattr(JoinedSae, "encode", lambda s, x: encoded.append(len(x)) or plain(s, x))
    results(METRICS)
    assert len(encoded) == 2, "one batch: each SAE encodes it once"
    assert total_forwards() == 2


@pytest.mark.parametrize("overrides", [("batch.activations=1",), ("batch.shard=20",)])
def test_no_number_depends_on_batches(results, overrides) -> None:
    for one, other in zip(results(METRICS), results(METRICS, *overrides), strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-5)


def test_the_files_models_may_stand_the_other_way_round(results, session) -> None:
    """`sides` says which: the same numbers as of a pair that is turned round."""
    turned = HEAD.replace('"base"\nright = "chat"', '"chat"\nright = "base"')
    swapped = {
        name: by_side([one for one in results(METRICS)], name, "fvu.pooled")
        for name in ("both", "change")
    }
    text = turned.replace("site =", 'sides = ["right", "left"]\nsite =')
    found = passed(session(text + METRICS))
    again = [record.on(**at(one)) for one in found for record in one.outcome.records]
    assert by_side(again, "both", "fvu.pooled")["left"] == pytest.approx(
        swapped["both"]["right"], rel=1e-5
    )
    assert by_side(again, "change", "fvu.pooled")["difference"] == pytest.approx(
        swapped["change"]["difference"], rel=1e-5
    )


def test_sides_of_a_batch(session, files) -> None:
    """What a reduction sees: one code on both sides, and each side's part of what it stands for."""
    from harness.running.passes.jobs import start
    from harness.running.passes.read import _reader, uses_of
    from harness.running.passes.shards import batches, documents, shards

    made = session(HEAD + METRICS)
    work = plan(made.task).passes[0]
    (which,) = work.renderings()
    reader = _reader(made, uses_of(made, [start(made, job) for job in work.jobs], which))
    shard = next(iter(shards(documents(made, which, ["chat"], None), 10**6)))
    rows = next(iter(batches(shard, None, 32)))
    batch = next(iter(reader.read(rows.left, rows.right).values()))
    site, left, right, change = Site("resid_post", 2), batch.left, batch.right, batch.difference
    assert left.latents("both") is right.latents("both")
    joined = torch.cat([left.x(site), right.x(site)], dim=1)
    sae = made.sae("both")
    expected = sae.reconstruct(sae.encode(joined))
    both = torch.cat([left.reconstruction("both"), right.reconstruction("both")], dim=1)
    torch.testing.assert_close(both, expected)
    torch.testing.assert_close(change.x(site), right.x(site) - left.x(site))
    torch.testing.assert_close(
        right.reconstruction("change"), left.x(site) + change.reconstruction("change")
    )
    torch.testing.assert_close(
        left.reconstruction("change"), right.x(site) - change.reconstruction("change")
    )
    with pytest.raises(ValueError, match="does not read the difference"):
        change.latents("both")
    with pytest.raises(ValueError, match="no logits"):
        change.logits()


def test_preflight_measures_each_side_at_the_site_and_beside_it(results, session, files) -> None:
    found = results(PREFLIGHT, level=-1)
    for site in ("resid_post.1", "resid_post.2", "resid_post.3"):
        expected = slow(session(HEAD), files, site)
        here = [one for one in found if one.axes.get("site") == site]
        assert by_side(here, "both", "fvu.pooled") == {
            side: pytest.approx(expected["both", side], rel=1e-4) for side in ("left", "right")
        }
        assert by_side(here, "change", "fvu.pooled") == {
            "difference": pytest.approx(expected["change", "difference"], rel=1e-4)
        }
    read = {(one.axes["sae"], one.axes.get("side"), one.axes["model"]) for one in found}
    assert read == {
        ("both", "left", "base"),
        ("both", "right", "chat"),
        ("both", "both", "base, chat"),
        ("change", "difference", "base, chat"),
        ("change", "both", "base, chat"),
        ("mid", None, "base"),
    }


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        (
            1e-3,
            r"FVU of the (left|right) side, (base|chat), .* above fvu_max.*models of p, in this",
        ),
        (1e-3, r"FVU of the difference .* above fvu_max"),
    ],
)
def test_a_side_that_is_not_explained_ends_the_run(task, registry, tmp_path, limit, said) -> None:
    from harness.errors import InvalidRun

    text = HEAD + PREFLIGHT.replace("1000", str(limit))
    with pytest.raises(InvalidRun, match=said):
        run(plan(task(text)), registry, tmp_path / "run")


def test_a_whole_run(run_task: Callable[..., Results]) -> None:
    preflight = PREFLIGHT.replace("1000", "1e6")
    found = run_task(HEAD + METRICS + preflight)
    # Also where the preflight reads the pair's own text, no number takes the place of another.
    of_pair = [r for r in found.records if r.id == "l0@1" and r.axes.get("pair") == "p"]
    assert {r.axes["sae"] for r in of_pair} == {"both", "change"}
    fvu = [r for r in found.records if r.id == "fvu.pooled@1" and r.axes.get("pair") == "p"]
    assert {r.axes["side"] for r in fvu} == {"left", "right", "difference"}


# ── What `check` refuses ──


def test_a_pair_sae_on_a_model_alone(problems) -> None:
    text = HEAD.replace('path = "crosscoder"\npair = "p"', 'path = "crosscoder"\nmodel = "base"')
    only(problems(text), r"saes\.both\.model", "base is a model alone", "pair = ")


def test_an_sae_of_a_model_on_a_pair(problems) -> None:
    text = '[saes.one]\nformat = "fake"\npair = "p"\nsite = "resid_post.2"\n'
    only(problems(HEAD + text), r"saes\.one\.pair", "reads one model, and p is a pair", "model = ")


def test_neither_model_nor_pair(problems) -> None:
    only(problems(HEAD.replace('path = "crosscoder"\npair = "p"', 'path = "crosscoder"')),
         r"saes\.both", "give either model")  # fmt: skip


def test_models_of_other_widths(problems) -> None:
    found = problems(HEAD, "models.chat.width=8")
    told = [one for one in found if "saes.both" in one]
    assert any("reads 6 numbers per token on the right side, but chat has 8" in one for one in told)


def test_the_same_model_on_both_sides(problems) -> None:
    found = problems(HEAD, "views.chat.model=base")
    assert any("saes.both.pair" in one and "has base on both sides" in one for one in found)


def test_a_metric_of_one_view(problems) -> None:
    text = HEAD + "[metrics.fvu]\nview = 'base'\ndata = 'web'\nsaes = ['both']\n"
    only(problems(text), r"metrics\.fvu", "one view has no other side")


@pytest.mark.parametrize("metric", ["latent_overlap", "explained_ratio", "l1_divergence"])
def test_a_metric_that_compares_latents_of_both_sides(problems, metric) -> None:
    found = problems(HEAD + f"[metrics.{metric}]\npair = 'p'\nsaes = ['both']\n")
    only(found, rf"metrics\.{metric}", "makes one thing of both", "such as fvu and l0")


def test_cosines_are_of_the_activations_alone(results) -> None:
    found = results("[metrics.cosine]\npair = 'p'\n")
    assert {one.id for one in found if one.id.startswith("cosine.raw")}
    assert not [one for one in found if "latent" in one.id or "sae" in one.axes]


@pytest.mark.parametrize(
    "table",
    [
        "statistics.s]\nmethod = 'feature_shift'\npair = 'p'\nsae = 'both'\n",
        "statistics.s]\nmethod = 'flip_rate'\npair = 'p'\nsaes = ['both']\nsite = 'resid_post.2'\n",
        "statistics.s]\nmethod = 'latent_moments'\npair = 'p'\nsae = 'both'\n",
        "directions.s]\nmethod = 'shifted_features'\npair = 'p'\nsae = 'both'\nn = 3\n",
    ],
)
def test_methods_that_read_an_sae_of_one_model(problems, table) -> None:
    found = problems(HEAD + f"[{table}")
    assert any("reads both sides of a pair at once" in one for one in found), found


@pytest.mark.parametrize("where", [{"pair": "p", "model": "base"}, {"pair": "nowhere"}])
def test_bad_references(problems, where) -> None:
    inside = ", ".join(f'{key}="{value}"' for key, value in where.items())
    assert problems(HEAD, f'saes.mid={{format="fake", {inside}}}')


# ── What works with them ──


def found_in(session: Session, kind: type) -> list:
    return [one for one in passed(session) if isinstance(one.job, kind)]


def test_contexts_of_a_pair(session, files) -> None:
    """Each latent's strongest token is where the slow form has its largest value."""
    from harness.planning.steps import ReductionJob

    text = "[statistics.contexts]\npair = 'p'\nsae = 'both'\ncount = 1\n"
    made = session(HEAD + text)
    (one,) = found_in(made, ReductionJob)
    w = {k: t.double().numpy() for k, t in files["crosscoder"].items()}
    tokens = list(pair_tokens(made, "p"))
    a = [
        t.left @ w["encoder.weight"][0] + t.right @ w["encoder.weight"][1] + w["encoder.bias"]
        for t in tokens
    ]
    n = np.linalg.norm(w["decoder.weight"], axis=2).sum(0)
    largest = (np.maximum(np.stack(a), 0) * n).max(0)
    np.testing.assert_allclose(one.outcome.arrays["values"][:, 0], largest, rtol=1e-5)


@pytest.mark.parametrize(("side", "model"), [("left", 0), ("right", 1)])
def test_a_latent_is_a_direction_on_either_side(session, files, side, model) -> None:
    from harness.planning.steps import ReductionJob

    text = f"[directions.d]\nmethod = 'feature'\nsae = 'both'\nindex = 7\nside = '{side}'\n"
    (one,) = found_in(session(HEAD + text), ReductionJob)
    direction = one.outcome.directions[0].direction
    row = files["crosscoder"]["decoder.weight"][:, 7].double()
    expected = (row[model] / row.norm(dim=1).sum()).numpy()
    np.testing.assert_allclose(direction.vectors[0], expected, rtol=1e-5)
    assert (direction.site, direction.features) == (Site("resid_post", 2), (7,))


def test_a_latent_of_differences_is_one_direction(session, files) -> None:
    from harness.planning.steps import ReductionJob

    text = "[directions.d]\nmethod = 'feature'\nsae = 'change'\nindex = 7\n"
    (one,) = found_in(session(HEAD + text), ReductionJob)
    row = files["difference"]["decoder.weight"][:, 7].double().numpy()
    np.testing.assert_allclose(one.outcome.directions[0].direction.vectors[0], row, rtol=1e-6)


@pytest.mark.parametrize(
    ("sae", "side", "said"),
    [
        ("both", "", r"directions\.d\.side.*a decoder row for each side"),
        ("change", "side = 'left'", r"directions\.d\.side.*has one decoder row"),
        ("mid", "side = 'left'", r"directions\.d\.side.*has one decoder row"),
    ],
)
def test_which_row_is_meant_must_be_clear(problems, sae, side, said) -> None:
    only(problems(HEAD + f"[directions.d]\nmethod = 'feature'\nsae = '{sae}'\nindex = 1\n{side}\n"),
         said)  # fmt: skip


def test_zeroing_features_needs_an_sae_of_one_model(problems) -> None:
    text = """
[directions.d]
method = "feature"
sae = "both"
index = 1
side = "right"
[experiments.e]
view = "chat"
data = "web"
directions = ["d"]
evaluators = ["polite"]
intervention = { method = "feature_zeroing" }
"""
    only(problems(HEAD + text), r"experiments\.e", "encodes what one model has", "ablation")


def test_a_gate_needs_an_sae_of_one_model(problems) -> None:
    text = """
[directions.d]
method = "feature"
sae = "mid"
index = 1
[views.gated]
model = "chat"
edit = { direction = "d", method = "conditional_addition", sae = "both", latents = [1] }
[experiments.e]
view = "chat"
data = "web"
directions = ["d"]
evaluators = ["polite"]
intervention = { method = "conditional_addition", sae = "change", latents = [1] }
"""
    found = problems(HEAD + text)
    assert len(found) == 2, found
    only(found[:1], r"experiments\.e", "the SAE change reads more than that")
    only(found[1:], r"views\.gated\.edit", "the SAE both reads more than that")


def test_ablation_of_a_latent_is_planned_on_either_side(task) -> None:
    for side, view in (("left", "base"), ("right", "chat")):
        text = f"""
[directions.d]
method = "feature"
sae = "both"
index = 1
side = "{side}"
[experiments.e]
view = "{view}"
data = "web"
directions = ["d"]
evaluators = ["polite"]
intervention = {{ method = "ablation" }}
"""
        assert plan(task(HEAD + text)).generations


def test_decoder_norms_in_a_task(results, problems) -> None:
    found = results("[statistics.decoder_norms]\nsae = 'both'\n")
    assert {r.axes["space"] for r in found if r.id == "decoder_norms.median@1"} == {
        "normalised",
        "raw",
    }
    only(problems(HEAD + "[statistics.decoder_norms]\nsae = 'change'\n"),
         r"statistics\.decoder_norms\.sae", "one decoder row for each latent")  # fmt: skip


def test_scales_are_estimated_on_both_models(session, tmp_path) -> None:
    """Of a crosscoder whose files leave them open: √d / mean‖x‖ of each side's preflight text."""
    (tmp_path / "ck").mkdir()
    weights = {
        "W_enc": random(2, D, N, seed=1),
        "W_dec": random(N, 2, D, seed=2),
        "b_enc": random(N, seed=3),
        "b_dec": random(2, D, seed=4),
    }
    torch.save(weights, tmp_path / "ck" / "cc_weights.pt")
    (tmp_path / "ck" / "cfg.json").write_text("{}")
    own = '[saes.ck]\nformat = "ckkissane"\npath = "ck"\npair = "p"\nsite = "resid_post.2"\n'
    made = session(HEAD + own + PREFLIGHT)
    sae = made.sae("ck")
    tokens = list(pair_tokens(made, "p"))
    expected = [
        D**0.5 / float(np.mean([np.linalg.norm(getattr(token, side)) for token in tokens]))
        for side in ("left", "right")
    ]
    assert sae.facts.scales == pytest.approx(expected, rel=1e-5)
    assert "√width over their mean length" in sae.notes[0]
