"""The journal: what was made is never made again, and what was torn is never believed."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from harness.contract import Completion, Receipt
from harness.running.experiments.journal import Journal, Made, as_value
from harness.running.experiments.receipts import merged_receipt
from harness.store.keys import apart, key_of
from harness.store.lines import Lines
from harness.store.notes import hearing

ONE = Completion("hello\n\u2028 ☃ \ud83d", 3, stopped=True)
TWO = Completion("", 0, stopped=False)
RECEIPT = Receipt("a", 2, 10, 9, 0.5, {"residue": 1e-6}, ("drift",))
FILLED = {"k1": ONE, "k2": TWO, "o2": ONE}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "work" / "e.jsonl"


def filled(file: Path) -> Journal:
    journal = Journal(file)
    journal.add([Made("arm", {"k1": ONE}, RECEIPT)])
    journal.add([Made("arm", {"k2": TWO}, RECEIPT), Made("other", {"o2": ONE}, Receipt("b"))])
    return journal


def test_a_value_is_that_of_asdict() -> None:
    for receipt in (RECEIPT, Receipt("b")):
        made = Made(
            "arm", {"k1": ONE, "k2": TWO, "k3": Completion("a", 2, True, "t", False)}, receipt
        )
        assert json.dumps(as_value(made)) == json.dumps(asdict(made))


def test_a_new_journal_is_empty_and_writes_nothing(file: Path) -> None:
    journal = Journal(file)
    journal.close()
    assert not journal.completions
    assert not file.exists()


def test_what_was_added_is_there_for_the_next_run(file: Path) -> None:
    first = filled(file)
    second = Journal(file)  # the first one was never closed: its process died
    assert second.completions == first.completions == FILLED
    assert second.receipts == first.receipts
    assert second.receipts["arm"] == [RECEIPT, RECEIPT]
    first.close()


@pytest.mark.parametrize("cut", [1, 2, 10, 60])
def test_a_torn_last_line_is_made_again_and_the_rest_is_kept(file: Path, cut: int) -> None:
    filled(file).close()
    file.write_bytes(file.read_bytes()[:-cut])
    torn = Journal(file)
    # A line of which only the newline is missing is whole.
    assert torn.completions == (FILLED if cut == 1 else {"k1": ONE})
    torn.add([Made("arm", {"k2": TWO}, RECEIPT), Made("other", {"o2": ONE}, Receipt("b"))])
    torn.add([Made("arm", {"k3": TWO}, RECEIPT)])
    torn.close()
    again = Journal(file)
    assert again.completions == {**FILLED, "k3": TWO}


def test_a_line_of_zeros_after_a_power_failure_is_ignored(file: Path) -> None:
    filled(file).close()
    with file.open("ab") as out:
        out.write(b"\0" * 100)
    assert Journal(file).completions == FILLED


def test_a_batch_is_one_line(file: Path) -> None:
    filled(file).close()
    lines = file.read_bytes().split(b"\n")
    batches = [json.loads(line)["value"] for line in lines[:-1]]
    found = [[key for made in batch for key in made["completions"]] for batch in batches]
    assert found == [["k1"], ["k2", "o2"]]
    assert lines[-1] == b""


def test_a_letter_changed_in_a_completion_costs_its_batch_and_is_said(file: Path) -> None:
    """CASES row 10."""
    filled(file).close()
    content = file.read_bytes()
    assert content.count(b"hello") == 2
    file.write_bytes(content.replace(b"hello", b"jello", 1))
    with hearing() as heard:
        found = Journal(file)
    assert found.completions == {"k2": TWO, "o2": ONE}
    assert found.receipts["arm"] == [RECEIPT]
    assert heard == [
        f"{file}: dropped 1 remembered line, because it was torn or changed since it was written. "
        "What is missing is redone."
    ]


OLD = [
    [],
    [1],
    {"completions": {}},
    "text",
    [{"arm": "a", "completions": {"k": {"words": "hello"}}, "receipt": {"arm": "a", "broken": []}}],
    [{"arm": "a", "completions": {}, "receipt": {"arm": "a"}}],
    [{"arm": "a", "completions": [1], "receipt": None}],
]


@pytest.mark.parametrize("value", OLD)
def test_lines_of_another_form_are_left_out(file: Path, value: object) -> None:
    """CASES row 21: as another version might have written them, with their hash."""
    filled(file).close()
    lines = Lines(file)
    lines.add(value)
    lines.close()
    assert Journal(file).completions == FILLED


def kept(journal: Journal, **wanted: str) -> tuple[list[str], dict[str, float]]:
    """Which of some completions are used, and the tokens of the receipts with them."""
    journal.keep({arm: keys.split() for arm, keys in wanted.items()})
    tokens = {arm: sum(r.tokens for r in many) for arm, many in journal.receipts.items()}
    return sorted(journal.completions), tokens


def test_a_receipt_goes_with_the_completions_that_it_was_made_with(file: Path) -> None:
    """CASES row 9: receipts of prompts that are no more are not added to those of new ones."""
    journal = Journal(file)
    journal.add([
        Made("a", {"1": ONE, "2": ONE}, Receipt("a", tokens=3)),
        Made("b", {"1b": ONE, "2b": ONE}, Receipt("b", tokens=50)),
    ])  # fmt: skip
    journal.add([Made("a", {"3": TWO}, Receipt("a", tokens=700))])
    assert kept(journal, a="1 2 3", b="1b 2b") == (["1", "1b", "2", "2b", "3"], {"a": 703, "b": 50})
    with hearing() as heard:
        assert kept(journal, a="1 new 3", b="1b 2b") == (["1b", "2b", "3"], {"a": 700, "b": 50})
    assert len(heard) == 1
    assert "dropped 2 remembered completions, because they were made, or shared a batch" in heard[0]
    journal.add([Made("a", {"1": ONE, "new": ONE}, Receipt("a", tokens=9000))])
    assert kept(journal, a="1 new 3", b="1b 2b")[1] == {"a": 9700, "b": 50}
    # Where two batches have made the same, one of them counts.
    assert kept(journal, a="1 2 new 3")[1] == {"a": 703}
    # Arms are told apart by their keys.
    assert kept(journal, b="1 2 3 new") == ([], {})
    journal.close()


PARTS = ("model", {"temperature": 0.0, "seed": 1}, "edits", (1, 2, 3))


@pytest.mark.parametrize(
    "other",
    [
        ("other", *PARTS[1:]),
        ("model", {"temperature": 0.5, "seed": 1}, "edits", (1, 2, 3)),
        ("model", {"temperature": 0.0, "seed": 2}, "edits", (1, 2, 3)),
        ("model", {"temperature": 0.0, "seed": 1}, "edit", (1, 2, 3)),
        ("model", {"temperature": 0.0, "seed": 1}, "edits", (1, 2)),
        ("model", {"temperature": 0.0, "seed": 1}, "edits", (1, 23)),
        ("model", {"temperature": 0.0, "seed": 1}, "edits", (3, 2, 1)),
    ],
)
def test_a_key_changes_with_each_of_its_parts(other: tuple[object, ...]) -> None:
    assert key_of(*other) != key_of(*PARTS)


def test_a_key_does_not_depend_on_the_order_of_a_mapping() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


def test_equal_keys_are_told_apart_in_any_number() -> None:
    many = apart(["a", "b", "a", "a"])
    assert many[:2] == ["a", "b"]
    assert len(set(many)) == 4
    assert apart(["a", "a"]) == [many[0], many[2]]


# ── Receipts ─────────────────────────────────────────────────────────────────────────────────────

COUNTS = st.integers(0, 1000)
FLOATS = st.floats(0, 10, allow_subnormal=False)


@st.composite
def receipts(draw: st.DrawFn) -> Receipt:
    tokens = draw(COUNTS)
    return Receipt(
        "arm",
        fired=draw(COUNTS),
        tokens=tokens,
        changed=draw(st.integers(0, tokens)),
        relative=draw(FLOATS) if tokens else None,
        checks=draw(st.dictionaries(st.sampled_from("xyz"), FLOATS)),
        broken=tuple(draw(st.lists(st.sampled_from("pq"), unique=True))),
    )


def alike(left: Receipt, right: Receipt) -> bool:
    one, other = (r.relative for r in (left, right))
    near = one == other if one is None or other is None else math.isclose(one, other, abs_tol=1e-12)
    rest = [
        {**r.__dict__, "relative": None, "broken": set(r.broken), "checks": dict(r.checks)}
        for r in (left, right)
    ]
    return near and rest[0] == rest[1]


@given(st.lists(receipts(), min_size=1, max_size=6), st.randoms())
def test_receipts_merge_alike_in_any_order_and_grouping(many: list[Receipt], random) -> None:  # type: ignore[no-untyped-def]
    whole = merged_receipt("arm", many)
    cut = random.randint(0, len(many))
    parts = [merged_receipt("arm", part) for part in (many[:cut], many[cut:])]
    assert alike(merged_receipt("arm", parts), whole)
    random.shuffle(many)
    assert alike(merged_receipt("arm", many), whole)


@given(receipts())
def test_a_receipt_alone_stays_as_it_is(receipt: Receipt) -> None:
    assert alike(merged_receipt("arm", [receipt]), receipt)
    assert alike(merged_receipt("arm", [receipt, Receipt("arm")]), receipt)


@given(st.lists(st.integers(0, 2**70), min_size=1, max_size=8), st.integers(0, 8))
def test_receipts_with_whole_sums_are_the_same_to_the_bit_however_a_run_was_cut_off(
    sums: list[int], cut: int
) -> None:
    """Found by the kills of `tests/campaign`: the mean was another in its last bit."""
    parts = [Receipt("a", 1, 3, relative=one / (3 << 60), relative_sum=one) for one in sums]
    whole = merged_receipt("a", parts)
    assert whole.relative == float(Fraction(sum(sums), 3 * len(sums) * 2**60))
    two = [merged_receipt("a", some) for some in (parts[:cut], parts[cut:])]
    assert merged_receipt("a", two) == whole


def test_a_receipt_without_a_whole_sum_is_weighted_by_its_tokens() -> None:
    given = [Receipt("a", 1, 1, relative=1.0, relative_sum=1 << 60), Receipt("a", 1, 3, relative=2)]
    merged = merged_receipt("a", given)
    assert (merged.relative, merged.relative_sum) == (1.75, None)


def test_no_receipt_is_a_receipt_of_nothing() -> None:
    assert merged_receipt("arm", []) == Receipt("arm")


def test_a_measurement_that_is_not_a_number_is_never_hidden_by_one_that_is() -> None:
    good, bad = Receipt("a", checks={"x": 1.0}), Receipt("a", checks={"x": math.nan})
    for order in ([good, bad], [bad, good]):
        assert math.isnan(merged_receipt("a", order).checks["x"])
