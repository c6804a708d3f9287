"""What intervals cover: the table of docs/statistics.md is of this code, and comes out again."""

from __future__ import annotations

import math

import pytest

from covering.cells import SIZES, code, count, kept
from covering.command import PAGE, RESULTS
from covering.table import BAND, misses, replaced, table
from covering.worlds import WORLDS

SETS = 500
CELLS = {(one.family, one.name, one.documents): one for one in kept(RESULTS)}
AGAIN = [
    world for world in WORLDS
    if not world.family.startswith("medians") or world.name.endswith("one")
]  # fmt: skip


def test_the_table_is_of_this_code() -> None:
    """Else: python -m tests.covering --write, which takes some minutes."""
    wanted = {(world.family, world.name, size) for world in WORLDS for size in SIZES}
    assert CELLS.keys() == wanted, f"{RESULTS.name} has not all cells of this code ({code()})"
    assert all(one.sets == 0 or one.sets >= 5_000 for one in CELLS.values())
    page = PAGE.read_text("utf-8")
    assert replaced(page, list(CELLS.values())) == page


def test_what_misses_is_printed_and_is_little() -> None:
    """From 50 documents 0.92 to 0.97, from 20 not under 0.90."""
    promised = [one for one in CELLS.values() if one.sets and one.documents >= 20]
    missing = [one for one in promised if misses(one)]
    assert len(promised) > 60
    assert len(missing) <= 0.1 * len(promised)
    said = table(list(CELLS.values()))
    assert all(f"{one.name}, {one.documents} documents: {one.share:.3f}" in said for one in missing)
    assert all(0.88 <= one.share <= 0.98 for one in missing)


@pytest.mark.slow
@pytest.mark.parametrize("world", AGAIN, ids=lambda world: f"{world.family}-{world.name}")
def test_counts_come_out_again(world) -> None:
    """Within what so many sets can show: another count of the same share, five errors at most."""
    for documents in (20, 50):
        expected = CELLS[world.family, world.name, documents]
        if not expected.sets:
            continue
        again = count(world, documents, SETS)
        error = math.sqrt(expected.share * (1 - expected.share) / SETS)
        assert abs(again.share - expected.share) <= 5 * error
        if documents >= 50 and not misses(expected):
            assert BAND[0] - 4 * error <= again.share
