"""Neuronpedia against a server that replays answers of the recorded shape, good and bad."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from contextlib import closing
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fakes.replay import Replay, Reply, only_what_hangs_times_out
from harness.contract import Findings, Label, SaeFacts, Tools
from harness.errors import DataError, MachineError
from harness.running.kept import unsound
from harness.store.cache import usual_cache
from harness.store.lines import Lines
from harness.store.notes import hearing
from harness_labels import options
from harness_labels.neuronpedia import Neuronpedia

ID = "gemma-2-2b/20-gemmascope-res-16k"
FACTS = SaeFacts(d_sae=16384, neuronpedia=ID)
PATH = f"/api/feature/{ID}/"
LISTING = "/?list-type=2&prefix=v1%2Fgemma-2-2b%2F20-gemmascope-res-16k%2Fexplanations%2F"
FOLDER = f"v1/{ID}/explanations/"


def answer(index: int, *texts: str, **more: Any) -> str:
    """A feature as the service writes it: the index is a string."""
    explanations = [
        {"modelId": "gemma-2-2b", "layer": "20-gemmascope-res-16k", "index": str(index),
         "description": text, "typeName": kind, "explanationModelName": "gpt-4o-mini", "scores": []}
        for text, kind in zip(texts, ("oai_token-act-pair", "eleuther_acts_top20"), strict=False)
    ]  # fmt: skip
    row = {"modelId": "gemma-2-2b", "layer": "20-gemmascope-res-16k", "index": str(index),
           "maxActApprox": 31.5, "frac_nonzero": 0.01, "pos_str": [" sorry"], "pos_values": [1.2],
           "activations": [], "explanations": explanations}  # fmt: skip
    return json.dumps({**row, **more})


def made(replay: Replay, **more: Any) -> Neuronpedia:
    given = {"server": replay.url, "exports": replay.url, "interval": 0.0, "timeout": 600.0}
    return Neuronpedia(options.NeuronpediaOptions(**{**given, **more}))


def ask(
    source: Neuronpedia, features: Sequence[int], facts: SaeFacts = FACTS, cache: Path | None = None
) -> dict[int, Label]:
    labels = source.describe("mid", facts, features, Findings(tools=Tools(cache=cache)))
    assert len({label.feature for label in labels}) == len(labels)
    return {label.feature: label for label in labels}


# ── What comes back ──────────────────────────────────────────────────────────────────────────────


def test_a_feature(replay: Replay) -> None:
    tokens = ["a"] * 20 + [" sorry"] + ["b"] * 20
    values = [0.0] * 20 + [9.5] + [0.0] * 20
    activations = [{"tokens": tokens, "values": values, "maxValue": 9.5}]
    body = answer(10956, " apologies and regret ", "other", activations=activations)
    replay.replies[PATH + "10956"] = [Reply(body)]
    found = ask(made(replay), [10956])[10956]
    assert (found.sae, found.description) == ("mid", "apologies and regret")
    assert found.url == f"{replay.url}/{ID}/10956"
    (context,) = found.contexts
    assert context["tokens"] == ["a"] * 12 + [" sorry"] + ["b"] * 6
    assert context["tokens"][context["mark"]] == " sorry"
    assert context["values"][context["mark"]] == 9.5


def test_only_explanations_of_a_kind(replay: Replay) -> None:
    replay.replies[PATH + "1"] = [Reply(answer(1, "first", "second"))]
    found = ask(made(replay, kind="eleuther_acts_top20"), [1])
    assert found[1].description == "second"
    assert ask(made(replay, kind="np_max-act"), [1])[1].description == ""


@pytest.mark.parametrize("explanations", [[], [{"description": ""}], [{"description": None}], [3]])
def test_an_empty_explanation_keeps_its_link_and_is_counted(
    replay: Replay, explanations: list[Any]
) -> None:
    replay.replies[PATH + "7"] = [Reply(answer(7, explanations=explanations))]
    source = made(replay)
    found = ask(source, [7])[7]
    assert found.description == ""
    assert found.url is not None
    assert source.notes == (f"Neuronpedia {ID}: 1 of 1 features without an explanation",)
    ask(made(replay), [7])
    assert len(replay.asked) == 1  # what is empty is known, too


MALFORMED = [
    "", "{", "null", "[]", "3", '"text"', "<html>502</html>", "{}", '{"explanations": {}}',
    '{"index": "8", "explanations": []}', '{"index": "x", "explanations": []}', "[" * 100_000,
    b"\xff\xfe\x00",
]  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_answers_are_counted_and_cost_only_their_feature(
    replay: Replay, body: str | bytes
) -> None:
    replay.replies[PATH + "7"] = [Reply(body), Reply(answer(7, "mended"))]
    replay.replies[PATH + "9"] = [Reply(answer(9, "fine"))]
    source = made(replay)
    assert {f: label.description for f, label in ask(source, [7, 9]).items()} == {9: "fine"}
    assert source.notes == (f"Neuronpedia {ID}: 1 of 2 features with a malformed answer",)
    again = made(replay)
    assert ask(again, [7, 9])[7].description == "mended"
    assert again.notes == ()
    assert replay.paths == [PATH + "7", PATH + "9", PATH + "7"]


def test_odd_activations_are_passed_over(replay: Replay) -> None:
    odd = [None, {}, {"tokens": ["a"], "values": []}, {"tokens": [1], "values": [1]},
           {"tokens": ["a"], "values": ["1"]}, {"tokens": [], "values": []},
           {"tokens": ["a"], "values": [float("nan")]}]  # fmt: skip
    replay.replies[PATH + "7"] = [Reply(answer(7, "x", activations=odd))]
    assert ask(made(replay), [7])[7].contexts == ()


def test_hostile_text_stays_text(replay: Replay) -> None:
    hostile = "</script><script>alert(1)</script>\x1b[31m\ud800" + "a" * 10_000
    activations = [{"tokens": [hostile], "values": [1.0]}]
    replay.replies[PATH + "7"] = [Reply(answer(7, hostile, activations=activations))]
    for _ in range(2):  # from the server and from the disk
        found = ask(made(replay), [7])[7]
        assert found.description.startswith("</script><script>")
        assert len(found.description) == 2000
        found.description.encode()
        found.contexts[0]["tokens"][0].encode()


# ── Trouble ──────────────────────────────────────────────────────────────────────────────────────


def test_a_limit_is_waited_for_as_long_as_it_says(replay: Replay, pauses: list[float]) -> None:
    slow = Reply("slow down", 429, {"Retry-After": "17"})
    replay.replies[PATH + "7"] = [slow, slow, Reply(answer(7, "fine"))]
    assert ask(made(replay), [7])[7].description == "fine"
    assert pauses == [17, 17]
    assert len(replay.asked) == 3


def test_a_limit_may_be_a_date_or_nonsense(replay: Replay, pauses: list[float]) -> None:
    replies = [Reply("", 429, {"Retry-After": value}) for value in (formatdate(4e9), "soon")]
    replay.replies[PATH + "7"] = [replies[1], Reply(answer(7, "fine"))]
    assert ask(made(replay), [7])[7].description == "fine"
    replay.replies[PATH + "8"] = [replies[0]]  # in decades: nobody waits for that
    source = made(replay)
    assert list(ask(source, [7, 8, 9])) == [7]
    assert source.notes[0].endswith("2 of 3 features not asked for: Neuronpedia cannot be reached")
    assert max(pauses) < 10


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 425, 429, -1])
def test_what_passes_is_tried_again_with_longer_pauses(
    replay: Replay, pauses: list[float], status: int
) -> None:
    trouble = Reply("oh", status)
    replay.replies[PATH + "7"] = [trouble, trouble, trouble, Reply(answer(7, "fine"))]
    assert ask(made(replay), [7])[7].description == "fine"
    assert len(pauses) == 3
    assert pauses[0] >= 1
    assert pauses[2] >= 4


def test_what_does_not_pass_stops_the_questions_and_keeps_what_is_there(
    replay: Replay, pauses: list[float], tmp_path: Path
) -> None:
    replay.replies[PATH + "1"] = [Reply(answer(1, "one"))]
    replay.replies[PATH + "2"] = [Reply("oh", 500)]
    source = made(replay, retries=3)
    assert list(ask(source, [1, 2, 3])) == [1]
    assert replay.paths == [PATH + "1"] + [PATH + "2"] * 4  # and 3 is not asked of a dead server
    assert source.notes == (
        f"Neuronpedia {ID}: 2 of 3 features not asked for: Neuronpedia cannot be reached",
    )
    replay.replies[PATH + "2"] = [Reply(answer(2, "two"))]
    replay.replies[PATH + "3"] = [Reply(answer(3, "three"))]
    replay.asked.clear()
    assert len(ask(made(replay), [1, 2, 3])) == 3
    assert replay.paths == [PATH + "2", PATH + "3"]


def test_nothing_known_and_nobody_there(replay: Replay, pauses: list[float]) -> None:
    replay.replies[PATH + "1"] = [Reply("oh", 500)]
    with pytest.raises(MachineError, match=r"does not answer: .*500.*contexts"):
        ask(made(replay, retries=1), [1])
    with pytest.raises(MachineError, match="does not answer"):
        ask(made(replay, server="http://127.0.0.1:9", retries=1), [1])


def test_a_server_that_hangs(
    replay: Replay, pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    only_what_hangs_times_out(monkeypatch, replay)
    replay.replies[PATH + "1"] = [Reply(answer(1, "one"))]
    replay.replies[PATH + "2"] = [Reply(hangs=True)]
    source = made(replay, retries=1, timeout=0.2)
    assert list(ask(source, [1, 2])) == [1]
    assert "cannot be reached" in source.notes[0]


def test_a_body_that_breaks_off_is_asked_for_once_more(replay: Replay, pauses: list[float]) -> None:
    torn = Reply("{", headers={"Content-Length": "5"})
    replay.replies[PATH + "1"] = [torn, Reply(answer(1, "one"))]
    assert ask(made(replay), [1])[1].description == "one"


def test_an_endless_answer(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness_labels.neuronpedia._LARGEST_PAGE", 100)
    replay.replies[PATH + "1"] = [Reply(answer(1, "one" * 1000))]
    with pytest.raises(MachineError, match="longer than 100 bytes"):
        ask(made(replay), [1])


def test_unknown_and_refused_features_are_counted(replay: Replay) -> None:
    replay.replies[PATH + "2"] = [Reply("no", 400)]
    replay.replies[PATH + "3"] = [Reply("", 302, {"Location": "http://127.0.0.1:9/"})]
    replay.replies[PATH + "4"] = [Reply(answer(4, "four"))]
    source = made(replay)
    assert list(ask(source, [1, 2, 3, 4])) == [4]
    assert {note.partition(" features ")[2] for note in source.notes} == {
        "unknown there", "refused (400)", "refused (302)",
    }  # fmt: skip


# ── Keys, ids, offline ───────────────────────────────────────────────────────────────────────────


def test_the_key_is_sent_and_never_shown(replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEURONPEDIA_API_KEY", " sk-secret ")
    replay.replies[PATH + "1"] = [Reply(answer(1, "one"))]
    ask(made(replay), [1])
    assert replay.asked[0][1]["x-api-key"] == "sk-secret"
    replay.replies[PATH + "2"] = [Reply("sk-secret is no key", 401)]
    with pytest.raises(DataError, match=r"does not take the key in.*NEURONPEDIA_API_KEY") as caught:
        ask(made(replay), [2])
    assert "sk-secret" not in str(caught.value)


def test_a_missing_key_names_its_variable(replay: Replay) -> None:
    replay.replies[PATH + "1"] = [Reply("who are you", 403)]
    with pytest.raises(DataError, match=r"wants a key: put one into .*NEURONPEDIA_API_KEY"):
        ask(made(replay), [1])
    assert "x-api-key" not in replay.asked[0][1]


def test_an_sae_without_an_id(replay: Replay) -> None:
    with pytest.raises(DataError, match=r"has no Neuronpedia id.*`contexts`.*`file`"):
        ask(made(replay), [1], SaeFacts())
    replay.replies[PATH + "1"] = [Reply(answer(1, "one"))]
    assert ask(made(replay, id=ID), [1], SaeFacts())[1].description == "one"


@pytest.mark.parametrize("id", ["", "x", "../..", "a/../b", "a/b/c", "a/..", "a b/c", "a/b?x=1"])
def test_ids_that_would_leave_their_place(replay: Replay, id: str) -> None:
    with pytest.raises(DataError, match="no Neuronpedia id"):
        ask(made(replay), [1], SaeFacts(neuronpedia=id))
    with pytest.raises(ValidationError, match="no id"):
        options.NeuronpediaOptions(id=id)


@pytest.mark.parametrize("url", ["ftp://x", "x", "http://u:p@x", "http://x?key=1", "http://"])
def test_addresses(url: str) -> None:
    with pytest.raises(ValidationError, match="must be a URL"):
        options.NeuronpediaOptions(server=url)


@pytest.mark.parametrize("how", ["option", "1", "true", "ON"])
def test_offline(replay: Replay, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    replay.replies[PATH + "1"] = [Reply(answer(1, "one"))]
    more = {"offline": True} if how == "option" else {}

    def offline() -> None:
        if how != "option":
            monkeypatch.setenv("HF_HUB_OFFLINE", how)

    offline()
    with pytest.raises(DataError, match=r"offline, and nothing .* is kept.*HF_HUB_OFFLINE"):
        ask(made(replay, **more), [1])
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    ask(made(replay), [1])
    offline()
    source = made(replay, **more)
    assert ask(source, [1, 2])[1].description == "one"
    assert source.notes == (f"Neuronpedia {ID}: 1 of 2 features not asked for: offline",)
    assert len(replay.asked) == 1


# ── Kept for good ────────────────────────────────────────────────────────────────────────────────


def test_nothing_is_asked_twice_whichever_folder_is_left(
    replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay.replies[PATH + "1"] = [Reply(answer(1, "one"))]
    ask(made(replay), [1, 1, 1])
    ask(made(replay), [1], cache=tmp_path / "run")  # and the run's folder is given it
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "new home"))
    assert ask(made(replay), [1], cache=tmp_path / "run")[1].description == "one"
    assert ask(made(replay), [1])[1].description == "one"
    assert replay.paths == [PATH + "1"]


def test_torn_and_foreign_lines_are_passed_over(replay: Replay, tmp_path: Path) -> None:
    replay.replies[PATH + "1"] = [Reply(answer(1, "one"))]
    ask(made(replay), [1])
    (file,) = (tmp_path / "home").rglob("*.jsonl")
    whole = file.read_text()
    file.write_text(whole[: len(whole) // 2])
    assert ask(made(replay), [1])[1].description == "one"
    foreign = '\n[]\n{"feature": "1"}\n{"feature": 2, "explanations": 3, "contexts": []}\n\x00\n'
    file.write_text(foreign + file.read_text())
    assert ask(made(replay), [1])[1].description == "one"
    assert len(replay.asked) == 2


def test_labels_of_another_sae_in_this_ones_file_are_asked_for_again(
    replay: Replay, tmp_path: Path
) -> None:
    replay.replies[PATH + "1"] = [Reply(answer(1, "one"))]
    ask(made(replay), [1])
    (file,) = (tmp_path / "home").rglob("*.jsonl")
    other = ID.replace("20-", "21-")
    file.rename(file.with_name(file.name.replace("20-", "21-")))
    replay.replies[f"/api/feature/{other}/1"] = [Reply(answer(1, "another"))]
    facts = SaeFacts(d_sae=16384, neuronpedia=other)
    assert ask(made(replay), [1], facts)[1].description == "another"
    assert ask(made(replay), [1], facts)[1].description == "another"
    assert len(replay.asked) == 2


def test_what_version_0_1_kept_is_still_used(replay: Replay, tmp_path: Path) -> None:
    """It did not write of which SAE a line is."""
    replay.replies[PATH + "1"] = [Reply(answer(1, "one"))]
    ask(made(replay), [1])
    (file,) = (tmp_path / "home").rglob("*.jsonl")
    with closing(Lines(file)) as lines:
        (kept,) = lines.read()
    file.unlink()
    with closing(Lines(file)) as lines:
        lines.add({key: value for key, value in kept.items() if key != "of"}, "whole export")
    assert ask(made(replay), [1, 2])[1].description == "one"
    assert len(replay.asked) == 1


def test_a_home_that_cannot_be_written_costs_nothing(
    replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    replay.replies[PATH + "1"] = [Reply(answer(1, "one"))]
    for _ in range(2):
        assert ask(made(replay), [1], cache=tmp_path / "run")[1].description == "one"
    assert len(replay.asked) == 1


def test_the_cache_shows_verifies_and_prunes_what_was_published(
    replay: Replay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    replay.replies[PATH + "1"] = [Reply(answer(1, "one"))] * 2
    ask(made(replay), [1])
    cache = usual_cache()
    assert cache is not None
    (entry,) = cache.entries()
    assert entry.kind == "labels"
    os.utime(entry.file, (1e9, 1e9))
    ask(made(replay), [1])
    assert cache.entries()[0].used > 1e9  # it was used just now
    assert unsound(cache) == []
    entry.file.write_bytes(entry.file.read_bytes().replace(b"one", b"two"))
    with hearing() as heard:
        assert ask(made(replay), [1])[1].description == "one"
    assert "dropped 1 remembered line" in heard[0]
    assert len(replay.asked) == 2
    assert [one.file for one in unsound(cache)] == [entry.file]
    assert cache.entries() == []


# ── The bulk export ──────────────────────────────────────────────────────────────────────────────


def export(replay: Replay, *files: bytes) -> None:
    names = [f"{FOLDER}batch-{number}.jsonl.gz" for number in range(len(files))]
    keys = "".join(f"<Contents><Key>{name}</Key></Contents>" for name in names)
    other = "<Contents><Key>v1/../../etc/passwd</Key></Contents>"
    replay.replies[LISTING] = [Reply(f"<ListBucketResult>{keys}{other}</ListBucketResult>")]
    for name, body in zip(names, files, strict=True):
        replay.replies[f"/{name}"] = [Reply(body)]


def lines(*rows: Any) -> bytes:
    return gzip.compress(
        "\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows).encode()
    )


def row(index: Any, text: Any) -> dict[str, Any]:
    return {"index": index, "description": text, "typeName": "oai_token-act-pair"}


def test_many_features_are_read_from_the_export(replay: Replay) -> None:
    export(replay, lines(row("0", "zero"), row("1", "one")), lines(row(2, "two"), row("3", "")))
    source = made(replay, bulk=3)
    found = ask(source, [0, 1, 2, 3, 4])
    assert {f: label.description for f, label in found.items()} == {
        0: "zero", 1: "one", 2: "two", 3: "",
    }  # fmt: skip
    assert source.notes == (f"Neuronpedia {ID}: 2 of 5 features without an explanation",)
    assert len(replay.asked) == 3
    assert ask(made(replay), range(5)).keys() == found.keys()
    assert len(replay.asked) == 3  # the whole export is known: what is not in it is not asked for


def test_a_damaged_export_is_counted_and_the_rest_asked_for(replay: Replay) -> None:
    export(replay, lines(row("0", "zero"), "{", "[]", {"index": "x", "description": "y"}))
    replay.replies[PATH + "1"] = [Reply(answer(1, "one"))]
    source = made(replay, bulk=1)
    assert {f: x.description for f, x in ask(source, [0, 1]).items()} == {0: "zero", 1: "one"}
    assert source.notes == (
        f"Neuronpedia {ID}: 3 of 2 features lost to malformed lines of the export",
    )


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"{}" * 50, mtime=0)[:-9], b""])
def test_an_export_that_is_none(replay: Replay, body: bytes) -> None:
    export(replay, body)
    replay.replies |= {PATH + str(i): [Reply(answer(i, f"{i}"))] for i in range(2)}
    assert len(ask(made(replay, bulk=1), [0, 1])) == 2


def test_no_export(replay: Replay) -> None:
    replay.replies |= {PATH + str(i): [Reply(answer(i, f"{i}"))] for i in range(2)}
    assert len(ask(made(replay, bulk=1), [0, 1])) == 2
    replay.replies[LISTING] = [Reply("<ListBucketResult></ListBucketResult>")]
    replay.replies |= {PATH + str(i): [Reply(answer(i, f"{i}"))] for i in (5, 6)}
    assert len(ask(made(replay, bulk=1), [5, 6])) == 2


def test_an_export_that_unpacks_to_too_much(
    replay: Replay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness_labels.neuronpedia_pages._LARGEST", 1000)
    export(replay, gzip.compress(b"\n" * 100_000))
    replay.replies |= {PATH + str(i): [Reply(answer(i, f"{i}"))] for i in range(2)}
    assert len(ask(made(replay, bulk=1), [0, 1])) == 2
