"""What the laws are tried on: fits of an SAE, and how far two sides are apart."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.contract import JSON, Findings, Record
from harness.testing import check_analysis
from harness_analyses.sae_fit.fvu_settings import FvuSettings
from harness_analyses.sae_fit.hidden_shift import HiddenShift
from harness_analyses.sae_fit.options import FvuSettingsOptions, HiddenShiftOptions

SETTINGS = {
    "base": {"view": "base", "data": "web"},
    "other_data": {"view": "base", "data": "chats"},
    "other_model": {"view": "chat", "data": "chats"},
}


def fvu_settings(folder: Path) -> Iterator[partial[None]]:
    """All three settings, and one that is undefined."""
    analysis = FvuSettings(FvuSettingsOptions.model_validate(SETTINGS))
    for values in ((0.2, 0.3, 0.5), (0.2, None, 0.5)):
        pairs = zip(values, SETTINGS.values(), strict=True)
        records = [_record("fvu.pooled@1", value, **where) for value, where in pairs]
        yield partial(check_analysis, analysis, Findings(records=tuple(records)))


def hidden_shift(folder: Path) -> Iterator[partial[None]]:
    """A shift that the dense cosine does not show, one that it shows, and none."""
    analysis = HiddenShift(HiddenShiftOptions())
    for cosine, overlap in ((0.97, 0.41), (0.8, 0.41), (0.97, 0.9)):
        values = {
            "cosine.raw@1": cosine,
            "latent_overlap.topk@1": overlap,
            "l1_divergence.normalized@1": 0.4,
        }
        records = [_record(id, value, pair="p", data="web") for id, value in values.items()]
        yield partial(check_analysis, analysis, Findings(records=tuple(records)))


def _record(id: str, value: float | None, **axes: JSON) -> Record:
    where: dict[str, JSON] = {"site": "resid_post.3", "sae": "mid"}
    return Record(
        id,
        value,
        100,
        "tokens",
        "ratio",
        clusters=12,
        ci=None if value is None else (value - 0.02, value + 0.02),
        ci_why="the activations are constant" if value is None else None,
        undefined="the activations are constant" if value is None else None,
        axes={**where, **axes},
    )
