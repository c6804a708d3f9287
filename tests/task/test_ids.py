"""A gate on a number that nothing in the task measures is said by `check`."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from fakes.tasks import only
from harness.registry import discover
from harness.task import ids
from harness.task.gates import parse
from harness.task.ids import measurable, unmeasured
from harness.task.load import load_for_command

Problems = Callable[..., list[str]]
MEAN = "[metrics.mean]\nview = 'base'\ndata = 'web'\nsites = ['resid_post.1']\n"


def test_a_gate_on_an_id_that_nothing_measures_is_a_problem(
    problems: Problems, task: Callable[..., object]
) -> None:
    """CASES row 27: it passed `check` and failed after the run."""
    assert task(MEAN + "[gates.g]\nassert = 'mean.mean > 0'\n")
    assert task(MEAN + "[gates.g]\nassert = 'mean.mean@1 > 0'\n")
    wrong = r"gates\.g\.assert: nothing in this task measures "
    only(problems(MEAN + "[gates.g]\nassert = 'mean.maen > 0'\n"), wrong + r"mean\.maen, ")
    only(problems(MEAN + "[gates.g]\nassert = 'edit.chekc > 0'\n"), "Did you mean edit.check")
    only(problems(MEAN + "[gates.g]\nassert = 'mean.mean@7 > 0'\n"), r"There is …\.mean@1")


@pytest.mark.parametrize("name", ["drift", "mechanism"])
def test_what_is_measured_by_another_metric_of_the_same_plugin_is_not_enough(name: str) -> None:
    """Both tasks use harness_metrics; what each may measure is told by its own components."""
    registry = discover()
    found = measurable(load_for_command(registry, name).owners())
    known = {"fvu.pooled": True, "flip_rate.token": name == "mechanism", "kl.x": name == "drift"}
    told = {id: not unmeasured(parse("g", f"{id} > 0"), found) for id in known}
    assert told == known


@pytest.mark.parametrize("name", ["refusal", "drift", "transfer"])
def test_looking_near_first_finds_what_looking_everywhere_does(name: str) -> None:
    owners = load_for_command(discover(), name).owners()
    known = measurable(owners).ids
    assert known
    plain = {one for one in known if "\0" not in one}
    asked = {*plain, *(one.partition("@")[0] + "@" for one in plain), *(f"{p}x" for p in plain)}
    asked |= {one.replace(".", ".un", 1) for one in plain}
    forms = [re.compile(".*".join(map(re.escape, one.split("\0")))) for one in known]
    forms += [
        re.compile(".*".join(map(re.escape, f"{one.rpartition('@')[0]}@".split("\0"))))
        for one in known
    ]
    for wanted in asked:
        given = any(form.fullmatch(wanted) for form in forms[: len(known)])
        given |= wanted.endswith("@") and any(
            form.fullmatch(wanted) for form in forms[len(known) :]
        )
        assert measurable(owners).gives(wanted) == given, wanted


def test_an_id_is_found_without_reading_every_source(monkeypatch: pytest.MonkeyPatch) -> None:
    owners = load_for_command(discover(), "refusal").owners()
    read: list[bytes] = []
    source_of = ids._source_of

    def counted(content: bytes) -> ids._Source:
        read.append(content)
        return source_of(content)

    monkeypatch.setattr(ids, "_source_of", counted)
    ids._read.cache_clear()
    assert measurable(owners).gives("safety_score@")
    assert len(read) == 1
