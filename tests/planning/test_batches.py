"""Documents are cut into the batches that pad least: held against all ways to cut them."""

from __future__ import annotations

from itertools import chain, pairwise, product

from hypothesis import given, strategies as st

from harness.planning.batches import FORWARD, alike

LENGTHS = st.lists(st.sampled_from([1, 5, 50, 300, 301, 900]) | st.integers(1, 900), max_size=9)


def cost(batches: list[list[int]]) -> int:
    return sum(len(batch) * max(batch) + FORWARD for batch in batches)


def least(lengths: list[int], size: int) -> int:
    ordered = sorted(lengths)
    found = []
    for cuts in product([False, True], repeat=len(ordered) - 1):
        ends = [0, *(n + 1 for n, cut in enumerate(cuts) if cut), len(ordered)]
        parts = [ordered[a:b] for a, b in pairwise(ends)]
        if all(len(part) <= size for part in parts):
            found.append(cost(parts))
    return min(found)


@given(LENGTHS, st.integers(1, 6))
def test_no_other_cut_takes_less(lengths: list[int], size: int) -> None:
    batches = [list(one) for one in alike(lengths, int, size)]
    assert list(chain(*batches)) == sorted(lengths)
    assert all(0 < len(one) <= size for one in batches)
    if lengths:
        assert cost(batches) == least(lengths, size)


def test_a_few_long_documents_do_not_make_all_others_long() -> None:
    batches = [list(one) for one in alike([40] * 30 + [400] * 2, int, 32)]
    assert [len(one) for one in batches] == [30, 2]


def test_documents_of_one_length_make_full_batches() -> None:
    assert [len(list(one)) for one in alike([64] * 100, int, 32)] == [4, 32, 32, 32]
