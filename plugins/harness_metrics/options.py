"""Options of the metrics. No torch here."""

from __future__ import annotations

from typing import ClassVar

from harness.contract import MetricOptions


class Fvu(MetricOptions):
    """Fraction of variance unexplained, with the mean over all evaluated tokens."""

    paired: ClassVar[bool] = False
    on_sae: ClassVar[bool] = True


class L0(MetricOptions):
    """Mean number of active latents per token."""

    paired: ClassVar[bool] = False
    on_sae: ClassVar[bool] = True


class Cosine(MetricOptions):
    """Mean cosine between both sides; of latents too where there is an SAE."""

    paired: ClassVar[bool] = True
    on_sae: ClassVar[bool] = False
