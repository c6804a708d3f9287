"""The files of a pass: what is read back is what was written last, whole, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra import numpy as hnp

from harness.store.notes import hearing
from harness.store.states import Digest, PassStates, Saved, States

ARRAYS = hnp.arrays(
    st.sampled_from([np.float64, np.int64]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
STATES = st.lists(
    st.dictionaries(
        st.text(max_size=4),
        st.dictionaries(st.text(min_size=1, max_size=4), ARRAYS, min_size=1, max_size=2),
        max_size=2,
    ),
    max_size=3,
)


def saved(documents: int, value: float = 1.0, states: States | None = None) -> Saved:
    made: States = [{"": {"sum": np.full(3, value)}}, {"a": {"n": np.array([documents])}}]
    return Saved(documents, f"digest of {documents}", states or made)


def plain(one: Saved | None) -> Any:
    if one is None:
        return None
    states = [
        {
            category: {
                name: (array.dtype.str, array.shape, array.tobytes())
                for name, array in state.items()
            }
            for category, state in by_category.items()
        }
        for by_category in one.states
    ]
    return one.documents, one.digest, states


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "passes" / "activations-1-0"


def files(base: Path) -> list[Path]:
    return [base.with_name(f"{base.name}.{n}") for n in (0, 1)]


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(STATES)
def test_any_state_comes_back_as_it_was(base: Path, states: States) -> None:
    """Whatever the names and shapes: empty arrays, numbers, NaN, names of any characters."""
    store = PassStates(base, "key")
    one = Saved(1, "d", states)
    store.save(one)
    assert plain(PassStates(base, "key").load()) == plain(one)
    store.forget()


def test_views_and_slices_come_back_as_they_are(base: Path) -> None:
    whole = np.arange(24, dtype=np.int64).reshape(4, 6)
    one = saved(1, states=[{"": {"turned": whole.T, "some": whole[::2, 1::3]}}])
    PassStates(base, "key").save(one)
    back = PassStates(base, "key").load()
    assert back is not None
    assert np.array_equal(back.states[0][""]["turned"], whole.T)
    assert np.array_equal(back.states[0][""]["some"], whole[::2, 1::3])


def test_nothing_there_is_nothing(base: Path) -> None:
    assert PassStates(base, "key").load() is None
    PassStates(base, "key").forget()


@pytest.mark.parametrize("shards", [1, 2, 3, 4, 5])
def test_the_newest_counts_and_the_one_before_is_kept(base: Path, shards: int) -> None:
    store = PassStates(base, "key")
    for number in range(1, shards + 1):
        store.save(saved(number))
        assert plain(PassStates(base, "key").load()) == plain(saved(number))
    newest = max(files(base), key=lambda file: file.stat().st_mtime_ns if file.exists() else 0)
    newest.unlink()
    assert plain(PassStates(base, "key").load()) == (
        plain(saved(shards - 1)) if shards > 1 else None
    )


def test_a_rerun_writes_over_the_older_file(base: Path) -> None:
    store = PassStates(base, "key")
    for number in (1, 2, 3):
        store.save(saved(number))
    again = PassStates(base, "key")
    again.load()
    again.save(saved(4))
    found = {plain(one)[0] for file in files(base) if (one := again._read(file))}
    assert found == {3, 4}


def test_what_another_key_wrote_is_not_read_and_does_not_stay(base: Path) -> None:
    for number in (7, 8):
        store = PassStates(base, "old")
        store.load()
        store.save(saved(number))
    mine = PassStates(base, "new")
    assert mine.load() is None
    mine.save(saved(1))
    assert plain(PassStates(base, "new").load()) == plain(saved(1))
    mine.save(saved(2))
    assert PassStates(base, "old").load() is None


def test_forgotten_is_gone(base: Path) -> None:
    store = PassStates(base, "key")
    store.save(saved(1))
    store.save(saved(2))
    store.forget()
    assert PassStates(base, "key").load() is None


@pytest.mark.slow
def test_a_file_that_is_cut_off_anywhere_is_not_used(base: Path) -> None:
    store = PassStates(base, "key")
    store.save(saved(1))
    store.save(saved(2))
    newest = files(base)[1]
    whole = newest.read_bytes()
    for length in range(len(whole)):
        newest.write_bytes(whole[:length])
        assert plain(PassStates(base, "key").load()) == plain(saved(1))


@pytest.mark.slow
def test_a_file_with_any_byte_changed_is_not_used(base: Path) -> None:
    """Also in what it says of itself: how many documents, of how many jobs."""
    PassStates(base, "key").save(saved(12))
    file = files(base)[0]
    whole = bytearray(file.read_bytes())
    for place in range(len(whole)):
        for bit in (0, 1, 3):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            file.write_bytes(changed)
            found = PassStates(base, "key").load()
            assert found is None or plain(found) == plain(saved(12)), (place, bit)


@pytest.mark.parametrize(
    "content", [b"", b"\0" * 8, b"\xff" * 100, b"{}", b"\2" + b"\0" * 7 + b"{}"]
)
def test_a_file_that_is_something_else_is_not_used(base: Path, content: bytes) -> None:
    store = PassStates(base, "key")
    store.save(saved(1))
    files(base)[1].write_bytes(content)
    assert plain(PassStates(base, "key").load()) == plain(saved(1))


def test_the_digest_tells_the_order_and_the_borders_of_documents() -> None:
    def digest(*documents: str) -> str:
        made = Digest()
        for document in documents:
            made.add(document)
        return str(made)

    many = [(), ("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",), ("a", "a"), ("aa",)]
    assert len({digest(*one) for one in many}) == len(many)
    assert digest("a", "b") == digest("a", "b")


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda file: file.write_bytes(file.read_bytes()[:-3]), "torn or changed"),
        (lambda file: PassStates(file.with_name(file.stem), "other").save(saved(9)), "with other"),
    ],
)
def test_a_state_that_is_not_used_is_said(base: Path, damage: Any, why: str) -> None:
    PassStates(base, "key").save(saved(1))
    with hearing() as heard:
        PassStates(base, "key").load()
        assert not heard
        damage(files(base)[0])
        assert PassStates(base, "key").load() is None
    assert len(heard) == 1
    assert (
        f"dropped 1 remembered state, because it was {'made ' * ('with' in why)}{why}" in heard[0]
    )


def test_states_that_are_given_up_for_a_reason_are_said(base: Path) -> None:
    store = PassStates(base, "key")
    with hearing() as heard:
        store.forget("made with other data")
        store.save(saved(1))
        store.save(saved(2))
        store.forget("made with other data")
    assert [text.partition(": ")[2][:74] for text in heard] == [
        "dropped 2 remembered states, because they were made with other data. What "
    ]
