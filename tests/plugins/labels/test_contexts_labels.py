"""Labels made of collected contexts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.contract import Arrays, Findings, Label, SaeFacts, Tools
from harness.errors import DataError
from harness_labels import options
from harness_labels.contexts import Contexts

WORDS = {1: " sorry", 2: " I", 3: "<b>", 4: "\ud800"}


def arrays() -> dict[str, np.ndarray]:
    """Three features, two slots, windows of three around the second; feature 2 was never active."""
    ids = np.full((3, 2, 3), -1)
    active = np.zeros((3, 2, 3))
    values, documents = np.zeros((3, 2)), np.zeros((3, 2), dtype=np.int64)
    ids[0, 0], active[0, 0], values[0, 0] = [2, 1, 3], [0, 6, 2], 6
    ids[0, 1], active[0, 1], values[0, 1] = [-1, 1, 2], [0, 2, 0], 2
    ids[1, 0], active[1, 0], values[1, 0] = [4, 4, -1], [-1, -3, 0], -3
    documents[0] = [255, 16]
    return {"values": values, "documents": documents, "positions": documents + 1, "ids": ids,
            "activations": active, "centre": np.array([1])}  # fmt: skip


def ask(*kept: Arrays, d_sae: int | None = 3, words: int = 5) -> list[Label]:
    model = SimpleNamespace(decode=lambda ids: "".join(WORDS[token] for token in ids))
    findings = Findings(arrays=kept, tools=Tools(models={"base": model}))  # type: ignore[dict-item]
    source = Contexts(options.ContextsOptions(statistic="near", model="base", words=words))
    return list(source.describe("mid", SaeFacts(d_sae=d_sae), [0, 1, 2], findings))


def test_descriptions_and_marked_contexts() -> None:
    first, second = ask(Arrays("near", {}, arrays()))
    assert (first.sae, first.feature) == ("mid", 0)
    assert first.description == '" sorry" 80%, "<b>" 20%'
    assert first.contexts[0] == {
        "tokens": [" I", " sorry", "<b>"], "values": [0.0, 6.0, 2.0], "mark": 1, "value": 6.0,
        "document": "00000000000000ff", "position": 256,
    }  # fmt: skip
    assert first.contexts[1]["tokens"] == [" sorry", " I"]
    assert first.contexts[1]["mark"] == 0
    assert second.description == '"\ufffd" 100%'
    assert second.contexts[0]["value"] == -3


def test_a_description_has_so_many_words() -> None:
    assert ask(Arrays("near", {}, arrays()), words=1)[0].description == '" sorry" 80%'


def test_categories_and_other_saes_of_a_sweep_are_left_out() -> None:
    swept = [{"sae": "mid"}, {"sae": "low"}, {"sae": "mid", "domain": "law"}]
    kept = [*(Arrays("near", axes, arrays()) for axes in swept), Arrays("far", {}, arrays())]
    assert len(ask(*kept)) == 2


@pytest.mark.parametrize(
    ("kept", "d_sae", "message"),
    [
        ([], 3, "kept 0 sets of contexts"),
        ([Arrays("near", {"count": c}, arrays()) for c in (1, 2)], 3, "kept 2 sets"),
        ([Arrays("near", {}, {"delta": np.zeros(3)})], 3, "a statistic of the method `contexts`"),
        ([Arrays("near", {}, arrays())], 4, "contexts of 3 features, the SAE has 4"),
    ],
)
def test_what_does_not_fit(kept: list[Arrays], d_sae: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ask(*kept, d_sae=d_sae)
