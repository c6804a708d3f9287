"""Which tokens the preflight measures: no sinks, where the task leaves them out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fakes
from fakes.running import passed, records
from harness.contract import Site
from harness.planning.steps import FilterJob, MetricJob
from harness.running.session import Session

MakeSession = Callable[..., Session]

PREFLIGHT = "[preflight]\ndata = 'web'\nfvu = 'loss'\nalso = []\n"


def kept(session: Session, site: Site, skip: int, ratio: float) -> tuple[int, int]:
    """Tokens that are measured, and those before sinks and first ones are left out: by hand."""
    model: Any = session.model("base")
    inside, everything = 0, 0
    for prompt in session.prompts.render("@base", session.data.examples("web")):
        x = model.at(site, prompt).double().numpy()
        places = [i for i, one in enumerate(prompt.ids) if i and one not in model.masked_ids]
        everything += len(places)
        norms = np.array([np.linalg.norm(x[i]) for i in places if i >= skip])
        if not len(norms):
            continue
        # torch's median: of an even number the lower one of the two in the middle.
        inside += int((norms <= ratio * np.sort(norms)[(len(norms) - 1) // 2]).sum())
    return inside, everything


@pytest.mark.parametrize(("skip", "ratio"), [(0, 1.05), (4, 1.05), (3, 1.5)])
def test_sinks_and_first_tokens_are_left_out_of_the_preflight_too(
    session: MakeSession, skip: int, ratio: float
) -> None:
    """METHODS section 0: one token of massive norm decides any FVU, that of the preflight too."""
    made = session(f"{PREFLIGHT}skip_first = {skip}\nmax_norm_ratio = {ratio}\n")
    found = passed(made, -1)
    measured = {
        one.job.target.site: one.outcome.records[0].n
        for one in found
        if isinstance(one.job, MetricJob)
    }
    assert len(measured) == 3
    for site, n in measured.items():
        inside, everything = kept(made, site, skip, ratio)
        assert n == inside
    (share,) = [one for one in found if isinstance(one.job, FilterJob)]
    inside, everything = kept(made, made.task.sae_site("mid"), skip, ratio)
    assert inside < everything
    (record,) = share.outcome.records
    assert record.id == "dropped_share@1"
    assert record.value == pytest.approx(1 - inside / everything)
    assert (record.n, record.clusters) == (everything, len(fakes.WEB))
    assert share.job.axes == {"model": "base", "data": "web", "site": "resid_post.2"}  # type: ignore[union-attr]


def test_without_a_limit_the_preflight_measures_as_before(session: MakeSession) -> None:
    plain = session(PREFLIGHT)
    found = records(plain, level=-1)
    inside, everything = kept(plain, plain.task.sae_site("mid"), 0, 1e9)
    assert inside == everything
    assert {record.n for record in found} == {everything}
    assert all(not {"skip_first", "max_norm_ratio"} & record.options.keys() for record in found)
