"""What was lost is made again in the batches of before; what others made is not made again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from harness.contract import Completion, Receipt, Tokens
from harness.running.experiments.batch import Request
from harness.running.experiments.completions import to_make
from harness.running.experiments.journal import Journal, Made

SIZE = 4
LENGTHS = (3, 1, 2, 2, 5, 4, 3)


def requests(arms: int = 3, lengths: tuple[int, ...] = LENGTHS) -> list[Request]:
    """Those of some arms over prompts of these lengths."""
    return [
        Request(
            arm,
            f"edits{arm}",
            f"arm{arm}",
            Tokens(f"row{row}", tuple(range(long)), (0, long), ""),
            key,
        )
        for arm in range(arms)
        for row, long in enumerate(lengths)
        for key in (f"{arm}-{row}",)
    ]


def made(batch: list[Request]) -> list[Made]:
    """What a batch makes: of each arm in it one."""
    arms = dict.fromkeys(one.name for one in batch)
    return [
        Made(
            arm,
            {one.key: Completion("", 0, True) for one in batch if one.name == arm},
            Receipt(arm),
        )
        for arm in arms
    ]


def journal_of(folder: Path, known: list[Made]) -> Journal:
    journal = Journal(folder / f"{len(list(folder.iterdir()))}.jsonl")
    if known:
        journal.add(known)
    journal.close()
    return journal


def keys(batches: list[list[Request]]) -> list[list[str]]:
    return [[one.key for one in batch] for batch in batches]


def batches(folder: Path, known: list[Made], asked: list[Request]) -> list[list[Request]]:
    return [list(one) for one in to_make(asked, SIZE, journal_of(folder, known))]


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lost=st.sets(st.integers(0, 20)))
def test_lost_arms_of_batches_are_made_again_in_those_very_batches(
    tmp_path: Path, lost: set[int]
) -> None:
    asked = requests()
    whole = batches(tmp_path, [], asked)
    every = [one for batch in whole for one in made(batch)]
    known = [one for place, one in enumerate(every) if place not in lost]
    again = batches(tmp_path, known, asked)
    missing = {key for place in lost if place < len(every) for key in every[place].completions}
    assert keys(again) == [batch for batch in keys(whole) if missing & set(batch)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shorter=st.integers(0, len(LENGTHS)))
def test_what_a_run_over_fewer_prompts_made_is_not_made_again(tmp_path: Path, shorter: int) -> None:
    asked = requests()
    fewer = [one for one in asked if int(one.key.split("-")[1]) < shorter]
    known = [one for batch in batches(tmp_path, [], fewer) for one in made(batch)]
    there = {key for one in known for key in one.completions}
    again = keys(batches(tmp_path, known, asked))
    assert all(1 <= len(batch) <= SIZE for batch in again)
    written = [key for batch in again for key in batch]
    assert len(set(written)) == len(written)
    missing = {one.key for one in asked} - there
    assert missing <= set(written)
    aligned = {key for batch in keys(batches(tmp_path, [], asked)) for key in batch}
    assert set(written) <= aligned
    # Only batches of which an arm is known as such a batch would have made it are made whole.
    for key in set(written) - missing:
        mates = next(one.completions.keys() for one in known if key in one.completions)
        assert any(mates <= set(batch) for batch in again)


def test_nothing_is_made_where_all_is_known(tmp_path: Path) -> None:
    asked = requests()
    every = [one for batch in batches(tmp_path, [], asked) for one in made(batch)]
    assert batches(tmp_path, every, asked) == []
