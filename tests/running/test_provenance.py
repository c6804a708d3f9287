"""What a run says of the models that it read with."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.running.provenance import provenance
from harness.task.applied import Applied
from harness.task.left_out import LeftOut


def found(tmp_path: Path, **model: Any) -> dict[str, Any]:
    loaded = SimpleNamespace(fingerprint="f", dtype="float32", device="cpu", **model)
    spec = SimpleNamespace(seed=0, views={})
    source = SimpleNamespace(file=tmp_path / "task.toml")
    session: Any = SimpleNamespace(
        task=SimpleNamespace(
            owners=lambda: [], spec=spec, source=source, local=(), settings=Applied(), executor=None
        ),
        models={"m": loaded},
        saes={},
        data=SimpleNamespace(digests=dict),
        prompts=SimpleNamespace(left_out=LeftOut()),
        usage=SimpleNamespace(report=dict),
        taken={},
    )
    registry: Any = SimpleNamespace(disabled=())
    return dict(provenance(session, registry, "")["models"]["m"])


def test_tokens_that_are_never_measured_are_listed(tmp_path: Path) -> None:
    """TOKENIZERS T15: which ones, the ends of turns among them; a backend need not tell."""
    masked = {"<bos>": 2, "<end_of_turn>": 107}
    assert found(tmp_path, masked=masked)["masked"] == masked
    assert "masked" not in found(tmp_path)
