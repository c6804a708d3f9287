"""What one run has made is not made again by another, and changes none of its numbers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

import fakes
from fakes.cached import EVERYTHING, PAIR, Cached, made, same
from harness.cli.main import main
from harness.planning.planner import plan
from harness.registry import Registry
from harness.results.read import Results
from harness.running import code
from harness.running.kept import unsound
from harness.running.passes import recall
from harness.running.passes.jobs import start, stream_views
from harness.running.runner import run
from harness.running.session import Session
from harness.store.cache import Cache, CacheEntry
from harness.task.task import Task


def test_the_second_run_makes_nothing_and_says_the_same(cached: Cached) -> None:
    bare = cached(use=None)
    forwards, completions = made()
    assert forwards
    assert completions == 12
    cold = cached()
    assert made() == (forwards, completions)
    warm = cached()
    assert made() == (0, 0)
    assert same(bare, cold)
    assert same(cold, warm)
    assert "from_cache" not in cold.provenance
    assert warm.provenance["from_cache"]["completions"] == 12
    assert warm.warnings == cold.warnings


def test_what_is_added_to_a_task_is_all_that_is_made(cached: Cached) -> None:
    cached()
    more = EVERYTHING.replace('directions = ["a"]', 'directions = ["a", "b"]')
    more = '[directions.b]\nmethod = "probe"\nview = "base"\ndata = "web"\n' + more
    both = cached(more)
    forwards, completions = made()
    assert completions == 6
    alone = cached(more, use=None)
    assert made()[1] == 18
    assert 0 < forwards < made()[0]
    assert same(both, alone)


def test_a_half_filled_cache_gives_the_same(cached: Cached, cache: Cache) -> None:
    whole = cached()
    for entry in cache.entries()[::2]:
        entry.file.unlink()
    half = cached()
    assert made() > (0, 0)
    assert same(whole, half)


@pytest.mark.slow
def test_entries_in_each_others_places_are_made_again(cached: Cached, cache: Cache) -> None:
    """Each is whole, and fits a hash of itself: it is of something else than its name says."""
    whole = cached()
    for kind in {one.kind for one in cache.entries()}:
        files = [one.file for one in cache.entries() if one.kind == kind]
        contents = [file.read_bytes() for file in files]
        assert len(set(contents)) == len(files) > 1
        for file, content in zip(files, [*contents[1:], contents[0]], strict=True):
            file.write_bytes(content)
    swapped = cached()
    assert same(whole, swapped)
    assert "from_cache" not in swapped.provenance
    assert any("made with other" in text for text in swapped.warnings)


def test_names_of_folders_and_tasks_do_not_matter(cached: Cached) -> None:
    cached()
    cached(EVERYTHING, "name=other", "title=Another")
    assert made() == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "forwards", "completions"),
    [
        (("models.chat.scale=4",), True, True),  # another model
        (("saes.mid.fingerprint=other",), True, False),  # unknown to the experiment
        (("seed=7",), True, True),
        (("data.web.limit=3",), True, True),  # the direction is another one
        (("experiments.e.generation.max_new_tokens=7",), False, True),
        (("views.chat.prompt.max_tokens=2",), True, True),
        (("metrics.low.where.cosine_below=0.5",), True, False),
        (("batch.shard=16",), False, False),  # decides what is read together, and no number
    ],
    ids=str,
)  # fmt: skip
def test_what_a_number_depends_on_is_made_anew(
    cached: Cached, overrides: tuple[str, ...], forwards: bool, completions: bool
) -> None:
    cached()
    try:
        other = cached(EVERYTHING, *overrides)
    except Exception as error:  # an override that the fakes have not
        pytest.fail(str(error))
    passes, written = made()
    alone = cached(EVERYTHING, *overrides, use=None)
    assert same(other, alone)
    assert (passes > 0, written > 0) == (forwards, completions)


def test_other_code_makes_everything_anew(cached: Cached, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever changes a plugin without a new version never sees its old numbers."""
    cached()
    monkeypatch.setattr(code, "_package", lambda name: f"{name} changed")
    cached()
    assert made()[1] == 12
    assert made()[0] > 0


def test_code_is_told_apart_by_what_is_in_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "some_plugin").mkdir()
    file = tmp_path / "some_plugin" / "__init__.py"
    hashes = []
    for text in ("a = 1\n", "a = 2\n", "a = 1\n"):
        file.write_text(text)
        code._package.cache_clear()
        hashes.append(code._package("some_plugin"))
    assert hashes[0] == hashes[2] != hashes[1]
    code._package.cache_clear()


def _entries(cache: Cache, kind: str) -> list[CacheEntry]:
    return [one for one in cache.entries() if one.kind == kind]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["passes", "completions"])
def test_a_changed_entry_is_noticed_dropped_and_made_again(
    cached: Cached, cache: Cache, kind: str
) -> None:
    sound = cached()
    entries = _entries(cache, kind)
    for entry in entries:
        content = bytearray(entry.file.read_bytes())
        content[-3] ^= 1
        entry.file.write_bytes(content)
    again = cached()
    assert same(sound, again)
    assert any("torn or changed since it was written" in text for text in again.warnings)
    assert made() > (0, 0)
    assert len(_entries(cache, kind)) == len(entries)
    cached()
    assert made() == (0, 0)


def test_verify_finds_what_was_changed_and_nothing_else(cached: Cached, cache: Cache) -> None:
    cached()
    assert unsound(cache) == []
    bad = [_entries(cache, kind)[0] for kind in ("passes", "completions")]
    for entry in bad:
        entry.file.write_bytes(entry.file.read_bytes()[:-5])
    # Reading marks nothing as used, so the entries are the same but for their size.
    assert {one.file for one in unsound(cache)} == {one.file for one in bad}
    assert unsound(cache) == []


def test_a_disk_that_may_not_be_written_costs_no_run(
    cached: Cached, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.store.cache.write_text", full)
    found = cached()
    said = [text for text in found.warnings if "the cache could not be written" in text]
    assert len(said) == 1
    assert "No space left on device" in said[0]
    assert cache.entries() == []


def test_a_cache_of_a_later_version_is_left_alone(cached: Cached, cache: Cache) -> None:
    cache.folder.mkdir()
    (cache.folder / "cache-format").write_text("99\n")
    found = cached()
    assert any("of a later version of the harness" in text for text in found.warnings)
    assert [file.name for file in cache.folder.iterdir()] == ["cache-format"]


def test_what_was_not_used_for_longest_goes_first(cached: Cached, cache: Cache) -> None:
    cached()
    for age, entry in enumerate(cache.entries()):
        os.utime(entry.file, (1e9 - age, 1e9 - age))
    oldest = cache.entries()
    size = sum(one.size for one in oldest)
    gone = cache.prune(size - 1)
    assert gone == oldest[:1]
    cache.prune(0)
    assert cache.entries() == []
    assert not list(cache.folder.glob("passes/*"))


@pytest.mark.slow
def test_a_run_keeps_the_cache_within_its_limit(cached: Cached, cache: Cache) -> None:
    cached()
    size = sum(one.size for one in cache.entries())
    small = Cache(cache.folder, size // 2)
    cached(EVERYTHING, "models.chat.scale=5", use=small)
    assert sum(one.size for one in small.entries()) <= small.limit


def test_nothing_but_entries_is_ever_removed(cached: Cached, cache: Cache) -> None:
    cached()
    kept = [cache.folder / "notes.txt", cache.folder / "passes" / "mine.txt",
            cache.folder / "photos" / f"{'a' * 32}.json"]  # fmt: skip
    for file in kept:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    cache.prune(0)
    assert all(file.read_text() == "mine" for file in kept)


def test_two_runs_at_once_share_a_cache(
    task: Callable[..., Task], registry: Registry, tmp_path: Path, cache: Cache
) -> None:
    made = plan(task(EVERYTHING))
    found: dict[int, Results] = {}

    def one(number: int) -> None:
        found[number] = run(made, registry, tmp_path / f"both{number}", cache=cache)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert same(found[0], found[1])
    assert unsound(cache) == []


def test_jobs_on_an_edited_view_are_done_in_every_run(
    session: Callable[..., Session], cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its edit did is known only to the run that read it: its records must not be missing."""
    made = session(PAIR)
    made.cache = cache
    jobs = [start(made, job) for job in plan(made.task).passes[0].jobs]
    assert all(recall._kept(made, cache, job) for job in jobs)
    monkeypatch.setattr(Task, "edited_by", lambda self, view: ("d",) if view == "chat" else ())
    read = [{*stream_views(stream)} for job in jobs for stream in job.job.reads.streams]
    assert {"base", "chat"} in read
    for job in jobs:
        views = {view for stream in job.job.reads.streams for view in stream_views(stream)}
        assert (recall._kept(made, cache, job) is None) == ("chat" in views)


# ── The command ──────────────────────────────────────────────────────────────────────────────────


def test_the_command_shows_prunes_and_verifies(
    cached: Cached, cache: Cache, said: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    cached()
    monkeypatch.setenv("HARNESS_CACHE", str(cache.folder))
    code, out, _ = said("cache")
    assert code == 0
    assert out.splitlines()[0] == str(cache.folder)
    assert f"{len(_entries(cache, 'passes'))} entries" in out
    assert said("cache", "verify")[1].startswith("0 entries torn or changed, and removed")
    assert said("cache", "prune", "--to", "1TB")[1].startswith("0 entries removed")
    code, out, err = said("cache", "prune", "--to", "much")
    assert code == 2
    assert "--to: 'much' is no size. Allowed: a number with KB" in err
    assert said("cache", "prune")[0] == 0
    assert cache.entries() == []
    monkeypatch.setenv("HARNESS_CACHE", "")
    code, out, err = said("cache")
    assert code == 2
    assert "HARNESS_CACHE is empty" in err
    monkeypatch.setenv("HARNESS_CACHE", str(cache.folder))
    monkeypatch.setenv("HARNESS_CACHE_LIMIT", "lots")
    assert "HARNESS_CACHE_LIMIT: 'lots' is no size" in said("cache")[2]


def test_a_place_that_is_no_cache_is_said(
    said: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    file = tmp_path / "file"
    file.write_text("mine")
    monkeypatch.setenv("HARNESS_CACHE", str(file))
    for words in (("cache",), ("cache", "prune"), ("eval", "drift")):
        code, out, err = said(*words)
        assert (code, out) == (2, "")
        assert f"HARNESS_CACHE: {file} is a file. Allowed: a folder" in err
    assert file.read_text() == "mine"
    later = tmp_path / "later"
    later.mkdir()
    (later / "cache-format").write_text("99\n")
    monkeypatch.setenv("HARNESS_CACHE", str(later))
    assert "of a later version of the harness" in said("cache")[2]


@pytest.mark.slow
def test_a_quiet_run_says_its_warnings_where_no_line_is_counted(
    write: Callable[..., Path], fake_plugin: Path, cache: Cache, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    cache.folder.mkdir()
    (cache.folder / "cache-format").write_text("99\n")
    monkeypatch.setenv("HARNESS_CACHE", str(cache.folder))
    assert main(["eval", "-q", str(write(EVERYTHING)), "--out", str(tmp_path / "o")]) == 0
    out, err = capfd.readouterr()
    assert len(out.splitlines()) == 1
    assert "of a later version of the harness" in err


@pytest.mark.slow
def test_eval_uses_it_unless_told_not_to(
    write: Callable[..., Path], fake_plugin: Path, cache: Cache, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("HARNESS_CACHE", str(cache.folder))
    file = str(write(EVERYTHING))
    made = []
    for number, flags in enumerate([["--no-cache"], [], [], ["--no-cache"]]):
        fakes.LAB.clear()
        assert main(["eval", file, "--out", str(tmp_path / f"o{number}"), *flags]) == 0
        made.append(len(fakes.LAB.generated))
    assert made == [12, 12, 0, 12]
    assert (
        "from the cache: 12 completions, 7 jobs (--no-cache makes all anew)"
        in capfd.readouterr().err
    )
