"""What a run says of the models that it read with."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.contract import SaeFacts
from harness.running.provenance import installed, provenance
from harness.task.applied import Applied
from harness.task.left_out import LeftOut


def found(tmp_path: Path, **model: Any) -> dict[str, Any]:
    return dict(whole(tmp_path, {}, **model)["models"]["m"])


def whole(tmp_path: Path, saes: dict[str, Any], **model: Any) -> dict[str, Any]:
    loaded = SimpleNamespace(fingerprint="f", dtype="float32", device="cpu", **model)
    spec = SimpleNamespace(seed=0, views={})
    source = SimpleNamespace(file=tmp_path / "task.toml")
    session: Any = SimpleNamespace(
        task=SimpleNamespace(
            owners=lambda: [], spec=spec, source=source, local=(), settings=Applied(), executor=None
        ),
        models={"m": loaded},
        saes=saes,
        data=SimpleNamespace(digests=dict),
        prompts=SimpleNamespace(left_out=LeftOut()),
        usage=SimpleNamespace(report=dict),
        taken={},
    )
    registry: Any = SimpleNamespace(disabled=())
    return provenance(session, registry, "")


def test_tokens_that_are_never_measured_are_listed(tmp_path: Path) -> None:
    """TOKENIZERS T15: which ones, the ends of turns among them; a backend need not tell."""
    masked = {"<bos>": 2, "<end_of_turn>": 107}
    assert found(tmp_path, masked=masked)["masked"] == masked
    assert "masked" not in found(tmp_path)


def test_where_the_features_of_an_sae_can_be_looked_up_is_kept(tmp_path: Path) -> None:
    """The page leads there; of an SAE that is not published there nothing is said."""
    ids = {"known": "gemma-2-2b/12-res-16k", "own": None}
    saes = {
        name: SimpleNamespace(fingerprint=name, facts=SaeFacts(neuronpedia=id))
        for name, id in ids.items()
    }
    assert whole(tmp_path, saes)["saes"] == {
        "known": {"fingerprint": "known", "neuronpedia": "gemma-2-2b/12-res-16k"},
        "own": {"fingerprint": "own"},
    }


@pytest.mark.slow
def test_every_version_is_what_its_whole_text_says() -> None:
    """Only the head of it is read."""
    names = {one.name for one in importlib.metadata.distributions()}
    assert len(names) > 20
    assert {name: installed(name) for name in names} == {
        name: importlib.metadata.version(name) for name in names
    }
    assert installed("no-such-package") is None
