"""What a model has judged, or a benchmark has asked, is not judged or asked again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fakes
from fakes.cached import EVERYTHING, PAIR, Cached, made, same
from harness.contract import OneByOne
from harness.planning.planner import plan
from harness.registry import Registry
from harness.results.read import Results
from harness.running import code, contents
from harness.running.experiments import verdicts
from harness.running.experiments.known import answer_key
from harness.running.kept import unsound
from harness.running.runner import run
from harness.store.cache import Cache, CacheEntry
from harness.task.task import Task

JUDGES = """
[models.judge]
backend = "fake"
scale = 7
[evaluators.panel]
model = "judge"
"""
JUDGED = EVERYTHING.replace('["polite"]', '["polite", "panel"]') + JUDGES
QUIZ = """
[experiments.q]
view = "chat"
directions = ["a"]
evaluators = ["quiz"]
intervention = { method = "shift" }
"""
ASKED = PAIR + fakes.EXPERIMENT + QUIZ
TEXTS = len(fakes.WEB)
RunTask = Callable[..., Results]


def entries(cache: Cache, kind: str) -> list[CacheEntry]:
    return [one for one in cache.entries() if one.kind == kind]


# ── Verdicts ─────────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_judged_twice_by_a_model(cached: Cached) -> None:
    bare = cached(JUDGED, use=None)
    assert len(fakes.LAB.judged) == 2 * TEXTS
    cold = cached(JUDGED)
    assert len(fakes.LAB.judged) == 2 * TEXTS
    warm = cached(JUDGED)
    assert (made(), fakes.LAB.judged) == ((0, 0), [])
    assert warm.provenance["from_cache"]["verdicts"] == 2 * TEXTS
    assert same(bare, cold)
    assert same(cold, warm)
    assert warm.tables["completions"] == bare.tables["completions"]


@pytest.mark.slow
def test_one_more_judge_repeats_no_pass_and_no_earlier_verdict(cached: Cached) -> None:
    cached(JUDGED)
    more = JUDGED.replace('"panel"]', '"panel", "strict"]')
    more += '[evaluators.strict]\nmethod = "panel"\nmodel = "judge"\nstrict = 2\n'
    both = cached(more)
    assert made() == (0, 0)
    assert len(fakes.LAB.judged) == 2 * TEXTS
    assert same(both, cached(more, use=None))
    assert len(fakes.LAB.judged) == 4 * TEXTS


def test_one_more_arm_is_all_that_is_judged(cached: Cached) -> None:
    cached(JUDGED)
    more = '[directions.b]\nmethod = "probe"\nview = "base"\ndata = "web"\n' + JUDGED
    cached(more.replace('directions = ["a"]', 'directions = ["a", "b"]'))
    assert len(fakes.LAB.judged) == TEXTS


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ("models.judge.scale=8",),
        ("models.judge.fingerprint=other",),
        ("evaluators.panel.strict=3",),
        ("seed=5",),
    ],
    ids=str,
)
def test_what_a_verdict_depends_on_has_it_made_anew(
    cached: Cached, overrides: tuple[str, ...]
) -> None:
    cached(JUDGED)
    other = cached(JUDGED, *overrides)
    assert len(fakes.LAB.judged) == 2 * TEXTS
    assert same(other, cached(JUDGED, *overrides, use=None))


@pytest.mark.slow
def test_other_code_and_other_libraries_judge_anew(
    cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(JUDGED)
    monkeypatch.setattr("fakes.judged.PanelOptions.libraries", ("some-library",))
    monkeypatch.setattr("harness.running.experiments.known.installed", lambda name: "1.0")
    cached(JUDGED)
    assert len(fakes.LAB.judged) == 2 * TEXTS
    monkeypatch.setattr("harness.running.experiments.known.installed", lambda name: "1.1")
    cached(JUDGED)
    assert len(fakes.LAB.judged) == 2 * TEXTS
    monkeypatch.setattr(code, "_package", lambda name: f"{name} changed")
    cached(JUDGED)
    assert len(fakes.LAB.judged) == 2 * TEXTS


def test_the_name_of_the_judge_and_of_its_model_do_not_matter(cached: Cached) -> None:
    cached(JUDGED)
    other = JUDGED.replace("judge", "referee").replace('"panel"]', '"board"]')
    other = other.replace("[evaluators.panel]", '[evaluators.board]\nmethod = "panel"')
    found = cached(other)
    assert (made(), fakes.LAB.judged) == ((0, 0), [])
    assert {r.axes["evaluator"] for r in found.records if r.id.startswith("panel")} == {"board"}


SERVED = JUDGED.replace('model = "judge"\n', 'server = "http://localhost:1"\n')


def test_who_judges_elsewhere_is_asked_by_every_run(cached: Cached, cache: Cache) -> None:
    """What a server has under a name may be another model tomorrow."""
    for _ in range(2):
        cached(SERVED)
        assert len(fakes.LAB.judged) == 2 * TEXTS
    assert not entries(cache, "verdicts")


def test_a_model_behind_a_server_is_asked_by_every_run(
    cached: Cached, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def served(model: Any) -> bool:
        return getattr(model, "options", None) is not None and model.options.scale == 7

    class Served(type(OneByOne)):  # type: ignore[misc]
        def __instancecheck__(cls, model: Any) -> bool:
            return served(model)

    monkeypatch.setattr(contents, "OneByOne", Served("Served", (), {}))
    for _ in range(2):
        cached(JUDGED)
        assert len(fakes.LAB.judged) == 2 * TEXTS
    assert not entries(cache, "verdicts")


def test_who_needs_no_model_keeps_nothing_for_others(cached: Cached, cache: Cache) -> None:
    """Nobody can say what else it goes by, and without a model it is quick."""
    cached()
    assert not entries(cache, "verdicts")


@pytest.mark.slow
def test_a_run_that_was_cut_off_asks_nothing_again(
    run_task: RunTask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(verdicts, "CHUNK", 5)
    fakes.LAB.crash_at_chunk = 3
    with pytest.raises(RuntimeError, match="the power went off"):
        run_task(SERVED)
    assert fakes.LAB.chunks == [5, 5]
    first = list(fakes.LAB.judged)
    fakes.LAB.clear()
    results = run_task(SERVED)
    assert fakes.LAB.chunks == [2]
    assert len(fakes.LAB.judged) + len(first) == 2 * TEXTS
    fakes.LAB.clear()
    monkeypatch.setattr(verdicts, "CHUNK", 256)
    assert run_task(SERVED, fresh=True).records == results.records
    fakes.LAB.clear()
    # A line that was changed is asked again, and said.
    lines = tmp_path / "run" / "work" / "judged" / "e" / "panel.jsonl"
    lines.write_bytes(lines.read_bytes().replace(b"true", b"null", 1))
    again = run_task(SERVED)
    assert again.records == results.records
    assert any("panel.jsonl: dropped 1 remembered line" in said for said in again.warnings)
    assert len(fakes.LAB.judged) == 2 * TEXTS


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 2, 3, 7, 256])
def test_whatever_the_chunks_the_verdicts_are_equal(
    cached: Cached, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    whole = cached(JUDGED, use=None)
    monkeypatch.setattr(verdicts, "CHUNK", size)
    parts = cached(JUDGED, use=None)
    assert max(fakes.LAB.chunks) <= size
    assert same(whole, parts)
    assert whole.tables["completions"] == parts.tables["completions"]


def test_a_judge_that_looks_at_other_answers_breaks_its_law(
    task: Callable[..., Task], session: Callable[..., Any]
) -> None:
    from harness.contract import Answer, Completion, Example, Tools
    from harness.testing import check_evaluator

    answers = [
        Answer(Example(str(n), "say"), "say", Completion("word " * n, n, True)) for n in range(5)
    ]
    for peeks in (False, True):
        panel = task(JUDGED, f"evaluators.panel.peeks={str(peeks).lower()}").evaluators["panel"]
        if peeks:
            with pytest.raises(AssertionError, match="answers do not influence each other"):
                check_evaluator(panel.build(), answers, Tools())
        else:
            check_evaluator(panel.build(), answers, Tools())


def test_equal_answers_are_judged_once(cached: Cached, texts: Callable[[list[str]], None]) -> None:
    texts(["one text"] * 4 + ["another"])
    found = cached(JUDGED, use=None)
    assert len(fakes.LAB.judged) == 4
    assert len(found.tables["completions"]) == 10
    assert all(row["verdicts"].keys() == {"polite", "panel"} for row in found.tables["completions"])


@pytest.mark.parametrize(
    "change",
    [
        {"example": {"text": "other"}},
        {"example": {"id": "other"}},
        {"example": {"fields": {"a": 2}}},
        {"example": {"messages": ({"role": "user", "content": "x"},)}},
        {"prompt": "other"},
        {"completion": {"text": "other"}},
        {"completion": {"thought": "hm"}},
        {"completion": {"stopped": False}},
        {"completion": {"log_probability": -1.0}},
        {"completion": {"tokens": 3}},
    ],
    ids=str,
)
def test_all_that_a_judge_sees_is_in_the_key(change: dict[str, Any]) -> None:
    from dataclasses import fields, replace

    from harness.contract import Answer, Completion, Example

    given = Answer(Example("id", "text", {"a": 1}), "prompt", Completion("text", 2, True))
    ((part, its),) = change.items()
    new = replace(getattr(given, part), **its) if isinstance(its, dict) else its
    assert answer_key(replace(given, **{part: new})) != answer_key(given)
    # Where a row was read is for people.
    moved = replace(given, example=replace(given.example, place="row 3"))
    assert answer_key(moved) == answer_key(given)
    assert {one.name for one in fields(Answer)} == {"example", "prompt", "completion"}


# ── Benchmarks ───────────────────────────────────────────────────────────────────────────────────


def test_an_arm_that_was_asked_is_not_asked_again(cached: Cached) -> None:
    bare = cached(ASKED, use=None)
    assert made()[1] == 12 + 6
    cold = cached(ASKED)
    warm = cached(ASKED)
    assert made() == (0, 0)
    assert warm.provenance["from_cache"]["benchmark arms"] == 2
    assert same(bare, cold)
    assert same(cold, warm)
    assert json.dumps(warm.tables["quiz.answers"]) == json.dumps(bare.tables["quiz.answers"])


def test_one_more_arm_is_all_that_is_asked(cached: Cached) -> None:
    cached(ASKED)
    more = '[directions.b]\nmethod = "probe"\nview = "base"\ndata = "web"\n' + ASKED
    head, tail = more.split("[experiments.q]")
    more = head + "[experiments.q]" + tail.replace('["a"]', '["a", "b"]')
    both = cached(more)
    assert made()[1] == 3
    assert same(both, cached(more, use=None))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("override", "asked"),
    [
        ("evaluators.quiz.prompts=2", 4),
        ("experiments.q.intervention.strength=2", 3),
        ("models.chat.scale=5", 6),
        ("seed=3", 6),
        ("directions.a.scale=2", 3),
        ("directions.a.label=other", 0),
    ],
)
def test_what_answers_depend_on_has_them_asked_anew(
    cached: Cached, override: str, asked: int
) -> None:
    text = PAIR + fakes.EXPERIMENT.split("[experiments")[0] + QUIZ + "[evaluators.quiz]\n"
    cached(text)
    other = cached(text, override)
    assert made()[1] == asked
    assert same(other, cached(text, override, use=None))


def test_an_arm_has_the_name_of_its_own_task(cached: Cached) -> None:
    cached(ASKED)
    other = ASKED.replace("directions.a", "directions.other").replace('["a"]', '["other"]')
    found = cached(other)
    assert made() == (0, 0)
    arms = {r.axes["direction"] for r in found.records if r.id == "quiz.refused@1"}
    assert arms == {"none", "other"}
    assert same(found, cached(other, use=None))


@pytest.mark.parametrize("more", ["silent=true", "promise=0.5"])
def test_edits_that_did_not_hold_make_every_run_invalid(cached: Cached, more: str) -> None:
    from harness.errors import InvalidRun

    text = PAIR + fakes.EXPERIMENT.split("[experiments")[0] + QUIZ
    for asked in (6, 0):
        with pytest.raises(InvalidRun, match=r"experiments\.q, direction a"):
            cached(text, f"experiments.q.intervention.{more}")
        assert made()[1] == asked


def test_numbers_that_json_has_not_come_back(tmp_path: Path) -> None:
    from dataclasses import asdict

    from harness.contract import Outcome, Receipt, Record
    from harness.running.cached_values import CachedValues
    from harness.running.experiments.arms_kept import Measured, measured_from

    record = Record("x@1", 0.1 + 0.2, 3, "prompts", "share", {"k": [1]}, ci=(1e-300, 1.0))
    rows = [{"a": float("nan"), "b": float("inf"), "c": 1 / 3, "d": None, "e": "\ud800"}]
    found = Measured(Outcome((record,), {"t": rows}, notes=("n",)), Receipt("a", 1, 2, 1, 1 / 7))
    cached = CachedValues(Cache(tmp_path / "c", 10**9), "benchmarks")
    cached.put("0" * 32, asdict(found))
    again = cached.one("0" * 32, measured_from)
    assert again is not None
    assert again.outcome.records == found.outcome.records
    assert again.receipt == found.receipt
    assert repr(again.outcome.tables) == repr(found.outcome.tables)


# ── Both ─────────────────────────────────────────────────────────────────────────────────────────

ALL = JUDGED + QUIZ


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["verdicts", "benchmarks"])
@pytest.mark.parametrize("how", ["bit", "cut", "other", "foreign"])
def test_a_poisoned_entry_is_noticed_dropped_said_and_made_again(
    cached: Cached, cache: Cache, kind: str, how: str
) -> None:
    sound = cached(ALL)
    some = entries(cache, kind)
    assert some
    poisoned = {}
    for entry in some:
        content = entry.file.read_bytes()
        if how == "bit":
            content = content.replace(b'"value": ', b'"value":  ').replace(b"1", b"2")
        elif how == "cut":
            content = content[:-5]
        elif how == "other":
            content = b"[]"
        else:  # whole, under its key, and nothing that a run has made
            from harness.store.entry import own_key, write_entry

            write_entry(entry.file, own_key(entry.file), {"outcome": 3})
            content = entry.file.read_bytes()
        entry.file.write_bytes(content)
        poisoned[entry.file] = content
    assert {one.file for one in unsound(Cache(cache.folder, cache.limit))} == {
        one.file for one in some
    }
    for file, content in poisoned.items():  # `verify` has removed them: once more, for a run
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    again = cached(ALL)
    assert same(sound, again)
    assert sum(entry.file.name in text for entry in some for text in again.warnings) == len(some)
    assert len(entries(cache, kind)) == len(some)
    cached(ALL)
    assert (made(), fakes.LAB.judged) == ((0, 0), [])


def test_a_half_filled_cache_gives_the_same(cached: Cached, cache: Cache) -> None:
    whole = cached(ALL)
    for entry in cache.entries()[1::2]:
        entry.file.unlink()
    assert same(whole, cached(ALL))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["verdicts", "benchmarks"])
def test_a_disk_that_is_full_costs_no_run(
    cached: Cached, cache: Cache, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    from harness.running import cached_values

    write = cached_values.write_spare

    def full(file: Path, key: str, value: Any) -> None:
        if kind in file.parts:
            raise OSError(28, "No space left on device")
        write(file, key, value)

    bare = cached(ALL, use=None)
    monkeypatch.setattr(cached_values, "write_spare", full)
    found = cached(ALL)
    assert same(bare, found)
    said = [text for text in found.warnings if "the cache could not be written" in text]
    assert len(said) == 1
    assert not entries(cache, kind)


def test_a_disk_that_may_only_be_read_is_read(
    cached: Cached, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.running import cached_values

    cold = cached(ALL)

    def denied(*arguments: Any) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(cached_values, "write_spare", denied)
    monkeypatch.setattr("harness.store.cache.os.utime", denied)
    warm = cached(ALL)
    assert (made(), fakes.LAB.judged) == ((0, 0), [])
    assert same(cold, warm)


def test_the_clock_an_hour_back_changes_nothing(
    cached: Cached, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os
    import time

    cold = cached(ALL)
    for entry in cache.entries():  # written in what is now the future
        os.utime(entry.file, (time.time() + 3600,) * 2)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 3600)
    assert same(cold, cached(ALL))
    assert (made(), fakes.LAB.judged) == ((0, 0), [])
    assert unsound(cache) == []


def test_a_cache_of_a_later_version_is_neither_read_nor_written(
    cached: Cached, cache: Cache
) -> None:
    cached(ALL)
    (cache.folder / "cache-format").write_text("99\n")
    before = [(one.file, one.size) for one in cache.entries()]
    found = cached(ALL)
    assert any("of a later version of the harness" in text for text in found.warnings)
    assert len(fakes.LAB.judged) == 2 * TEXTS
    assert [(one.file, one.size) for one in cache.entries()] == before


def test_the_command_knows_all_kinds(
    cached: Cached, cache: Cache, said: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    cached(ALL)
    monkeypatch.setenv("HARNESS_CACHE", str(cache.folder))
    kinds = [line.split()[0] for line in said("cache")[1].splitlines()[1:-1]]
    assert kinds == ["benchmarks", "completions", "passes", "verdicts"]
    entry = entries(cache, "verdicts")[0]
    entry.file.write_bytes(entry.file.read_bytes()[:-3])
    assert said("cache", "verify")[1].startswith("1 entry torn or changed, and removed")
    assert said("cache", "prune")[0] == 0
    assert cache.entries() == []


def test_two_runs_at_once_judge_and_ask_into_one_cache(
    task: Callable[..., Task], registry: Registry, tmp_path: Path, cache: Cache
) -> None:
    import threading

    made_plan = plan(task(ALL))
    found: dict[int, Results] = {}

    def one(number: int) -> None:
        found[number] = run(made_plan, registry, tmp_path / f"both{number}", cache=cache)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(found[0], found[1])
    assert unsound(cache) == []
