"""A pass that is killed goes on where it was: the same numbers, at most one shard again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import fakes
from fakes.running import bare, passed, records
from harness.contract import Record
from harness.errors import InvalidRun
from harness.planning.steps import ReductionJob
from harness.results.read import Results
from harness.running.session import Session

MakeSession = Callable[..., Session]
WholeOf = Callable[..., tuple[list[Record], int]]

TEXTS = [f"{'abcdefgh'[n % 8] * (1 + n % 5)} number {n}" for n in range(24)]
SHARD = 60
"""Tokens of a shard: about four documents."""
OPTIONS = (f"batch.shard={SHARD}", "batch.activations=2")
TASK = """
[pairs.p]
left = "base"
right = "chat"
data = "web"
saes = ["mid"]
sites = ["embed"]
[metrics.gap]
pair = "p"
[metrics.active]
pair = "p"
[metrics.low]
method = "match"
pair = "p"
where = { cosine_below = 0.997 }
[directions.d]
method = "probe"
view = "base"
data = "web"
"""
BOTH = """
[data.more]
file = "more.jsonl"
by = "kind"
[statistics.t]
method = "tally"
view = "base"
data = "web"
more = "more"
site = "resid_post.1"
sae = "mid"
[metrics.mean]
view = "base"
data = "web"
sites = ["embed"]
"""
SPAN = """
[data.shots]
file = "shots.jsonl"
[views.shown]
model = "chat"
prompt.demonstrations = { data = "shots", count = 2, answer = "text" }
[pairs.s]
left = "base"
right = "shown"
data = "web"
align = "span"
sites = ["resid_post.1"]
[metrics.gap]
pair = "s"
"""
PACKED = TASK.replace('data = "web"\nsaes', 'data = "web"\npack = 40\nbudget = 250\nsaes')
TASKS = {"plain": TASK, "two renderings": BOTH, "span": SPAN, "packed": PACKED}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return tmp_path / "work" / "passes" / "activations-1"


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Packed rows are cut from the data alone, at this many tokens.
    monkeypatch.setattr("harness.running.passes.run.BLOCK", SHARD)
    monkeypatch.setattr(fakes, "WEB", TEXTS)
    rows = [{"text": text[::-1], "kind": "xyz"[n % 3]} for n, text in enumerate(TEXTS[:15])]
    write(tmp_path / "more.jsonl", rows)
    write(tmp_path / "shots.jsonl", [{"text": "first shot"}, {"text": "second"}])


def write(file: Path, rows: list[dict[str, str]]) -> None:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))


class Counted:
    """Runs a pass, killed or not, and counts its forwards."""

    def __init__(self, session: MakeSession, text: str, saved: Path | None) -> None:
        self.session, self.text, self.saved = session, text, saved

    def __call__(
        self, *overrides: str, kill_at: int | None = None
    ) -> tuple[list[Record] | None, int]:
        fakes.LAB.clear()
        fakes.LAB.crash_at_forward = kill_at
        made = self.session(self.text, *OPTIONS, *overrides)
        found = None
        with suppress(type(fakes.LAB.crash)):
            found = bare(records(made, self.saved))
        forwards = fakes.LAB.forwards
        fakes.LAB.clear()
        return found, forwards


@pytest.fixture
def counted(session: MakeSession, saved: Path) -> Callable[[str], Counted]:
    return lambda text: Counted(session, text, saved)


@pytest.fixture(scope="module")
def known() -> dict[tuple[object, ...], tuple[list[Record], int]]:
    return {}


@pytest.fixture
def whole_of(
    session: MakeSession,
    tmp_path: Path,
    known: dict[tuple[object, ...], tuple[list[Record], int]],
) -> Callable[..., tuple[list[Record], int]]:
    """The records of a pass that nothing stops and nothing is kept of, and its forwards: run once
    for all tests that give it the same text, options and rows."""

    def whole_of(text: str, *overrides: str) -> tuple[list[Record], int]:
        rows = [(tmp_path / name).read_text() for name in ("more.jsonl", "shots.jsonl")]
        asked = (text, overrides, *fakes.WEB, *rows)
        if asked not in known:
            found, forwards = Counted(session, text, None)(*overrides)
            assert found is not None
            known[asked] = found, forwards
        found, forwards = known[asked]
        return list(found), forwards

    return whole_of


def most(text: str) -> int:
    """Forwards of the largest shard: batches of two documents, two models."""
    return {TASK: 8, BOTH: 6, SPAN: 8, PACKED: 4}[text]


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
def test_killed_at_any_forward_it_continues_to_the_same_records(
    counted: Callable[[str], Counted], saved: Path, name: str, whole_of: WholeOf
) -> None:
    text = TASKS[name]
    wanted, whole = whole_of(text)
    run = counted(text)
    assert wanted
    assert whole > 2 * most(text), "one shard would be everything"
    for kill_at in {*range(1, whole, 2), 2, whole}:
        shutil.rmtree(saved.parent, ignore_errors=True)
        found, first = run(kill_at=kill_at)
        assert (found, first) == (None, kill_at - 1)
        found, second = run()
        assert found == wanted, kill_at
        assert whole <= first + second <= whole + most(text), kill_at


@pytest.mark.parametrize("name", TASKS)
def test_a_finished_pass_reads_nothing_again(counted: Callable[[str], Counted], name: str) -> None:
    run = counted(TASKS[name])
    first, _ = run()
    assert run() == (first, 0)


def test_killed_again_and_again_it_still_ends(
    counted: Callable[[str], Counted], whole_of: WholeOf
) -> None:
    run = counted(TASK)
    wanted, whole = whole_of(TASK)
    found, runs, total = None, 0, 0
    while found is None:
        found, forwards = run(kill_at=most(TASK) + 2)
        runs, total = runs + 1, total + forwards
    assert found == wanted
    assert runs > 2
    assert total <= whole + runs * most(TASK)


@pytest.mark.slow
@pytest.mark.parametrize("replacing", range(1, 9))
@pytest.mark.parametrize("name", ["plain", "two renderings"])
def test_killed_between_writing_and_renaming_a_file(
    counted: Callable[[str], Counted],
    monkeypatch: pytest.MonkeyPatch,
    replacing: int,
    name: str,
    whole_of: WholeOf,
) -> None:
    text = TASKS[name]
    run = counted(text)
    wanted, whole = whole_of(text)
    rename, count = Path.replace, 0

    def replace(self: Path, target: Any) -> Path:
        nonlocal count
        count += self.name.endswith(".partial")
        if count == replacing:
            raise fakes.LAB.crash
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        found, first = run()
    if found is None:
        assert count == replacing
        found, second = run()
        assert first + second <= whole + most(text)
    assert found == wanted


def damage_truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def damage_flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-5] ^= 255
    file.write_bytes(content)


def damage_empty(file: Path) -> None:
    file.write_bytes(b"")


def damage_remove(file: Path) -> None:
    file.unlink()


DAMAGES = [damage_truncate, damage_flip, damage_empty, damage_remove]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.__name__[7:])
@pytest.mark.parametrize("which", ["newest", "oldest", "all"])
def test_a_damaged_state_file_costs_a_shard_and_no_number(
    counted: Callable[[str], Counted],
    saved: Path,
    damage: Callable[[Path], None],
    which: str,
    whole_of: WholeOf,
) -> None:
    run = counted(TASK)
    wanted, whole = whole_of(TASK)
    _, first = run(kill_at=whole - 3)
    files = sorted(saved.parent.iterdir(), key=lambda file: file.stat().st_mtime_ns)
    assert len(files) == 2
    for file in {"newest": files[1:], "oldest": files[:1], "all": files}[which]:
        damage(file)
    found, second = run()
    assert found == wanted
    again = first + second - whole
    assert again <= {"newest": 2, "oldest": 1, "all": 99}[which] * most(TASK)


def test_files_of_another_task_are_not_read(
    counted: Callable[[str], Counted], saved: Path, whole_of: WholeOf
) -> None:
    run = counted(TASK)
    wanted, whole = whole_of(TASK)
    counted(PACKED)(kill_at=6)
    assert run() == (wanted, whole)
    # A file of another rendering under this one's name.
    first, second = sorted(saved.parent.glob("activations-1-0.*"))
    second.write_bytes(first.read_bytes())
    assert run()[0] == wanted


CHANGES = {
    "model": ("models.base.fingerprint=new", "models.base.scale=2"),
    "other side": ("models.chat.fingerprint=new", "models.chat.scale=2"),
    "sae": ("saes.mid.fingerprint=new", "saes.mid.sequence=true"),
    "options": ("directions.d.offset=7",),
    "filter": ("metrics.low.where.cosine_below=0.5",),
    "budget": ("pairs.p.budget=200",),
    "skip": ("pairs.p.skip_first=3",),
    "seed": ("seed=1",),
    "prompt": ("views.base.prompt.template=so: {text}",),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("killed", [True, False])
def test_what_was_counted_before_a_change_is_not_used(
    counted: Callable[[str], Counted], name: str, killed: bool, whole_of: WholeOf
) -> None:
    run = counted(TASK)
    wanted, whole = whole_of(TASK, *CHANGES[name])
    run(kill_at=17 if killed else None)
    assert run(*CHANGES[name]) == (wanted, whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("sizes", ["batch.shard=90", "batch.shard=17", "batch.activations=1"])
def test_other_batch_sizes_continue_where_the_run_was(
    counted: Callable[[str], Counted], name: str, sizes: str, whole_of: WholeOf
) -> None:
    """CASES row 20: they are no part of what a state depends on, so nothing is read again."""
    text = TASKS[name]
    run = counted(text)
    wanted, whole = whole_of(text)
    assert whole_of(text, sizes)[0] == wanted
    assert run(kill_at=whole // 2)[0] is None
    found, forwards = run(sizes)
    assert found == wanted
    assert forwards < whole_of(text, sizes)[1]
    assert run() == (wanted, 0)
    assert run(sizes) == (wanted, 0)


CHANGED = {
    "first": ["something else", *TEXTS[1:]],
    "longer": [TEXTS[0] * 5, *TEXTS[1:]],
    "last read": [*TEXTS[:7], "something else", *TEXTS[8:]],
    "one more in front": ["more", *TEXTS],
    "one more at the end": [*TEXTS, "more"],
    "many more": [*TEXTS, *(f"more {n}" for n in range(9))],
    "fewer": TEXTS[:-3],
    "much fewer": TEXTS[:2],
    "one": TEXTS[:1],
    "order": TEXTS[::-1],
    "two swapped": [TEXTS[1], TEXTS[0], *TEXTS[2:]],
}


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What passes that were killed have kept, each of which began once."""
    return tmp_path_factory.mktemp("begun")


@pytest.mark.slow
@pytest.mark.parametrize("killed", [20, None])
@pytest.mark.parametrize("name", CHANGED)
@pytest.mark.parametrize("which", ["plain", "two renderings"])
def test_data_that_have_changed_since_are_read_as_they_are(
    counted: Callable[[str], Counted],
    monkeypatch: pytest.MonkeyPatch,
    saved: Path,
    begun: Path,
    killed: int | None,
    name: str,
    which: str,
    whole_of: WholeOf,
) -> None:
    run, before = counted(TASKS[which]), begun / f"{which}-{killed}"
    if before.exists():
        shutil.copytree(before, saved.parent)
    else:
        run(kill_at=killed)
        shutil.copytree(saved.parent, before)
    monkeypatch.setattr(fakes, "WEB", CHANGED[name])
    wanted, _ = whole_of(TASKS[which])
    found, _ = run()
    assert found == wanted
    assert run() == (wanted, 0)


def test_the_second_rendering_of_a_job_is_read_again_when_its_data_have_changed(
    counted: Callable[[str], Counted], tmp_path: Path, whole_of: WholeOf
) -> None:
    run = counted(BOTH)
    run()
    write(tmp_path / "more.jsonl", [{"text": f"new {n}", "kind": "x"} for n in range(20)])
    wanted, whole = whole_of(BOTH)
    found, forwards = run()
    assert found == wanted
    assert forwards < whole


def test_categories_that_have_changed_are_told_apart(
    counted: Callable[[str], Counted], whole_of: WholeOf
) -> None:
    text = TASK + "[data.more]\nfile = 'more.jsonl'\n"
    run = counted(text)
    more = ("pairs.p.data=more",)
    run(*more)
    wanted, _ = whole_of(text, *more, "data.more.by=kind")
    assert run(*more, "data.more.by=kind")[0] == wanted


def test_demonstrations_that_have_changed_are_another_prompt(
    counted: Callable[[str], Counted], tmp_path: Path, whole_of: WholeOf
) -> None:
    run = counted(SPAN)
    run(kill_at=20)
    write(tmp_path / "shots.jsonl", [{"text": "another"}, {"text": "one of another length"}])
    wanted, whole = whole_of(SPAN)
    assert run() == (wanted, whole)


def test_a_direction_that_came_out_otherwise_is_another_start(
    session: MakeSession, saved: Path
) -> None:
    text = TASK + "[statistics.t]\nmethod = 'tally'\nview = 'base'\ndata = 'web'\n"
    text += "site = 'embed'\nstart = 'd'\n"

    def both(*overrides: str, where: Path | None) -> tuple[list[Record], int]:
        fakes.LAB.clear()
        made = session(text, *OPTIONS, *overrides)
        passed(made, 0)
        before = fakes.LAB.forwards
        found = passed(made, 1, where)
        assert all(isinstance(one.job, ReductionJob) for one in found)
        return [r for one in found for r in one.outcome.records], fakes.LAB.forwards - before

    first, whole = both(where=saved)
    assert both(where=saved) == (first, 0)
    other, forwards = both("directions.d.scale=3", where=saved)
    assert forwards == whole
    assert other == both("directions.d.scale=3", where=None)[0]
    assert other != first


# ── A whole run ──────────────────────────────────────────────────────────────────────────────────

PREFLIGHT = "[preflight]\ndata = 'web'\nfvu = 'loss'\nalso = ['active']\nlimit = 12\n"


def numbers(results: Results) -> list[tuple[str, float | None, Any]]:
    return [(r.id, r.value, dict(r.axes)) for r in results.records]


@pytest.mark.slow
def test_a_run_that_was_killed_continues(run_task: Callable[..., Results], tmp_path: Path) -> None:
    text = PREFLIGHT + TASK.replace('data = "web"\n', 'data = "web"\nexpect = "different"\n', 1)
    wanted = numbers(run_task(text, *OPTIONS))
    whole = fakes.LAB.forwards
    assert whole > 45
    for kill_at in (1, 3, 9, 20, 30, 45):
        shutil.rmtree(tmp_path / "run")
        fakes.LAB.clear()
        fakes.LAB.crash_at_forward = kill_at
        with pytest.raises(RuntimeError, match="the power went off"):
            run_task(text, *OPTIONS)
        first = fakes.LAB.forwards
        fakes.LAB.clear()
        assert numbers(run_task(text, *OPTIONS)) == wanted, kill_at
        # A shard of the preflight has three models' forwards in it.
        assert first + fakes.LAB.forwards <= whole + 12, kill_at
        fakes.LAB.clear()
        assert numbers(run_task(text, *OPTIONS)) == wanted, kill_at
        assert fakes.LAB.forwards == 0, kill_at


def test_an_invalid_run_is_invalid_again(run_task: Callable[..., Results]) -> None:
    text = TASK.replace('data = "web"\n', 'data = "web"\nexpect = "same"\n', 1)
    for _ in range(2):
        with pytest.raises(InvalidRun, match=r"pairs\.p"):
            run_task(text, *OPTIONS)
