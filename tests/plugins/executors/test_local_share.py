"""How devices and cores are divided: nothing is left over, nothing is given twice."""

from __future__ import annotations

import os
from itertools import product

import pytest

from harness_executors import local_share
from harness_executors.local_share import THREADS, VISIBLE, Share, kept_to, named_devices, shares
from harness_executors.options import LocalOptions


def test_devices_are_divided_without_rest() -> None:
    for devices, workers in product(range(9), range(1, 10)):
        case = f"{devices} devices, {workers} workers"
        names = [f"gpu{number}" for number in range(devices)]
        found = shares(names, workers, 16)
        assert len(found) == workers, case
        given = [name for share in found for name in share.devices]
        if devices >= workers:
            assert given == names, case  # each once, side by side, the first ones to the head
            sizes = [len(share.devices) for share in found]
            assert max(sizes) - min(sizes) <= 1, case
        elif devices:
            assert [len(share.devices) for share in found] == [1] * workers, case
            uses = [given.count(name) for name in names]
            assert max(uses) - min(uses) <= 1, case
        else:
            assert given == [], case
        assert found[0].devices[:1] == tuple(names[:1]), case
        assert {share.threads for share in found} == {max(1, 16 // workers)}, case


@pytest.mark.parametrize(
    ("preset", "count", "expected"),
    [
        (None, 0, ()),
        (None, 3, ("0", "1", "2")),
        ("", 0, ()),
        ("2,5", 2, ("2", "5")),
        (" 2 , 5 ", 2, ("2", "5")),
        ("GPU-aa,GPU-bb", 2, ("GPU-aa", "GPU-bb")),
        ("1,-1,2", 1, ("1",)),  # CUDA stops reading where a name is none
        ("MIG-a,MIG-b,MIG-c", 1, ("MIG-a", "MIG-b", "MIG-c")),  # CUDA shows a process one slice
        ("MIG-a", 0, ()),  # torch for CPUs
    ],
)
def test_devices_keep_the_names_that_they_were_given(
    preset: str | None, count: int, expected: tuple[str, ...]
) -> None:
    assert named_devices(preset, count) == expected


def test_a_share_says_what_the_environment_of_its_process_has() -> None:
    assert Share(("MIG-a", "MIG-b"), 4).variables() == {VISIBLE: "MIG-a,MIG-b", THREADS: "4"}
    assert Share((), None).variables() == {}


def test_the_head_keeps_to_its_share_and_is_then_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    before = torch.get_num_threads()
    for preset in (None, "4,5,6,7"):
        monkeypatch.delenv(VISIBLE, raising=False)
        if preset is not None:
            monkeypatch.setenv(VISIBLE, preset)
        with kept_to(Share(("4", "5"), before + 1), ("4", "5", "6", "7")) as able:
            assert able
            assert os.environ[VISIBLE] == "4,5"
            assert torch.get_num_threads() == before + 1
        assert os.environ.get(VISIBLE) == preset
        assert torch.get_num_threads() == before


def test_where_cuda_is_awake_the_head_cannot_be_kept_to_its_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.delenv(VISIBLE, raising=False)
    with kept_to(Share(("0",), None), ("0", "1")) as able:
        assert not able
        assert VISIBLE not in os.environ
    with kept_to(Share(("0",), None), ("0",)) as able:
        assert able


@pytest.mark.parametrize(("there", "size"), [(True, None), (False, 1)])
def test_a_plan_knows_the_size_where_no_device_can_be(
    there: bool, size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness_executors.options.may_have_devices", lambda: there)
    assert LocalOptions().size() == size
    assert LocalOptions(workers=3).size() == 3


def test_threads_that_a_person_has_set_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS, "3")
    assert local_share.threads_here() is None
    assert Share((), None).variables() == {}
    monkeypatch.delenv(THREADS)
    assert (local_share.threads_here() or 0) >= 1
