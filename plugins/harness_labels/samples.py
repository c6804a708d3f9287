"""What the laws are tried on, by `harness plugins check`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.contract import Arrays, Findings, SaeFacts, Tools
from harness.testing import check_labels
from harness_labels.contexts import Contexts
from harness_labels.label_file import File
from harness_labels.neuronpedia import LabelsKey, Neuronpedia
from harness_labels.neuronpedia_pages import Page
from harness_labels.neuronpedia_store import Store
from harness_labels.options import ContextsOptions, FileOptions, NeuronpediaOptions

ROWS = (
    "feature,description,cluster,url\n"
    "3,farms and what lives on them,animals,https://example.org/3\n"
    '5,"a comma, and ""quotes""",,\n'
    "7,,punctuation,\n"
)


def neuronpedia(folder: Path) -> Iterator[partial[None]]:
    """Pages that were kept: with an explanation, without one, and one that nobody has."""
    given = NeuronpediaOptions(id="small/1-res", offline=True)
    context = {"tokens": ["I", " am", " sorry"], "values": [0.0, 0.1, 3.0]}
    pages = {
        3: Page(({"text": "farms", "kind": "oai"}, {"text": "animals"}), (context,)),
        5: Page(({"text": "commas, and <b>tags</b>"},)),
        7: Page(({"text": "ends of lines"},)),
    }
    store = Store([folder], str(LabelsKey(given.server, given.exports, "small/1-res")))
    store.add(pages)
    source, found = Neuronpedia(given, home=folder), Findings(tables={"shift.features": []})
    yield partial(check_labels, source, SaeFacts(d_sae=16), (3, 9, 7, 5), found, sae="mid")


def contexts(folder: Path) -> Iterator[partial[None]]:
    """Two contexts of one feature, one of another, none of a third."""
    ids, active = np.full((3, 2, 3), -1), np.zeros((3, 2, 3))
    values, documents = np.zeros((3, 2)), np.zeros((3, 2), dtype=np.int64)
    ids[0, 0], active[0, 0], values[0, 0] = [2, 1, 3], [0, 6, 2], 6
    ids[0, 1], active[0, 1], values[0, 1] = [-1, 1, 2], [0, 2, 0], 2
    ids[1, 0], active[1, 0], values[1, 0] = [3, 3, -1], [-1, -3, 0], -3
    documents[0] = [255, 16]
    kept = {"values": values, "documents": documents, "positions": documents + 1, "ids": ids}
    kept |= {"activations": active, "centre": np.array([1])}
    model: Any = _Words()
    found = Findings(arrays=(Arrays("near", {}, kept),), tools=Tools(models={"base": model}))
    source = Contexts(ContextsOptions(statistic="near", model="base"))
    yield partial(check_labels, source, SaeFacts(d_sae=3), (0, 1, 2), found, sae="mid")


class _Words:
    """Of a model only what writes tokens as text."""

    words = ("", " sorry", " I", "<b>")

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.words[token] for token in ids)


def file(folder: Path) -> Iterator[partial[None]]:
    """A table with text, a cluster, or both; feature 9 is not in it."""
    table = folder / "labels.csv"
    table.write_text(ROWS, encoding="utf-8")
    source = File(FileOptions(path=str(table)))
    found = Findings(tables={"shift.features": [{"sae": "mid", "feature": 3}]})
    yield partial(check_labels, source, SaeFacts(d_sae=16), (3, 9, 7, 5), found, sae="mid")
