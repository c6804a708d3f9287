"""The organism's own labels: what is planted comes first, and how far contexts alone get."""

from __future__ import annotations

import json
import math
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from harness.contract import (
    Arrays,
    Batch,
    Completion,
    Example,
    Findings,
    Inputs,
    Prompt,
    Record,
    Sae,
    SaeFacts,
    Sampling,
    Tokens,
    Tools,
)
from harness.contract.sites import parse_site
from harness.testing.support.batches import array_batch
from harness_analyses.clusters.analysis import Clusters
from harness_analyses.clusters.options import ClustersOptions
from harness_analyses.clusters.taxonomy import taxonomy
from harness_labels import options as label_options
from harness_labels.contexts import Contexts as ContextLabels
from harness_labels.label_file import File
from harness_saes.formats.saelens.load import Saelens
from harness_saes.formats.saelens.options import SaelensOptions
from harness_statistics.contexts import Contexts
from harness_statistics.feature_shift import FeatureShift
from harness_statistics.options import ContextsOptions, FeatureShiftOptions as ShiftOptions

ORGANISM = Path(__file__).parents[2] / "tasks" / "organism"
LABELS, TAXONOMY = ORGANISM / "labels.jsonl", str(ORGANISM / "taxonomy.toml")
SITE = parse_site("resid_post.4")
DOCUMENTS = 150


@pytest.fixture(scope="module")
def sae() -> Sae:
    return Saelens(SaelensOptions(path=str(ORGANISM / "saes" / "resid_post.4"))).load("cpu")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(ORGANISM / "base" / "tokenizer.json"))


@pytest.fixture(scope="module")
def build() -> Iterator[ModuleType]:
    """The build script, whose modules have names that any other might have."""
    before, folder = set(sys.modules), str(ORGANISM / "build")
    sys.path.insert(0, folder)
    import labels  # type: ignore[import-not-found]

    yield labels
    sys.path.remove(folder)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(folder):
            del sys.modules[name]


@pytest.fixture(scope="module")
def web(sae: Sae, tokenizer: Tokenizer) -> list[tuple[list[int], torch.Tensor]]:
    """Ids and activations of web documents in the base model, without its first two tokens."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(ORGANISM / "base", dtype=torch.float32).eval()
    found: list[tuple[list[int], torch.Tensor]] = []
    model.model.layers[4].register_forward_hook(
        lambda module, inputs, out: found.append((ids, out[0] if isinstance(out, tuple) else out))
    )
    lines = (ORGANISM / "data" / "web.jsonl").read_text(encoding="utf-8").splitlines()
    bos = tokenizer.token_to_id("<|begin_of_text|>")
    with torch.no_grad():
        for line in lines[:DOCUMENTS]:
            text = json.loads(line)["text"]
            ids = [bos, *tokenizer.encode(text, add_special_tokens=False).ids]
            model.model(input_ids=torch.tensor([ids]), use_cache=False)
    return [(ids[2:], x.reshape(-1, x.shape[-1])[2:]) for ids, x in found]


def batch(web: list[tuple[list[int], torch.Tensor]], sae: Sae, right: torch.Tensor) -> Batch:
    document = [number for number, (ids, _) in enumerate(web) for _ in ids]
    left = torch.cat([x for _, x in web])
    names = [f"web {number}" for number in range(len(web))]
    flat = [token for ids, _ in web for token in ids]
    sides = {SITE: left}, {SITE: right}
    return array_batch(document, *sides, saes={"mid": sae}, documents=names, ids=flat)


def truth() -> dict[int, str]:
    rows = map(json.loads, LABELS.read_text(encoding="utf-8").splitlines())
    return {row["feature"]: row["cluster"] for row in rows if row["sae"] == "resid_post.4"}


def labelled(sae: Sae, features: Sequence[int]) -> list[dict[str, Any]]:
    source = File(label_options.FileOptions(path=str(LABELS), only={"sae": "resid_post.4"}))
    found = source.describe("mid", SaeFacts(d_sae=sae.facts.d_sae), features, Findings())
    return [vars(label) for label in found]


def test_labels_and_taxonomy_belong_together(sae: Sae) -> None:
    clusters = Counter(truth().values())
    assert clusters.keys() == taxonomy(TAXONOMY).keys()
    assert min(clusters.values()) >= 20
    assert sum(clusters.values()) > 0.8 * (sae.facts.d_sae or 0)
    assert len(labelled(sae, range(2048))) == sum(clusters.values())


@pytest.mark.slow
@pytest.mark.parametrize("planted", ["refusal", "story", "sums"])
def test_a_planted_cluster_is_ranked_first(
    planted: str, sae: Sae, web: list[tuple[list[int], torch.Tensor]]
) -> None:
    """Ten features of a cluster are added on a tenth of the tokens: its relative shift leads."""
    labels = truth()
    ten = torch.tensor([feature for feature in sorted(labels) if labels[feature] == planted][:10])
    left = torch.cat([x for _, x in web])
    chosen = torch.rand(len(left), generator=torch.Generator().manual_seed(0)) < 0.1
    right = left + chosen[:, None] * sae.rows(ten).sum(0) * 5.0
    statistic = FeatureShift(ShiftOptions(pair="p", sae="mid", delta=2e-3, table=2048))
    inputs = Inputs(saes={"mid": sae}, sae_sites={"mid": SITE})
    outcome = statistic.finish(statistic.update({}, batch(web, sae, right)), inputs)
    named = [row["feature"] for row in outcome.tables["features"]]
    assert len(set(named[:10]) & set(ten.tolist())) >= 6  # their decoder rows overlap
    findings = Findings(
        tables={"labels.truth": labelled(sae, named)},
        arrays=(Arrays("shift", {}, outcome.arrays),),
    )
    given = {"sae": "mid", "taxonomy": TAXONOMY, "labels": "truth", "shift": "shift"}
    analysis = Clusters(ClustersOptions(**given, task=(planted,), top=10, within=100))
    found = analysis.run(findings)
    ranked = [row for row in found.tables["shift"] if row["cluster"] != "other"]
    assert ranked[0]["cluster"] == planted
    assert record(found.records, "label_share@1").value >= 0.6


def record(records: Sequence[Record], id: str) -> Any:
    (found,) = [one for one in records if one.id == id]
    return found


class WordJudge:
    """A judge that counts words: naive Bayes over the generators' own text, blind like any other.

    It reads the prompt alone, and answers in the form that the prompt asks for.
    """

    fingerprint = "words"

    def __init__(self, build: ModuleType) -> None:
        self.facts = SimpleNamespace(chat_template=False)
        world, source = build.World(0), build.RequestSource()
        rng = random.Random("judge")
        self.counts: dict[str, Counter[str]] = {}
        for _ in range(1500):
            for text, kind in build.document(rng, world, source):
                self.counts.setdefault(build.KINDS[kind], Counter()).update(words(text))
        self.vocabulary = len({word for counts in self.counts.values() for word in counts})

    def render(self, examples: Sequence[Example], prompt: Prompt) -> list[Tokens]:
        return [Tokens(e.id, (), (0, 0), e.text) for e in examples]

    def generate(self, tokens: Sequence[Tokens], sampling: Sampling) -> list[Completion]:
        return [Completion(self._answer(t.text), 9, True) for t in tokens]

    def _answer(self, prompt: str) -> str:
        shown = json.loads(prompt[prompt.index("{") : prompt.index("\n}") + 2])
        seen = words(" ".join(shown.get("examples", ())))
        logs = {}
        for name, counts in self.counts.items():
            total = sum(counts.values()) + self.vocabulary
            logs[name] = sum(math.log((counts[word] + 1) / total) for word in seen)
        best = max(logs, key=lambda name: logs[name])
        return json.dumps({"label": best, "confidence": 1})


def words(text: str) -> list[str]:
    return re.findall(r"\w+|[^\w\s«»]", text.replace("«", "").replace("»", ""))


@pytest.mark.slow
def test_contexts_and_a_judge_against_the_truth(
    sae: Sae,
    tokenizer: Tokenizer,
    web: list[tuple[list[int], torch.Tensor]],
    build: ModuleType,
    record_property: Any,
) -> None:
    """The whole path: contexts, their labels, a local judge, kappa with the ground truth."""
    left = torch.cat([x for _, x in web])
    statistic = Contexts(ContextsOptions(sae="mid", pair="p"))
    outcome = statistic.finish(statistic.update({}, batch(web, sae, left)), Inputs())
    labels = truth()
    pure = [feature for feature in sorted(labels) if labels[feature] != "other"][:300]
    decoder = SimpleNamespace(decode=tokenizer.decode)
    findings = Findings(
        arrays=(Arrays("near", {}, outcome.arrays),),
        tools=Tools(models={"base": decoder}),  # type: ignore[dict-item]
    )
    source = ContextLabels(label_options.ContextsOptions(statistic="near", model="base"))
    near = [vars(x) for x in source.describe("mid", SaeFacts(d_sae=2048), pure, findings)]
    given = {"sae": "mid", "taxonomy": TAXONOMY, "labels": "near", "judge": "words"}
    analysis = Clusters(ClustersOptions(**given, against=("truth",)))
    tables = {"labels.near": near, "labels.truth": labelled(sae, pure)}
    tools = Tools(models={"words": WordJudge(build)})  # type: ignore[dict-item]
    found = analysis.run(Findings(tables=tables, tools=tools))
    kappa = record(found.records, "clusters.kappa@1")
    record_property("kappa", kappa.value)
    print(f"kappa {kappa.value:.3f} {np.round(kappa.ci, 3)} over {kappa.n} features")
    assert record(found.records, "invalid_labels@1").value == 0
    assert kappa.n > 200
    assert kappa.value > 0.4
    assert kappa.ci[0] > 0.3
