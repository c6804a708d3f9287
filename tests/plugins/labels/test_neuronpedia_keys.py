"""Item 3 of the issue: each part of the key of remembered labels alone has them asked for again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from fakes.replay import Replay, Reply
from harness.store.lines import Lines
from harness_labels.neuronpedia import LabelsKey
from harness_labels.options import EXPORTS, SITE

from .test_neuronpedia import FACTS, ID, PATH, answer, ask, made

OTHER = "gemma-2-2b/21-gemmascope-res-16k"
PARTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "server": lambda url: {"server": f"{url}/mirror"},
    "exports": lambda url: {"exports": f"{url}/mirror"},
    "id": lambda url: {"id": OTHER},
}


def test_every_part_of_a_key_has_a_case() -> None:
    assert list(PARTS) == [part.name for part in fields(LabelsKey)]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_changes_has_it_asked_again(replay: Replay, part: str) -> None:
    """A mirror may hold other explanations, also under another path of the same host."""
    for place in (PATH, f"/mirror{PATH}", f"/api/feature/{OTHER}/"):
        replay.replies[f"{place}1"] = [Reply(answer(1, place))]
    for _ in range(2):
        assert ask(made(replay), [1])[1].description == PATH
    assert len(replay.asked) == 1
    for _ in range(2):
        ask(made(replay, **PARTS[part](replay.url)), [1])
    assert len(replay.asked) == 2


def test_what_does_not_count_asks_nothing_again(replay: Replay, tmp_path: Path) -> None:
    """How patiently is asked, which explanation is shown, and where the SAE's id was written."""
    replay.replies[PATH + "1"] = [Reply(answer(1, "one"))]
    ask(made(replay), [1])
    more: dict[str, Any] = {"interval": 0.01, "timeout": 1.0, "retries": 1, "bulk": 3}
    ask(made(replay, kind="eleuther_acts_top20", id=ID, **more), [1])
    ask(made(replay, id=ID), [1], replace(FACTS, neuronpedia=None), tmp_path / "run")
    assert len(replay.asked) == 1


def test_what_was_asked_at_the_site_itself_is_found_where_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Labels are kept for good: those of earlier versions count."""
    assert str(LabelsKey(SITE, EXPORTS, ID)) == f"neuronpedia/www.neuronpedia.org/{ID}"
    file = (
        tmp_path / "home" / "sae-harness" / "labels" / f"neuronpedia/www.neuronpedia.org/{ID}.jsonl"
    )
    lines = Lines(file)
    lines.add({"feature": 1, "explanations": [{"text": "kept", "kind": "x"}], "contexts": []})
    lines.close()
    from harness_labels.neuronpedia import Neuronpedia
    from harness_labels.options import NeuronpediaOptions

    assert ask(Neuronpedia(NeuronpediaOptions(offline=True)), [1])[1].description == "kept"
