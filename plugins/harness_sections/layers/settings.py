"""The settings in which Feature Drift measures an SAE: which text, and which model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.contract import Axes

SETTINGS: Mapping[str, str] = {
    "base": "own model, own text",
    "other_data": "other text",
    "other_model": "other model",
}
"""The settings of the analysis, seen from the SAE: B-LLM + B-Data, B-LLM + C-Data and C-LLM +
C-Data of Feature Drift, whose SAEs are the base model's."""


def is_in(axes: Axes, setting: Mapping[str, Any]) -> bool:
    """Whether a number with these axes was measured in a setting of the analysis."""
    extra = setting.get("axes")
    wanted = {key: setting.get(key) for key in ("view", "data", "pair")}
    wanted |= extra if isinstance(extra, Mapping) else {}
    return all(value is None or axes.get(key) == value for key, value in wanted.items())
