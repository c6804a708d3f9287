"""Whether a fine-tune wrote something new at a site, or moved what the dictionary has words for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.contract import JSON, Axes, Findings, Outcome, Record
from harness.results import format_estimate, format_number
from harness.results.by_site import block_site, token_condition
from harness_analyses.axes import AxesKey, axes_key, without
from harness_analyses.newness.options import NewnessOptions as Options
from harness_analyses.newness.rule import KINDS, Kind, Limits, possible

ID = "newness.is@1"
ROWS, GAIN, BEYOND = (f"few_rows.{name}@1" for name in ("fvu", "gain", "beyond_random"))
POOLED, ROUNDING = "fvu_change.pooled@1", "few_rows.rounding@1"
LEFT, NEAREST = "change_rest.share@1", "change_rest.max_abs_cosine@1"
WOKEN = "change_latents.woken@1"
_TELLING: tuple[Kind, ...] = ("new", "repurposed", "diffuse", "undecided")
"""The order of the sentences, which is the order of the answer."""
_BESIDE = {"left": LEFT, "nearest": NEAREST, "woken": WOKEN}
"""Numbers that stand beside and decide nothing."""
_VARIED = ("data", "rows", "k", "pc", "top", "statistic")
"""Axes in which the numbers of one site differ."""


@dataclass(frozen=True)
class _Site:
    """One pair, site and SAE, with the records that decide and those that stand beside."""

    axes: Axes
    found: Mapping[str, Record | None]
    """`first`, `gain`, `beyond`, `fvu`, `rounding`: None where there is no such record."""
    beside: Mapping[str, Record | None]


class Newness:
    """Concludes for each site what a fine-tune did: repurposed, new, diffuse, or undecided.

    | conclusion | in words |
    |---|---|
    | *repurposed* | the dictionary has words for what changed: features moved |
    | *new* | one direction leads the change, and the dictionary has no word for it |
    | *diffuse* | many directions changed, and few rows do not say how |
    | *undecided* | the intervals allow more than one of these, or the change may be rounding |

    The rule, with F = `fvu_change.pooled`, P = 1 − `few_rows.fvu` of one component (the share of
    the first principal component of the change), G = `few_rows.gain` and B =
    `few_rows.beyond_random`, both at `k` rows:

    1. Undecided where `few_rows.rounding` ≥ `noise`.
    2. P ≥ `low_rank`, one direction leads: repurposed where G ≥ `said`; new where G ≤ `unsaid` and
       F > `missed`; else undecided.
    3. Otherwise: repurposed where B ≥ `said` or F ≤ `missed`; else diffuse.

    The conclusion holds where every combination of lower end, value and upper end of these numbers
    gives the same; otherwise it is undecided, and `could_be` names the others. Where one of them
    has no interval, it is undecided, too. It is about this SAE, this site and this text: *new*
    means that *this* dictionary has no word. A trained fine-tune that mostly shifts the mean may be
    *new* as well, and truly so: a direction was written. Thresholds were fixed on planted changes
    of three seeds, and tried on ten others (docs/report.md).

    Records: `newness.is@1`, 1 or 0, with the axis `kind`, one for each of the four. Its interval is
    what it takes on over all those combinations: [1, 1] where they agree. Undefined where a number
    is missing or undefined, as between identical models.

    Table `newness`: a row for each site, with a sentence (`verdict`), the numbers, and beside them
    what decides nothing: `left`, the first component's share of what the SAE leaves of the change;
    `nearest`, its largest |cos| with a decoder row; `woken`, how many latents woke.

    Source: METHODS 2, section 5; the rule is of our own making.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._limits = Limits(
            options.low_rank, options.said, options.unsaid, options.missed, options.noise
        )

    def run(self, findings: Findings) -> Outcome:
        """Decides for every site at which few rows were tried."""
        sites = list(self._sites(findings.records))
        if not sites:
            why = (
                f"no few_rows.gain with k = {self.options.k} was measured: add the statistic "
                "few_rows, and fvu_change as a metric, on the same pair and SAE"
            )
            return Outcome(tuple(self._records({}, why, None, ())))
        records: list[Record] = []
        rows = []
        for site in sites:
            lacks = _missing(site, self.options.k)
            kinds = () if lacks else possible(site.found, self._limits)
            sure = not lacks and len(kinds) == 1 and _unsure(site) is None
            kind: Kind = kinds[0] if sure else "undecided"
            records += self._records(site.axes, lacks, site.found["gain"], kinds, kind, sure)
            rows.append(self._row(site, lacks, kinds, kind, sure))
        rows.sort(key=lambda row: _TELLING.index(row["conclusion"]))
        return Outcome(tuple(records), {"newness": rows})

    def _sites(self, records: Sequence[Record]) -> Iterator[_Site]:
        wanted = [record for record in records if self._wanted(record)]
        by_key: dict[tuple[str, AxesKey], list[Record]] = {}
        for record in wanted:
            place = axes_key(without(record.axes, _VARIED))
            by_key.setdefault((record.id, place), []).append(record)
        for (name, key), found in by_key.items():
            if name != GAIN:
                continue
            data = found[0].axes.get("data")
            one = {short: _only(by_key.get((id, key), [])) for short, id in _NAMES.items()}
            pooled = one["fvu"]
            axes: dict[str, JSON] = dict(key)
            if data is not None:
                axes["data"] = data
            if data is None and pooled is not None and "data" in pooled.axes:
                axes["data"] = pooled.axes["data"]
            decisive = {"first": _complement(one["rows"])} | {
                short: one[short] for short in ("gain", "beyond", "fvu", "rounding")
            }
            yield _Site(axes, decisive, {short: one[short] for short in _BESIDE})

    def _wanted(self, record: Record) -> bool:
        """Whether a record is one of the numbers of a site, on all tokens, of a chosen pair."""
        pairs, axes = self.options.pairs, record.axes
        if token_condition(record) or (pairs is not None and axes.get("pair") not in pairs):
            return False
        if record.id in (GAIN, BEYOND):
            return axes.get("k") == self.options.k
        if record.id == ROWS:
            return axes.get("k") == 1 and axes.get("rows") == "components"
        if record.id in (LEFT, NEAREST):
            return axes.get("pc") == 1
        return record.id in (POOLED, ROUNDING, WOKEN)

    def _records(
        self,
        axes: Axes,
        why: str | None,
        of: Record | None,
        kinds: Sequence[Kind],
        kind: Kind = "undecided",
        sure: bool = False,
    ) -> Iterator[Record]:
        options = self.options.model_dump(mode="json")
        for one in KINDS:
            among = one in kinds or one == kind
            yield Record(
                ID,
                None if why else float(one == kind),
                n=0 if of is None else of.n,
                n_of="tokens",
                unit="yes or no",
                options=options,
                clusters=None if of is None else of.clusters,
                ci=None if why else (float(sure and one == kind), float(among)),
                ci_why=why,
                undefined=why,
                axes={**axes, "kind": one},
            )

    def _row(
        self, site: _Site, why: str | None, kinds: Sequence[Kind], kind: Kind, sure: bool
    ) -> dict[str, Any]:
        numbers = {
            name: None if record is None else record.value
            for name, record in {**site.found, **site.beside}.items()
        }
        where = _where(site.axes)
        unsure = why or _unsure(site)
        if why or (not sure and unsure):
            said = f"undecided at {where}: {unsure}"
        elif not sure:
            named = " or ".join(one for one in kinds if one != "undecided") or "any of them"
            said = f"undecided at {where}, it could be {named}: {self._reasons(site)}"
        else:
            said = f"{kind} at {where}: {self._reasons(site)}"
        return {
            **{name: site.axes.get(name) for name in ("pair", "data", "domain", "site", "sae")},
            "conclusion": kind,
            "could_be": ", ".join(one for one in kinds if one != kind),
            "k": self.options.k,
            **numbers,
            "verdict": said,
        }

    def _reasons(self, site: _Site) -> str:
        """The numbers that decided, in words."""
        first, gain, beyond, fvu = (site.found[name] for name in ("first", "gain", "beyond", "fvu"))
        rounding, k = site.found["rounding"], self.options.k
        assert first is not None
        assert fvu is not None
        assert beyond is not None
        if rounding is not None and (rounding.value or 0) >= self.options.noise:
            share = format_number(rounding.value)
            return f"the rounding of its activations may make {share} of the change"
        missed = f"the SAE's own latents miss {format_estimate(fvu)} of it"
        led = f"its first direction carries {format_estimate(first)} of the change"
        if (first.value or 0) >= self.options.low_rank and gain is not None:
            rows = f"{k} decoder rows gain {format_estimate(gain)} on random ones, of at most 1"
        else:
            rows = f"{k} decoder rows say {format_estimate(beyond)} of what random ones leave"
        return f"{led}, {rows}; {missed}"


_NAMES = {
    "gain": GAIN,
    "beyond": BEYOND,
    "rows": ROWS,
    "fvu": POOLED,
    "rounding": ROUNDING,
    **_BESIDE,
}


def _only(records: Sequence[Record]) -> Record | None:
    """The record, where there is one, or several of one value; None where they differ."""
    if not records or len({(record.value, record.n) for record in records}) > 1:
        return None
    return records[0]


def _complement(record: Record | None) -> Record | None:
    """1 − the value, with its interval turned round: what one component says."""
    if record is None or record.value is None:
        return record
    ci = None if record.ci is None else (1 - record.ci[1], 1 - record.ci[0])
    return replace(record, value=1 - record.value, ci=ci)


def _missing(site: _Site, k: int) -> str | None:
    """Why nothing can be concluded: a number that is not there, or is undefined."""
    told = {
        "fvu": "fvu_change.pooled was not measured there, or several times: add the metric "
        "fvu_change once, on the same pair",
        "first": "few_rows has no k = 1: add 1 to its k, for the share of the first component",
        "beyond": f"few_rows.beyond_random with k = {k} was measured several times",
        "gain": f"few_rows.gain with k = {k} was measured several times",
    }
    for name, none in told.items():
        record = site.found[name]
        if record is None:
            return none
        # A change in many directions has no gain, and needs none.
        if record.value is None and name != "gain":
            return f"{record.id.partition('@')[0]} is undefined: {record.undefined}"
    return None


def _unsure(site: _Site) -> str | None:
    """Why a number is not known well enough: it has no interval."""
    for name, record in site.found.items():
        if record is not None and record.value is not None and record.ci is None:
            # A gain may be undefined in some draws, which `possible` knows; rounding is exact.
            if name in ("gain", "rounding"):
                continue
            return f"{record.id.partition('@')[0]} has no interval: {record.ci_why}"
    return None


def _where(axes: Axes) -> str:
    """The place in words: `layer 3 of web` for a block's output, other sites by their names."""
    site = block_site(axes.get("site"))
    place = f"layer {site.layer}" if site and site.kind == "resid_post" else str(axes.get("site"))
    return f"{place} ({axes.get('pair')}, {axes.get('sae')})"
