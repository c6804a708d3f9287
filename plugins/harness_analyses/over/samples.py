"""What the laws are tried on: a number that falls with sparsity, and one that does not."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from harness.contract import Findings, Record, SaeFacts
from harness.contract.sites import parse_site
from harness.testing import check_analysis
from harness_analyses.over.correlation_over import CorrelationOver
from harness_analyses.over.options import CorrelationOverOptions

SPARSITIES = {"a": 13, "b": 22, "c": 37, "d": 63, "e": 109}


def correlation_over(folder: Path) -> Iterator[partial[None]]:
    """Against a record, and against the layer of each SAE."""
    y = {"id": "sts.correlation.pearson", "where": {"analysis": "transfer"}}
    records = tuple(
        record
        for sae, l0 in SPARSITIES.items()
        for record in (
            Record("l0@1", float(l0), 99, "tokens", "latents", ci_why="few", axes={"sae": sae}),
            Record(
                "sts.correlation.pearson@1", 0.8 - l0 / 500, 14, "domains", "coefficient",
                ci=(-1.0, 1.0), axes={"sae": sae, "analysis": "transfer"},
            ),
        )
    )  # fmt: skip
    saes = {
        sae: SaeFacts(d_in=4, d_sae=l0 * 10, site=parse_site(f"resid_post.{place}"))
        for place, (sae, l0) in enumerate(SPARSITIES.items())
    }
    for x in ({"id": "l0"}, "layer", "axis"):
        given = CorrelationOverOptions.model_validate({"over": "sae", "x": x, "y": y})
        yield partial(check_analysis, CorrelationOver(given), Findings(records, saes=saes))
