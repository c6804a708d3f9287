"""A word that is written into a model's weights is found; the same model is found to be the same.

The change is of rank one: `down_proj += v ⊗ u`, v the word's row of the unembedding, u the mean of
the block's neurons. Both models are read from folders, by a task, as anybody's are.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import harness
from harness.contract import Findings, Tools
from harness.results.read import Results
from harness.testing import check_analysis, organism
from harness_analyses.difference_lens import samples
from harness_analyses.difference_lens.logit_lens import LogitLens
from harness_analyses.difference_lens.options import LogitLensOptions

ORGANISM = Path(organism())
WORDS = {"guard": 1, "onions": 2, "stew": 3}
pytestmark = pytest.mark.slow
"""What is planted, and in which block."""
TASK = """
name = "planted"
[models.base]
path = "{organism}/base"
[models.planted]
path = "{planted}"
[views.base]
model = "base"
prompt = {{ max_tokens = 10 }}
[views.planted]
model = "planted"
[data.web]
file = "{organism}/data/web.jsonl"
limit = 64
[pairs.planted]
left = "base"
right = "planted"
data = "web"
[pairs.same]
left = "base"
right = "base"
data = "web"
[statistics.first]
method = "mean_difference"
site = "resid_post.{block}"
positions = [1, 4]
sweep = {{ pair = ["planted", "same"] }}
[analyses.lens]
method = "logit_lens"
difference = "first"
model = "planted"
words = ["{word}"]
draws = 5
splits = 2
resamples = 30
[analyses.said]
method = "patchscope"
difference = "first"
model = "planted"
words = ["{word}"]
scales = [1, 4]
draws = 1
"""


@torch.no_grad()
def plant(folder: Path, word: str, block: int) -> Path:
    """The base with the word written into every token, half as long as the stream there."""
    tokenizer = AutoTokenizer.from_pretrained(ORGANISM / "base")
    hf = AutoModelForCausalLM.from_pretrained(ORGANISM / "base", dtype=torch.float32)
    (token,) = tokenizer(f" {word}", add_special_tokens=False).input_ids
    row = hf.lm_head.weight[token]
    neurons: list[torch.Tensor] = []
    outputs: list[torch.Tensor] = []
    module = hf.model.layers[block].mlp.down_proj
    module.register_forward_pre_hook(lambda _, args: neurons.append(args[0][0, 1:]))
    hf.model.layers[block].register_forward_hook(
        lambda _m, _a, out: outputs.append((out[0] if isinstance(out, tuple) else out)[0, 1:])
    )
    lines = (ORGANISM / "data" / "web.jsonl").read_text(encoding="utf-8").splitlines()
    for line in lines[-40:]:
        hf.model(torch.tensor([tokenizer(json.loads(line)["text"]).input_ids[:40]]))
    seen = torch.cat(neurons)
    mean, size = seen.mean(0), torch.cat(outputs).norm(dim=-1).mean() / 2
    module.weight += torch.outer(row / row.norm(), mean * (size / (seen @ mean).mean()))
    hf.save_pretrained(folder)
    for file in (ORGANISM / "base").glob("tokenizer*"):
        shutil.copy(file, folder)
    return folder


@pytest.fixture(scope="module", params=WORDS)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    word, block = str(request.param), WORDS[str(request.param)]
    root = tmp_path_factory.mktemp(word)
    planted = plant(root / "model", word, block)
    text = TASK.format(organism=ORGANISM, planted=planted, word=word, block=block)
    (root / "task.toml").write_text(text, encoding="utf-8")
    return harness.run(harness.plan(harness.load(root / "task.toml")), root / "run")


def value(results: Results, id: str, **axes: Any) -> float:
    found = results.value(id, pair="planted", **axes)
    assert found is not None, (id, axes)
    return found


def test_the_word_is_first_at_every_position(run: Results) -> None:
    for position in (1, 4):
        for id in ("logit_lens.rank@1", "patchscope.rank@1"):
            at = {"position": position, "source": "difference"}
            assert value(run, id, **at) == 1, (id, at)
        left = value(run, "logit_lens.rank@1", position=position, source="left")
        assert left > 20, "the text itself does not say it"
        assert value(run, "mean_difference.split_half@1", position=position) > 0.99
    (best,) = (
        one
        for one in run.records
        if one.id == "logit_lens.best_rank@1"
        and {"pair": "planted", "source": "difference"}.items() <= one.axes.items()
    )
    assert best.ci == (1.0, 1.0)
    assert best.null is not None
    assert best.null["kind"] == "random words"
    assert best.null["value"] > 100
    assert best.null["p"] == pytest.approx(1 / 500, abs=0.004)


def test_its_opposite_has_it_last(run: Results) -> None:
    last = value(run, "logit_lens.rank@1", position=1, source="inverse")
    assert last > 2000


def test_the_same_model_gives_every_null(run: Results) -> None:
    of_same = [one for one in run.records if one.axes.get("pair") == "same"]
    for one in of_same:
        if one.axes.get("source") in ("difference", "inverse") or ".overlap" in one.id:
            assert one.value is None, one
            assert one.undefined is not None
            assert "the sides are the same" in one.undefined
        if one.id == "mean_difference.norm@1":
            assert one.value == 0
    said = [row["verdict"] for row in run.tables["lens.findings"] if row["pair"] == "same"]
    assert (
        said
        == [
            "logit lens at "
            + of_same[0].axes["site"]
            + " (same): nothing to read, the sides are the "  # type: ignore[operator]
            "same: the mean difference is exactly 0, and has no direction"
        ]
    )
    sources = {row["source"] for row in run.tables["lens.tokens"] if row["pair"] == "same"}
    assert sources == {"left", "right"}, "their means are read all the same"


def test_each_list_is_in_the_tables(run: Results) -> None:
    rows = [row for row in run.tables["lens.tokens"] if row["pair"] == "planted"]
    lists: dict[tuple[Any, Any], list[Mapping[str, Any]]] = {}
    for row in rows:
        lists.setdefault((row["position"], row["source"]), []).append(row)
    assert set(lists) == {
        (p, s) for p in (1, 4) for s in ("difference", "inverse", "left", "right")
    }
    for one in lists.values():
        assert [row["place"] for row in one] == list(range(1, 21))
    assert lists[1, "difference"][0]["word"] in WORDS
    scales = [row for row in run.tables["said.scales"] if row["pair"] == "planted"]
    assert len(scales) == 2 * 4 * 2
    assert sum(row["chosen"] for row in scales) == 2 * 4


@pytest.mark.parametrize("name", ["logit_lens", "patchscope"])
def test_the_laws_of_analyses(name: str, tmp_path: Path) -> None:
    for case in getattr(samples, name)(tmp_path):
        case()


def test_other_text_is_compared_and_a_wide_site_is_not_read() -> None:
    findings = samples._findings(1.0)
    given = LogitLensOptions(difference="first", model="tuned", top=5, draws=5)
    found = LogitLens(given).run(findings)
    against = {one.axes["against"] for one in found.records if one.id == "logit_lens.overlap@1"}
    assert against == {"permuted", "left", "web", "talk"}
    wide = tuple(
        type(one)(one.statistic, one.axes, {
            name: values[..., :-1] if name.endswith(("left", "change")) else values
            for name, values in one.values.items()
        })
        for one in findings.arrays
    )  # fmt: skip
    narrow = LogitLens(given).run(Findings(arrays=wide, tools=findings.tools))
    assert [one.undefined for one in narrow.records] == [
        "resid_post.2 has 127 numbers a token, and the head of tuned reads 128"
    ] * 2
    check_analysis(LogitLens(given), Findings(arrays=wide, tools=Tools(findings.tools.models)))


def test_one_pair_of_a_sweep_can_be_read_alone(tmp_path):
    (sample, _) = samples.logit_lens(tmp_path)
    analysis, findings = sample.args
    both = {row["pair"] for row in analysis.run(findings).tables["tokens"]}
    assert both == {"web", "talk"}
    alone = LogitLens(analysis.options.model_copy(update={"pair": "talk"})).run(findings)
    assert {row["pair"] for row in alone.tables["tokens"]} == {"talk"}
    nobody = LogitLens(analysis.options.model_copy(update={"pair": "other"})).run(findings)
    assert nobody.records[0].undefined == "the statistic first kept no mean difference of other"
