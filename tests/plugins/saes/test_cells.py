"""Cells are everything once, and as many as keep all threads at work."""

from __future__ import annotations

from hypothesis import given, strategies as st

from harness_saes.core.cells import COLUMNS, ENOUGH, ROWS, Cell, cells

tokens, latents, threads = st.integers(0, 10_000), st.integers(1, 200_000), st.integers(1, 70)


def sizes(row: list[Cell]) -> tuple[int, int]:
    """Tokens, and the fewest latents of a cell."""
    return row[0].rows.stop - row[0].rows.start, min(
        cell.columns.stop - cell.columns.start for cell in row
    )


@given(tokens, latents, threads)
def test_every_token_meets_every_latent_once(tokens, latents, threads):
    begun = 0
    for row in cells(tokens, latents, threads):
        assert row[0].rows.start == begun
        begun = row[0].rows.stop
        assert {(cell.rows.start, cell.rows.stop) for cell in row} == {
            (row[0].rows.start, row[0].rows.stop)
        }
        ends = [cell.columns.stop for cell in row]
        assert [cell.columns.start for cell in row] == [0, *ends[:-1]]
        assert ends[-1] == latents
    assert begun == tokens


@given(tokens, latents, threads)
def test_no_cell_is_empty_or_too_high(tokens, latents, threads):
    for row in cells(tokens, latents, threads):
        high, narrow = sizes(row)
        assert min(1, tokens) <= high <= ROWS
        assert narrow >= min(latents, COLUMNS)


@given(st.integers(70, 10_000), latents, threads)
def test_all_threads_have_as_much_to_do(tokens, latents, threads):
    found = cells(tokens, latents, threads)
    assert sum(map(len, found)) % threads == 0
    high = [sizes(row)[0] for row in found]
    assert max(high) - min(high) <= 1


@given(tokens, latents, threads)
def test_latents_are_divided_where_tokens_are_few(tokens, latents, threads):
    found = cells(tokens, latents, threads)
    if tokens >= threads * ENOUGH:
        assert all(len(row) == 1 for row in found)
    elif latents >= threads * COLUMNS and tokens < ENOUGH:
        assert all(len(row) == threads for row in found)
