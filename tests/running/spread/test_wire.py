"""What travels comes back as it was, to the bit; what may not travel is refused by name."""

from __future__ import annotations

import math
import pickle
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as arrays

from harness.contract import (
    Completion,
    Direction,
    Found,
    Receipt,
    Record,
    Site,
    Stream,
    Tokens,
    Undefined,
)
from harness.errors import MachineError, PluginError
from harness.running.spread.wire import MAGIC, pack, unpack

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
ARRAYS = arrays.arrays(
    st.sampled_from([np.float64, np.float32, np.int64, np.uint8, np.bool_, np.dtype("<U3")]),
    arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
KEYS = st.text() | st.integers() | st.tuples(st.text(), st.integers())
VALUES = st.recursive(
    PLAIN | ARRAYS | st.binary() | st.lists(st.integers(), min_size=15, max_size=18),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(KEYS, inner, max_size=4)
    ),
    max_leaves=12,
)


def equal(left: Any, right: Any) -> bool:
    """Equal in type and to the bit."""
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and (
            left.tobytes() == right.tobytes()
        )  # fmt: skip
    if isinstance(left, dict):
        return equal(list(left.items()), list(right.items()))
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )  # fmt: skip
    return bool(left == right)


@pytest.mark.slow
@given(VALUES)
def test_values_come_back_as_they_were(value: Any) -> None:
    assert equal(unpack(pack(value)), value)


OURS = [
    Tokens("e", tuple(range(40)), (0, 40), "text", arm=2, query="q", copies=1),
    Direction(
        Site("resid_post", 3),
        np.array([[1.0, -0.0, 1e-320]]),
        features=(1,),
        weights=(0.5,),
        readers=np.array([[1.0, 2.0, -0.0]]),
    ),
    Undefined("there is none"),
    Completion("a \udce4 b", 3, True, log_probability=-1e-17),
    Receipt("a", 1, 2, 3, 0.1, {"drift": math.inf}, ("drift",)),
    Record("a.b@1", None, 0, "tokens", "share", undefined="why", axes={"k": 1}),
]


@pytest.mark.parametrize("value", OURS, ids=lambda one: type(one).__name__)
def test_values_of_the_contract_travel(value: Any) -> None:
    there = unpack(pack([value]))[0]
    assert type(there) is type(value)
    assert all(
        np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
        for one, other in zip(vars(there).values(), vars(value).values(), strict=True)
    )


def test_values_inside_values_and_as_keys_travel() -> None:
    stream = Stream("pair", "left", "web", right="right")
    found = Found(Undefined("no"), {"k": 8}, (OURS[5],))  # type: ignore[arg-type]
    assert unpack(pack({stream: (found, frozenset({3, 1}))})) == {
        stream: (found, frozenset({3, 1}))
    }


def test_what_arrives_may_be_written_to() -> None:
    unpack(pack(np.zeros(3)))[0] = 1.0


@dataclass(frozen=True)
class Strange:
    x: int = 1


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Strange(), "Strange: an object of this class would have to travel"),
        (object(), "object: such a value would have to travel"),
        (np.array([object()]), "an array of objects"),
        ([{"a": {1: Strange}}], "type: such a value"),
    ],
    ids=["class", "object", "objects", "type"],
)
def test_what_may_not_travel_is_refused(value: Any, said: str) -> None:
    with pytest.raises(PluginError, match=said):
        pack(value)


def test_no_code_of_others_is_run() -> None:
    content = pack(Undefined("x"))
    other = content.replace(b"harness.contract.values:Undefined", b"subprocess:Popen" + b" " * 17)
    assert len(other) == len(content)
    with pytest.raises(MachineError, match="is no value of ours"):
        unpack(other)
    with pytest.raises(MachineError, match="are not whole"):
        unpack(pickle.dumps(Strange()))


@given(st.integers(0, 200))
def test_bytes_that_are_cut_off_are_noticed(cut: int) -> None:
    content = pack({"x": np.arange(20), "y": "text"})
    if cut < len(content):
        with pytest.raises(MachineError):
            unpack(content[:cut])
    assert content.startswith(MAGIC)
