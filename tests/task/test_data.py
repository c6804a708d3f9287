"""Data: every kind of file, the same rows every time, and words for everything that is wrong."""

from __future__ import annotations

import hashlib
import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fakes.files import JSONL, ROWS, parquet, texts
from fakes.replay import Replay, Reply, pauses_of_web
from harness.errors import DataError, MachineError
from harness.store.notes import hearing
from harness.task.data import BUFFER, load_data
from harness.task.data_spec import DataSpec
from harness.web import telling

Load = Callable[..., list[Any]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("d.jsonl", JSONL),
        ("d.JSONL", "\n\n" + JSONL.replace("\n", "\r\n\n")),
        ("d.json", json.dumps(ROWS)),
        ("d.csv", "label,text,other\n" + "".join(f"{r['label']},{r['text']},x\n" for r in ROWS)),
        ("d.parquet", parquet(ROWS)),
        ("d.txt", "\n\n".join(row["text"] for row in ROWS)),
        ("d.txt", "\n\n \n" + "\r\n\r\n".join(row["text"] for row in ROWS) + "\n\n"),
        ("d.jsonl", "\n".join(json.dumps(row["text"]) for row in ROWS)),
        ("d.json", json.dumps([row["text"] for row in ROWS])),
    ],
    ids=["jsonl", "lines", "json", "csv", "parquet", "txt", "paragraphs", "strings", "list"],
)
def test_each_kind_of_file_gives_its_rows_in_order(
    load: Load, name: str, content: str | bytes
) -> None:
    assert texts(load(content, name)) == [row["text"] for row in ROWS]


def test_a_row_keeps_its_other_columns_and_has_an_id_of_its_content(load: Load) -> None:
    first, again = load(JSONL), load(JSONL)
    assert [dict(example.fields) for example in first] == ROWS
    assert [e.id for e in first] == [e.id for e in again]
    assert len({e.id for e in first}) == len(ROWS)
    changed = load(JSONL.replace("row 3", "row three"))
    assert [a.id == b.id for a, b in zip(first, changed, strict=True)].count(False) == 1
    assert {e.id for e in load("\n".join(JSONL.split("\n")[::-1]))} == {e.id for e in first}


def test_another_column_is_another_text(load: Load) -> None:
    rows = '{"text": "a", "question": "b"}'
    (example,) = load(rows, column="question")
    assert example.text == "b"
    assert example.id != load(rows)[0].id


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, range(10)),
        ({"limit": 3}, range(3)),
        ({"limit": 10}, range(10)),
        ({"at_most": 3}, range(3)),
        ({"at_most": 99}, range(10)),
        ({"limit": 5, "at_most": 2}, range(2)),
        ({"limit": 5, "at_most": 99}, range(5)),
        ({"where": {"label": 1}}, range(1, 10, 2)),
        ({"where": {"label": 1}, "limit": 2}, (1, 3)),
        ({"where": {"label": 1, "text": "row 3"}}, (3,)),
    ],
)
def test_rows_are_filtered_then_limited(load: Load, more: dict[str, Any], expected: range) -> None:
    assert texts(load(JSONL, **more)) == [f"row {n}" for n in expected]


SCORED = "\n".join(
    json.dumps({"text": str(n), "trait": score, "coherence": other})
    for n, (score, other) in enumerate(
        [(80, 90), (50, 50.0), (49.9, 90), ("70", 60), (None, 90), ("n/a", 90), (100, 20), ([9], 9)]
    )
)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"at_least": {"trait": 50}}, "0136"),
        ({"at_least": {"trait": 50, "coherence": 50}}, "013"),
        ({"below": {"trait": 50}}, "2"),
        ({"below": {"trait": 100}, "at_least": {"trait": 50}}, "013"),
        ({"below": {"trait": 1000}}, "01236"),
        ({"at_least": {"trait": 50}, "where": {"coherence": 90}}, "0"),
    ],
)
def test_rows_are_filtered_by_scores(load: Load, more: dict[str, Any], expected: str) -> None:
    """What is no number, such as a verdict that a judge did not give, is on neither side."""
    assert "".join(texts(load(SCORED, **more))) == expected


def test_a_score_that_no_row_has_or_reaches_is_named(load: Load) -> None:
    with pytest.raises(DataError, match=r"data\.d\.at_least: .* no column 'triat'.*trait"):
        load(SCORED, at_least={"triat": 1})
    with pytest.raises(DataError, match=r"gives no rows\. Check `below` and the file"):
        load(SCORED, below={"trait": -1})


@pytest.mark.parametrize("more", [{"limit": 11}, {"limit": 6, "where": {"label": 1}},
                                  {"limit": 11, "at_most": 99}])  # fmt: skip
def test_fewer_rows_than_the_task_wants_are_an_error(load: Load, more: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=rf"data\.d: .* rows, the task wants {more['limit']}"):
        load(JSONL, **more)


def test_a_shuffle_is_the_same_every_time_and_before_the_limit(load: Load) -> None:
    whole = texts(load(JSONL, shuffle=3))
    assert texts(load(JSONL, shuffle=3)) == whole
    assert texts(load(JSONL, shuffle=3, limit=4)) == whole[:4]
    assert sorted(whole) == [row["text"] for row in ROWS]
    assert whole != sorted(whole)
    assert texts(load(JSONL, shuffle=4)) != whole
    # Written down: another Python, machine or process must draw the same rows.
    assert whole == [f"row {n}" for n in (1, 5, 6, 0, 9, 4, 7, 2, 8, 3)]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("d.jsonl", "", "is empty"),
        ("d.txt", "", "is empty"),
        ("d.jsonl", "\n \n", "gives no rows"),
        ("d.json", "[]", "gives no rows"),
        ("d.csv", "text\n", "gives no rows"),
        ("d.txt", "\n\n\n\n", "gives no rows"),
        ("d.parquet", parquet([{"text": "a"}]).replace(b"PAR1", b"PAR0"), "cannot be read"),
        ("d.jsonl", '{"text": "a"}\n{"text": \n', "cannot be read: line 2:"),
        ("d.jsonl", "[", r"line 1: .*\. Allowed: a JSON object in every line, in UTF-8\. Mend"),
        ("d.csv", b"text\n\xff\n", r"Allowed: a line of column names and lines of as many fields"),
        ("d.parquet", b"PAR1" + bytes(99) + b"PAR1", r"Allowed: a whole Parquet file\. Mend"),
        ("d.jsonl", '{"text": "a"}\n\n5\n', "line 3: a row must be an object, not int"),
        ("d.jsonl", "[" * 100_000, "cannot be read: line 1"),
        ("d.jsonl", b'{"text": "\xff"}', "cannot be read"),
        ("d.json", '{"text": "a"}', "must hold a list of rows"),
        ("d.json", "[5]", "a row must be an object, not int"),
        ("d.json", "[", "cannot be read"),
        (
            "d.yaml",
            "a",
            r"unknown ending. Allowed: \.csv, \.json, \.jsonl, \.parquet, \.tsv, \.txt",
        ),
        ("d", "a", "unknown ending"),
        ("d.jsonl", '{"text": 5}', "row 1 of .* 'text' holds int. Allowed: text, or a list"),
        ("d.jsonl", '{"text": null}', "holds NoneType"),
        ("d.jsonl", '{"text": {}}', "holds dict"),
        ("d.jsonl", '{"text": []}', "holds list"),
        ("d.jsonl", '{"text": [{"role": "user"}]}', "a turn must have role and content"),
        ("d.jsonl", '{"text": ["hello"]}', "holds list"),
        ("d.csv", "text,other\na,b,c,d\n", "row 1"),
    ],
    ids=lambda value: repr(value)[:25],
)
def test_a_file_that_is_no_data_is_said_to_be_none(
    load: Load, name: str, content: str | bytes, said: str
) -> None:
    with pytest.raises(DataError, match=rf"data\.d: (.|\n)*{said}"):
        load(content, name)


def test_a_short_row_of_a_csv_file_is_an_error_where_the_text_is_missing(load: Load) -> None:
    with pytest.raises(DataError, match="row 2"):
        load("label,text\n1,a\n2\n", "d.csv")


@pytest.mark.parametrize("column", ["txet", "Text", "text "])
def test_a_column_that_is_not_there_is_named_with_those_that_are(load: Load, column: str) -> None:
    with pytest.raises(DataError, match=r"no column .*It has: label, other, text.*mean text"):
        load(JSONL, column=column)


def test_a_filter_by_a_column_that_is_not_there_says_so(load: Load) -> None:
    with pytest.raises(DataError, match=r"lable.*label"):
        load(JSONL, where={"lable": 1})


def test_a_file_that_is_gone_or_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "folder.jsonl").mkdir()
    for name in ("gone.jsonl", "folder.jsonl"):
        with pytest.raises(DataError, match="cannot be read"):
            load_data("d", DataSpec(file=str(tmp_path / name)), tmp_path)


def test_conversations_keep_their_turns_and_their_text(load: Load) -> None:
    turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    more = [{**turn, "weight": 1} for turn in turns]
    rows = "\n".join(json.dumps({"messages": one}) for one in (turns, more))
    first, second = load(rows, column="messages")
    assert first.text == second.text == "hi\nhello"
    assert first.messages == second.messages == tuple(turns)
    assert load(JSONL)[0].messages == ()


def test_a_conversation_in_parquet_is_one_too(load: Load) -> None:
    turns = [{"role": "user", "content": "hi"}]
    (example,) = load(parquet([{"messages": turns}]), "d.parquet", column="messages")
    assert example.messages == tuple(turns)


# ── From elsewhere ───────────────────────────────────────────────────────────────────────────────

CONTENT = JSONL.encode()
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return pauses_of_web(monkeypatch)


@pytest.fixture
def replay() -> Iterator[Replay]:
    served = Replay()
    yield served
    served.close()


@pytest.fixture
def fetch(tmp_path: Path, replay: Replay, pauses: list[float]) -> Callable[..., list[Any]]:
    def fetch(*replies: Reply, path: str = "/d.jsonl", sha: str = SHA) -> list[Any]:
        replay.replies[path] = list(replies)
        # A task allows https alone; what listens here has no certificate.
        spec = DataSpec(url="https://x.org/", sha256=sha)
        spec = spec.model_copy(update={"url": f"{replay.url}{path}"})
        return load_data("d", spec, tmp_path / "cache")

    return fetch


OK = Reply(CONTENT)
HALF = Reply(CONTENT[:50], 200, {"Content-Length": str(len(CONTENT))})


@pytest.mark.parametrize("path", ["/d.jsonl", "/d.jsonl?download=true"])
def test_a_download_is_checked_kept_and_not_fetched_again(
    fetch: Load, replay: Replay, path: str
) -> None:
    first, again = fetch(OK, path=path), fetch(OK, path=path)
    assert texts(first) == texts(again) == [row["text"] for row in ROWS]
    assert len(replay.asked) == 1


def test_a_download_of_another_hash_is_refused_and_not_kept(fetch: Load, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"hashes to .*the task says {SHA}"):
        fetch(Reply(b"something else"))
    assert not list((tmp_path / "cache").glob("*"))
    assert len(fetch(OK)) == len(ROWS)


def test_a_download_that_was_damaged_on_disk_is_fetched_again(
    fetch: Load, replay: Replay, tmp_path: Path
) -> None:
    """CASES rows 10 and 24: it was hashed when it came, and never when it was read again."""
    fetch(OK)
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(kept.read_bytes().replace(b"row 3", b"row 8"))
    with hearing() as heard:
        assert texts(fetch(OK)) == [row["text"] for row in ROWS]
    assert len(replay.asked) == 2
    assert heard == [
        f"{kept}: dropped 1 download, because it was torn or changed since it was written. "
        "What is missing is redone."
    ]


@pytest.mark.parametrize("failing", [Reply(status=-1), HALF, Reply("", 500)])
def test_a_network_that_fails_is_the_machines_fault_and_a_rerun_continues(
    fetch: Load, replay: Replay, failing: Reply
) -> None:
    with pytest.raises(MachineError, match=r"data\.d: http://127.*/d\.jsonl cannot be fetched"):
        fetch(failing)
    assert len(replay.asked) == 6
    assert len(fetch(OK)) == len(ROWS)


@pytest.mark.parametrize("failing", [Reply(status=-1), HALF, Reply("", 503)])
def test_a_network_that_fails_once_is_asked_again(fetch: Load, failing: Reply) -> None:
    assert len(fetch(failing, OK)) == len(ROWS)


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_is_waited_for_as_it_asks(
    fetch: Load, pauses: list[float], status: int
) -> None:
    """CASES row 24: it ended the run at once."""
    said: list[str] = []
    with telling(said.append):
        assert len(fetch(Reply("", status, {"Retry-After": "37"}), OK)) == len(ROWS)
    assert pauses == [37.0]
    (line,) = said
    assert f"answered {status}. Asked again in 37 s" in line


def test_a_server_that_asks_to_wait_too_long_is_not_waited_for(
    fetch: Load, pauses: list[float]
) -> None:
    with pytest.raises(MachineError, match="asks to wait 7200 seconds"):
        fetch(Reply("", 429, {"Retry-After": "7200"}))
    assert pauses == []


@pytest.mark.parametrize("status", [404, 403, 401])
def test_an_address_that_is_not_there_is_a_wrong_address(fetch: Load, status: int) -> None:
    with pytest.raises(DataError, match=f"{status}.*Check the address"):
        fetch(Reply("", status))


def test_a_redirection_is_followed(fetch: Load, replay: Replay) -> None:
    replay.replies["/there"] = [OK]
    moved = Reply("", 302, {"Location": f"{replay.url}/there"})
    assert len(fetch(moved)) == len(ROWS)


class NoSuchDataset(FileNotFoundError):
    """As in the library: a dataset that does not exist is a missing file."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    def hub(answer: Any, **spec: Any) -> list[Any]:
        def load_dataset(*given: Any, **more: Any) -> Any:
            hub.asked = (given, more)  # type: ignore[attr-defined]
            if isinstance(answer, Exception):
                raise answer
            return answer

        fake = types.SimpleNamespace(load_dataset=load_dataset)
        monkeypatch.setitem(sys.modules, "datasets", fake)  # type: ignore[arg-type]
        return load_data("d", DataSpec(hub="a/b", **spec), tmp_path)

    return hub


def test_a_dataset_of_the_hub_is_read_like_a_file(hub: Load) -> None:
    found = hub(ROWS, split="test", revision="abc", config="c", where={"label": 0}, limit=2)
    assert texts(found) == ["row 0", "row 2"]
    given, more = hub.asked  # type: ignore[attr-defined]
    assert given == ("a/b", "c")
    assert (more["split"], more["revision"]) == ("test", "abc")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ConnectionError("offline"), MachineError),
        (TimeoutError("slow"), MachineError),
        (OSError(28, "No space left"), MachineError),
        (NoSuchDataset("a/b does not exist"), DataError),
        (ValueError("Unknown split 'tset'"), DataError),
        (RuntimeError(""), DataError),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_what_the_hub_refuses_is_wrong_usage_and_what_the_network_does_is_not(
    hub: Load, error: Exception, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=r"data\.d: a/b \(train\) cannot be loaded from the hub"):
        hub(error)


@pytest.mark.parametrize(
    "error",
    [ConnectionError("gone"), TimeoutError("slow"), ValueError("a broken shard"), OSError()],
)
def test_a_stream_that_breaks_off_is_said_in_words(hub: Load, error: Exception) -> None:
    """What comes while rows are read is the hub's fault as much as what comes before."""

    def rows() -> Iterator[dict[str, Any]]:
        yield from ROWS[:3]
        raise error

    kind = MachineError if isinstance(error, OSError) else DataError
    with pytest.raises(kind, match=r"data\.d: a/b \(train\) cannot be "):
        hub(rows(), stream=True)


class Table(list[dict[str, Any]]):
    """A streaming dataset that tells how it was shuffled."""

    def shuffle(self, **how: Any) -> Table:
        self.shuffled = how
        return Table(self[::-1])


def test_a_stream_is_read_while_it_downloads_and_shuffled_in_a_buffer(hub: Load) -> None:
    table = Table(ROWS)
    found = hub(table, stream=True, shuffle=3, limit=4)
    assert texts(found) == ["row 9", "row 8", "row 7", "row 6"]
    assert table.shuffled == {"seed": 3, "buffer_size": BUFFER}
    assert hub.asked[1]["streaming"] is True  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("more", "streaming"),
    [
        ({}, False),
        ({"limit": 2}, True),
        ({"at_most": 2}, True),
        ({"stream": True}, True),
        ({"limit": 2, "shuffle": 1}, False),
        ({"limit": 2, "shuffle": 1, "stream": True}, True),
    ],
)
def test_the_whole_of_a_set_is_downloaded_only_where_it_is_needed(
    hub: Load, more: dict[str, Any], streaming: bool
) -> None:
    hub(Table(ROWS), **more)
    assert hub.asked[1]["streaming"] is streaming  # type: ignore[attr-defined]


def test_a_stream_that_ends_early_is_an_error_at_its_end(hub: Load) -> None:
    with pytest.raises(DataError, match=r"has 10 rows, the task wants 11"):
        hub(iter(ROWS), stream=True, limit=11)
