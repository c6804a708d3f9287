"""What a task may write for `ray`; no ray is needed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness_executors.options import RayOptions


@pytest.mark.parametrize(
    "address", ["auto", "local", "10.0.0.1:6379", "ray://head.cluster:10001", "[::1]:6379"]
)
def test_addresses_that_ray_takes(address: str) -> None:
    assert RayOptions(address=address).address == address


@pytest.mark.parametrize(
    "address", ["", "head", "head:", ":6379", "head:99999", "http://head:8265", "head:0", "a b:1"]
)
def test_an_address_that_ray_would_not_take_is_told_here(address: str) -> None:
    with pytest.raises(ValidationError, match=r'must be "auto", "local", "host:6379"'):
        RayOptions(address=address)


@pytest.mark.parametrize("name", ["cpus", "gpus"])
def test_more_than_one_is_whole(name: str) -> None:
    assert RayOptions(**{name: 0.25})
    assert RayOptions(**{name: 4})
    with pytest.raises(ValidationError, match="whole number, or less than 1"):
        RayOptions(**{name: 1.5})
    with pytest.raises(ValidationError, match="whole number, or less than 1"):
        RayOptions(resources={"big": 2.5})


def test_where_the_cluster_is_belongs_to_no_number() -> None:
    assert "address" not in RayOptions(address="auto").model_dump()


def test_the_size_of_a_plan() -> None:
    assert RayOptions(workers=8).size() == 8
    assert RayOptions().size() is None
    assert not RayOptions.local
