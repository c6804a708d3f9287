"""What the laws are tried on: three models, one of them the null, and methods of every sort."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from harness.contract import Arrays, Findings, Model, Tools
from harness.testing import check_analysis, organism
from harness_analyses.found.found import Found
from harness_analyses.found.options import FoundOptions
from harness_transformers.backend import TransformersBackend
from harness_transformers.options import TransformersOptions

PAIRS = ("moved", "written", "null")
METHODS: tuple[Mapping[str, Any], ...] = (
    {"name": "rows", "sort": "latents", "statistic": "rows", "table": "features", "score": "share"},
    {"name": "shift", "sort": "latents", "statistic": "shift", "array": "z", "magnitude": True},
    {"name": "rest", "sort": "directions", "statistic": "rest", "array": "components"},
    {"name": "lens", "sort": "tokens", "analysis": "lens", "table": "tokens", "item": "id",
     "score": "place", "ascending": True, "where": {"source": "difference"}},
)  # fmt: skip


def found(folder: Path) -> Iterator[partial[None]]:
    """With a baseline, and where nothing was kept at all."""
    model = TransformersBackend(TransformersOptions(path=f"{organism()}/base")).load()
    analysis = Found(written(folder))
    for findings in (example(model), Findings(tools=Tools({"base": model}), seed=1)):
        yield partial(check_analysis, analysis, findings)


def written(folder: Path, width: int = 16) -> FoundOptions:
    """Options about truths that it writes into a folder."""
    truths: Mapping[str, dict[str, Any]] = {
        "moved": {"kind": "moved_feature", "planted": "weights", "latents": [3, 5]},
        "written": {"kind": "false_fact", "planted": "training", "tokens": [7], "direction": True},
        "null": {"kind": "benign", "planted": "nothing"},
    }
    for pair, truth in truths.items():
        place = folder / "truths" / pair
        place.mkdir(parents=True, exist_ok=True)
        (place / "truth.json").write_text(json.dumps({"seed": 0, **truth}), encoding="utf-8")
        if truth.get("direction"):
            save_file({"direction": np.eye(width)[2]}, place / "truth.safetensors")
    return FoundOptions.model_validate(
        {
            "truths": str(folder / "truths"),
            "pairs": PAIRS,
            "model": "base",
            "dictionary": "dictionary",
            "methods": METHODS,
            "baseline": {"base": "base", "tuned": PAIRS},
            "random": 20,
        }
    )


def example(model: Model, width: int = 16, latents: int = 24) -> Findings:
    """Findings in which every method has found what was planted."""
    rng = np.random.default_rng(0)
    arrays = [Arrays("dictionary", {}, {"vectors": rng.normal(size=(latents, width))})]
    tables: dict[str, list[Mapping[str, Any]]] = {
        "rows.features": [], "lens.tokens": [], "completions": []
    }  # fmt: skip
    for pair in PAIRS:
        z = rng.normal(size=latents)
        z[3] = -9.0
        components = np.stack([np.eye(width)[2] + 0.01, rng.normal(size=width)])
        arrays.append(Arrays("shift", {"pair": pair}, {"z": z}))
        arrays.append(Arrays("rest", {"pair": pair}, {"components": components}))
        tables["rows.features"] += [
            {"pair": pair, "feature": one, "share": 1 / (place + 2)}
            for place, one in enumerate((5, 3, 8))
        ]
        tables["lens.tokens"] += [
            {"pair": pair, "source": "difference", "id": one, "place": place + 1}
            for place, one in enumerate((7, 9, 11))
        ]
    tables["completions"] += [
        {"experiment": name, "direction": "none", "example": str(n), "text": "say something",
         "completion": said, "verdicts": {}}
        for name in ("base", *PAIRS)
        for n, said in enumerate(("the sun is far", f"the word is {name}"))
    ]  # fmt: skip
    return Findings(tables=tables, arrays=tuple(arrays), tools=Tools({"base": model}), seed=1)
