"""How much worse an SAE gets on other text and in another model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.contract import Axes, Findings, Outcome, Record
from harness.results.records import grouped, named
from harness_analyses.axes import AxesKey, axes_key, without
from harness_analyses.sae_fit.options import FvuSettingsOptions as Options, Setting
from harness_statistics.records import number

DEGRADATION, RELATIVE = "fvu.degradation@1", "fvu.degradation_relative@1"


_STEPS = {
    "data": ("base", "other_data"),
    "model": ("other_data", "other_model"),
    "both": ("base", "other_model"),
    "ceiling": ("ceiling", "other_model"),
}
"""The settings that each step compares: where it starts, and where it ends."""


class FvuSettings:
    """Computes how much worse an SAE gets on other text, in another model, and in both.

    From the records of `fvu`, for every site and SAE (and category) in three settings: the SAE's
    own model on its own text (B-LLM + B-Data), the same model on other text (B-LLM + C-Data), the
    other model there (C-LLM + C-Data).

    | record | formula | axis `step` |
    |---|---|---|
    | `fvu.degradation@1` | `FVU_end − FVU_start` | `data`, `model`, `both`, `ceiling` |
    | `fvu.degradation_relative@1` | `(FVU_end − FVU_start) / (1 − FVU_start)` | the same |

    The first is in points of FVU (0.05 is five percentage points), the second a share of the
    variance that was explained at the start. `data` goes from the first setting to the second,
    `model` from the second to the third, `both` from the first to the third. `ceiling` starts from
    another SAE's FVU in the third setting, at the same site: one that was trained for it.

    The difference's interval is made of both FVUs' own, `√` of the squared distances to their ends
    (MOVER; Zou and Donner 2008): right where the texts differ, too wide where they are the same.
    The relative one has none. Undefined where an FVU is missing or undefined; the relative one
    also where nothing was explained at the start. A table `fvu_settings` has the FVUs side by side.

    Source: Feature Drift, section 3, which does not say which of the two it means; METHODS 1.
    """

    def __init__(self, options: Options) -> None:
        self.options = options

    def run(self, findings: Findings) -> Outcome:
        """Finds the FVUs of every setting; makes the degradation of every step, and the table."""
        settings, ceiling = ("base", "other_data", "other_model"), self.options.ceiling
        found = {name: self._measured(findings.records, name) for name in settings}
        keys = list(dict.fromkeys(key for records in found.values() for key in records))
        if ceiling is not None:
            keys = [key for key in keys if dict(key).get("sae") != ceiling]
            there = {key: axes_key({**dict(key), "sae": ceiling}) for key in keys}
            best = found["other_model"]
            found["ceiling"] = {key: best[own] for key, own in there.items() if own in best}
        records: list[Record] = []
        rows = []
        for key in keys or [()]:
            mine = {name: self._one(found[name].get(key, []), name) for name in found}
            steps = [step for step, (start, _) in _STEPS.items() if start in found]
            made = [record for step in steps for record in self._degradations(step, mine, key)]
            records += made
            if keys:
                rows.append(_row(key, mine, made))
        return Outcome(tuple(records), {"fvu_settings": rows} if rows else {})

    def _setting(self, name: str) -> Setting:
        setting: Setting = getattr(self.options, "other_model" if name == "ceiling" else name)
        return setting

    def _measured(self, records: Sequence[Record], name: str) -> dict[AxesKey, list[Record]]:
        setting = self._setting(name)
        fixed = {"pair", *setting.selects()}
        of = named(records, f"fvu.{self.options.variant}")
        mine = [record for record in of if setting.matches(record.axes)]
        return grouped(mine, lambda record: axes_key(without(record.axes, fixed)))

    def _one(self, records: Sequence[Record], name: str) -> Record | str:
        """The FVU of a setting, or why there is none."""
        setting = self._setting(name)
        if not records:
            sae = f" with SAE {self.options.ceiling}" if name == "ceiling" else ""
            return f"no FVU was measured at {setting}{sae}"
        first = records[0]
        if any((r.value, r.n) != (first.value, first.n) for r in records):
            return f"several different FVUs were measured at {setting}: name the pair"
        if first.value is None:
            return f"the FVU at {setting} is undefined: {first.undefined}"
        return first

    def _degradations(
        self, step: str, found: Mapping[str, Record | str], key: AxesKey
    ) -> Iterator[Record]:
        start, end = (found[setting] for setting in _STEPS[step])
        axes = {**dict(key), "step": step}
        options = self.options.model_dump(mode="json")
        common: dict[str, Any] = {"options": options, "axes": axes, "n_of": "tokens"}
        common["null"] = {"kind": "identical", "value": 0.0}
        if isinstance(start, str) or isinstance(end, str):
            why = start if isinstance(start, str) else str(end)
            for id, unit in ((DEGRADATION, "ratio"), (RELATIVE, "share")):
                yield number(id, None, why, ci_why=why, n=0, unit=unit, **common)
            return
        assert start.value is not None
        assert end.value is not None
        difference = end.value - start.value
        common |= {"n": end.n, "clusters": end.clusters}
        ci, why_none = _interval(start, end)
        yield Record(DEGRADATION, difference, unit="ratio", ci=ci, ci_why=why_none, **common)
        explained = 1 - start.value
        nothing = f"the SAE explains nothing at {self._setting(_STEPS[step][0])}"
        yield number(
            RELATIVE,
            difference / explained if explained > 0 else None,
            None if explained > 0 else nothing,
            unit="share",
            ci_why="a ratio of two FVUs; see their own intervals",
            **common,
        )


def _interval(start: Record, end: Record) -> tuple[tuple[float, float] | None, str | None]:
    """The interval of end − start from the intervals of both (MOVER), or why there is none."""
    if start.ci is None or end.ci is None:
        without_one = start if start.ci is None else end
        return None, f"an FVU that it is made of has none: {without_one.ci_why}"
    assert start.value is not None
    assert end.value is not None
    difference = end.value - start.value
    below = math.hypot(end.value - end.ci[0], start.ci[1] - start.value)
    above = math.hypot(end.ci[1] - end.value, start.value - start.ci[0])
    return (difference - below, difference + above), None


def _row(
    key: AxesKey, found: Mapping[str, Record | str], made: Sequence[Record]
) -> dict[str, str | float | None]:
    axes: Axes = dict(key)
    row: dict[str, Any] = {name: axes.get(name) for name in ("site", "sae", "domain")}
    for name, record in found.items():
        row[f"fvu_{name}"] = None if isinstance(record, str) else record.value
    for record in made:
        kind = "relative" if record.id == RELATIVE else "points"
        row[f"{record.axes['step']}_{kind}"] = record.value
    return row
