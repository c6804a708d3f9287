"""The contract only grows: what of 1.0 was published is there, with the same signature."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.contract import CONTRACT
from surface import FILE, IMPLEMENTED, Surface, broken, grown, surface

CONTRACT_1_0: Surface = json.loads(FILE.read_text("utf-8"))


def test_nothing_of_the_published_contract_is_gone_or_changed() -> None:
    gone = list(broken(CONTRACT_1_0, surface()))
    assert not gone, (
        "Published plugins rely on this (docs/plugins.md, Versions); the contract only grows "
        f"within {CONTRACT.partition('.')[0]}.x:\n" + "\n".join(gone)
    )


def test_the_surface_is_the_same_in_every_process() -> None:
    assert " at 0x" not in FILE.read_text("utf-8")
    assert len(CONTRACT_1_0) > 120
    assert CONTRACT_1_0["harness.contract.Latents"]["methods"]["from_dense"]["is"] == "classmethod"
    assert CONTRACT_1_0["harness.testing.check_metric"]["parameters"][1]["passed"] == (
        "variadic positional"
    )


Change = Callable[[Surface], Any]


def lacking(*path: str) -> Change:
    """Takes away what stands at a place."""

    def change(one: Any) -> None:
        for key in path[:-1]:
            one = one[key]
        del one[path[-1]]

    return change


def setting(value: Any, *path: Any) -> Change:
    """Puts something at a place."""

    def change(one: Any) -> None:
        for key in path[:-1]:
            one = one[key]
        one[path[-1]] = value

    return change


def both(*changes: Change) -> Change:
    return lambda one: [change(one) for change in changes]


RECORD, METRIC, CHECK = (
    f"harness.{name}" for name in ("contract.Record", "contract.Metric", "testing.check_metric")
)
KIND = "harness.contract.Kind"
NEW = {"name": "more", "passed": "keyword-only", "type": "int", "default": "required"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lacking(RECORD), "contract.Record is gone"),
        (lacking(RECORD, "fields", "unit"), "contract.Record.unit is gone"),
        (setting("bytes", RECORD, "fields", "unit", "type"), "unit was str and is bytes"),
        (setting("float", RECORD, "fields", "value", "type"), "was float | None and is float"),
        (setting("3", RECORD, "fields", "ci", "default"), "ci had the default None and has 3"),
        (setting("required", RECORD, "fields", "ci", "default"), "default None and has required"),
        (
            setting({"type": "int", "default": "required"}, RECORD, "fields", "more"),
            "more is new and has no default",
        ),
        (lambda one: one[RECORD]["order"].insert(1, "more"), "fields stand in another order"),
        (lambda one: one[RECORD]["order"].reverse(), "fields stand in another order"),
        (lacking(RECORD, "methods", "on"), "Record.on is gone"),
        (lacking(METRIC, "methods", "sums"), "Metric.sums is gone"),
        (lambda one: one[METRIC]["methods"]["sums"]["parameters"].pop(), "side is gone"),
        (lambda one: one[METRIC]["methods"]["sums"]["parameters"].reverse(), "another place"),
        (
            lambda one: one[METRIC]["methods"].update(more=one[METRIC]["methods"]["sums"]),
            "Metric.more is new, and published plugins do not have it",
        ),
        (lambda one: one[CHECK]["parameters"].append(NEW), "more is new and has no default"),
        (setting("1e-9", CHECK, "parameters", 4, "default"), "default 1e-06 and has 1e-9"),
        (lambda one: one[KIND]["values"].remove("'labels'"), "Kind no longer has 'labels'"),
        (setting("class", KIND, "is"), "was a type and is a class"),
    ],
)
def test_what_is_taken_away_or_changed_is_named(change: Change, said: str) -> None:
    now = copy.deepcopy(CONTRACT_1_0)
    change(now)
    assert any(said in one for one in broken(CONTRACT_1_0, now)), list(broken(CONTRACT_1_0, now))


@pytest.mark.parametrize(
    "change",
    [
        setting({"is": "value", "type": "int"}, "harness.contract.NOVELTY"),
        lambda one: one[KIND]["values"].append("'observer'"),
        both(
            setting({"type": "int", "default": "0"}, RECORD, "fields", "more"),
            lambda one: one[RECORD]["order"].append("more"),
        ),
        lambda one: one[CHECK]["parameters"].append({**NEW, "default": "0"}),
        setting("float | int | None", RECORD, "fields", "value", "type"),
        lambda one: one[RECORD]["methods"].update(more=one[RECORD]["methods"]["on"]),
    ],
    ids=["a name", "a kind", "a field", "a parameter", "a wider type", "a method"],
)
def test_what_is_added_passes(change: Change) -> None:
    now = copy.deepcopy(CONTRACT_1_0)
    change(now)
    assert now != CONTRACT_1_0
    assert list(broken(CONTRACT_1_0, now)) == []


@pytest.mark.parametrize(
    ("old", "new", "fine"),
    [
        ("int", "int | None", True),
        ("int | None", "int", False),
        ('Literal["a", "b"]', 'Literal["b", "a", "c"]', True),
        ('Literal["a", "b"]', 'Literal["a"]', False),
        ("Mapping[str, int | None]", "Mapping[str, int]", False),
        ("tuple[int, ...]", "tuple[int, ...] | None", True),
    ],
)
def test_a_type_may_become_wider(old: str, new: str, fine: bool) -> None:
    assert grown(old, new) is fine


def test_protocols_that_plugins_implement_get_no_new_members() -> None:
    assert "harness.contract.Section" in IMPLEMENTED
    assert "harness.contract.Side" not in IMPLEMENTED, "the core implements it"
