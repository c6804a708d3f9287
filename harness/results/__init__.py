"""Reading the results of a run: what a section of the report, or a script, can build on.

`load_results(folder)` reads an earlier run; a section is given its `Results`. The functions here
answer what any reader asks of records, without knowing what a task calls its pairs and directions:

- one record: `record_name`, `null_value`, `axis_value`, `token_condition`
- records together: `named`, `grouped`, `by_axis`, `undefined_reasons`,
  `undefined_labels`, `count_range`, `common_axes`, `distinct_labels`
- sweeps and draws: `sweep_axis`, then `group_series`
- experiments: `records_by_experiment`, `experiment_scores`, `score_name`, `measured_on`, `written`,
  and `headline_tables`, the tables at the top of the report, with `headline_units`
- sites: `records_by_pair`, `sites_by_depth`, `sorted_by_depth`, `block_site`, `site_tables`;
  `PLACE_AXES` are the axes that say where a number was measured
- claims: `claim_line` and `claim_numbers` say how a claim of the task came out
- families: `family_line`, `family_numbers` and `by_chance` say how many discoveries a family has
- text: `format_number`, `format_estimate`, `format_draws`
- tables: `conclusions`, the sentences that analyses wrote; `COMPLETIONS`, the name of the table of
  completions, and `arm_axes` and `answer_of` of its rows
- intervals: `wilson` for rates, `clustered_wilson` where several trials are of one thing,
  `interval` by documents: of sums that add up over shards with `group_rows` and `replicated`, of
  what is all at hand with `replicate_weights`; `draw_weights` and `percentile_interval` for a plain
  bootstrap with `DRAWS` draws. These import numpy and scipy when they are first used, and so do
- correlations over few things: `correlate`, with `permutation_ps` of their orders and `least_p`
- discoveries among many p: `adjusted` and `discovered`

Importing this imports neither torch nor pandas.
"""

import importlib
from typing import TYPE_CHECKING, Any

# Not later: once its module of the same name was imported, that would be found here instead.
from harness.results.conclusions import conclusions as conclusions

if TYPE_CHECKING:
    from harness.contract.results import Results as Results
    from harness.results.adjust import adjusted as adjusted, discovered as discovered
    from harness.results.by_site import (
        PLACE_AXES as PLACE_AXES,
        SiteTable as SiteTable,
        block_site as block_site,
        common_axes as common_axes,
        distinct_labels as distinct_labels,
        records_by_pair as records_by_pair,
        site_tables as site_tables,
        sites_by_depth as sites_by_depth,
        sorted_by_depth as sorted_by_depth,
        token_condition as token_condition,
    )
    from harness.results.claims import claim_line as claim_line, claim_numbers as claim_numbers
    from harness.results.completions import answer_of as answer_of, arm_axes as arm_axes
    from harness.results.correlation import (
        correlate as correlate,
        least_p as least_p,
        permutation_ps as permutation_ps,
    )
    from harness.results.experiments import (
        experiment_scores as experiment_scores,
        measured_on as measured_on,
        records_by_experiment as records_by_experiment,
        score_name as score_name,
        written as written,
    )
    from harness.results.families import (
        by_chance as by_chance,
        family_line as family_line,
        family_numbers as family_numbers,
    )
    from harness.results.headline import (
        headline_tables as headline_tables,
        headline_units as headline_units,
    )
    from harness.results.intervals import (
        DRAWS as DRAWS,
        clustered_wilson as clustered_wilson,
        draw_weights as draw_weights,
        percentile_interval as percentile_interval,
        wilson as wilson,
    )
    from harness.results.numbers import (
        format_draws as format_draws,
        format_estimate as format_estimate,
        format_number as format_number,
    )
    from harness.results.read import load_results as load_results
    from harness.results.records import (
        by_axis as by_axis,
        count_range as count_range,
        grouped as grouped,
        named as named,
        null_value as null_value,
        record_name as record_name,
        undefined_labels as undefined_labels,
        undefined_reasons as undefined_reasons,
    )
    from harness.results.replicates import (
        group_rows as group_rows,
        interval as interval,
        replicate_weights as replicate_weights,
        replicated as replicated,
    )
    from harness.results.series import (
        DRAW as DRAW,
        Series as Series,
        axis_value as axis_value,
        group_series as group_series,
        sweep_axis as sweep_axis,
    )
    from harness.results.tables import COMPLETIONS as COMPLETIONS

_NAMES = {
    "harness.contract.results": "Results",
    "harness.results.adjust": "adjusted discovered",
    "harness.results.by_site": (
        "PLACE_AXES SiteTable block_site common_axes distinct_labels records_by_pair site_tables "
        "sites_by_depth sorted_by_depth token_condition"
    ),
    "harness.results.claims": "claim_line claim_numbers",
    "harness.results.completions": "answer_of arm_axes",
    "harness.results.correlation": "correlate least_p permutation_ps",
    "harness.results.experiments": (
        "experiment_scores measured_on records_by_experiment score_name written"
    ),
    "harness.results.families": "by_chance family_line family_numbers",
    "harness.results.headline": "headline_tables headline_units",
    "harness.results.intervals": "DRAWS clustered_wilson draw_weights percentile_interval wilson",
    "harness.results.numbers": "format_draws format_estimate format_number",
    "harness.results.read": "load_results",
    "harness.results.records": (
        "by_axis count_range grouped named null_value record_name undefined_labels "
        "undefined_reasons"
    ),
    "harness.results.replicates": "group_rows interval replicate_weights replicated",
    "harness.results.series": "DRAW Series axis_value group_series sweep_axis",
    "harness.results.tables": "COMPLETIONS",
}
"""What is to be had here, by its module."""
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = sorted([*_HOMES, "conclusions"])


def __getattr__(name: str) -> Any:
    """A name or a module of this package, imported when first asked for: some bring scipy."""
    home = _HOMES.get(name, f"{__name__}.{name}")
    if home not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(home)
    found = globals()[name] = getattr(module, name) if name in _HOMES else module
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
