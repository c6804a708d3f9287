"""Issue 16, item 5: how something is reached is no part of a number, for every component.

Which options those are is said by the marks on the fields; there is no list of names here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field

from fakes.chat import ChatServer
from harness.contract import (
    Answer,
    Completion,
    EvaluatorOptions,
    Example,
    Options,
    ServerUrl,
    Tools,
    Transport,
)
from harness.contract.options import transport_fields
from harness.registry import Owned, discover
from harness.task.contents import by_content
from harness.testing import organism

COMPONENTS = [
    Owned(one, plugin) for plugin in discover().plugins for one in plugin.components if one.options
]
REACHED = [one for one in COMPONENTS if transport_fields(one.options())]
URL = "http://somewhere.example:1"
VALUES: dict[str, Any] = {"string": URL, "number": 1234.5, "integer": 1234, "boolean": True}
"""A value that no default has, by the type that the JSON Schema gives a field."""


def value_for(options: type[Options], name: str) -> Any:
    told = options.model_json_schema()["properties"][name]
    kinds = [one["type"] for one in told.get("anyOf", [told]) if one["type"] != "null"]
    return VALUES[kinds[0]]


@pytest.mark.parametrize("owned", REACHED, ids=str)
def test_marked_options_may_be_written_and_are_never_dumped(owned: Owned) -> None:
    options = owned.options()
    marked = {name: value_for(options, name) for name in transport_fields(options)}
    given = options.model_construct(**marked)
    plain: Any = {"warnings": False, "exclude_computed_fields": True}  # they read files
    for dumped in (given.model_dump(mode="json", **plain), given.model_dump(**plain)):
        assert not marked.keys() & dumped.keys()
        assert "somewhere.example" not in repr(dumped)
    assert "somewhere.example" not in given.model_dump_json(**plain)
    assert marked.keys() <= options.model_json_schema()["properties"].keys()


def test_components_that_talk_to_a_server_are_among_them() -> None:
    """So that an empty list does not pass."""
    found = {str(one).rpartition("/")[2] for one in REACHED}
    assert {"harmbench", "strongreject", "wildguard", "clusters", "neuronpedia"} <= found


def test_what_is_asked_for_stays_in() -> None:
    """The name of a served model, the template and the length of an answer are part of a number."""
    for owned in REACHED:
        options = owned.options()
        named = options.model_fields.keys() & {"server_model", "template", "max_tokens"}
        given = options.model_construct(server_model="m")
        assert named <= given.model_dump(warnings=False, exclude_computed_fields=True).keys()


class Strange(EvaluatorOptions):
    """Options of a stranger's judge."""

    address: ServerUrl | None = None
    """Where it is."""
    patience: Annotated[int, Transport(), Field(ge=1)] = 3
    """How long it is waited for."""
    model: str = "m"
    """Who is asked."""


def test_a_strangers_options_need_the_mark_alone() -> None:
    assert transport_fields(Strange) == {"address", "patience"}
    given = Strange(address="http://x", patience=9)
    assert given.model_dump() == by_content(given) == {"model": "m"}
    assert given.model_copy(update={"model": "n"}).address == "http://x"
    assert by_content(given) == by_content(Strange())


# ── What is remembered ───────────────────────────────────────────────────────────────────────────

JUDGES = [one for one in REACHED if one.component.kind == "evaluator"]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    found = ChatServer(lambda text: "no")
    yield found
    found.close()


@pytest.mark.parametrize("owned", JUDGES, ids=str)
def test_a_judge_that_is_reached_otherwise_is_asked_nothing_again(
    owned: Owned, server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every marked option is changed, whatever it is called; then what is asked for."""
    monkeypatch.setenv("JUDGE_KEY", "sk-key")
    options = owned.options()
    given: dict[str, Any] = {"server": server.url, "server_model": "m"}
    if "tokenizer" in options.model_fields:
        given["tokenizer"] = str(organism() / "judge")
    first = options.model_validate(given)

    def sent(**more: Any) -> int:
        before = len(server.sent)
        judge = owned.load()(options.model_validate({**given, **more}))
        example = Example("e", "How?")
        judge.judge([Answer(example, "How?", Completion("So.", 1, True))], Tools(cache=tmp_path))
        return len(server.sent) - before

    def other(name: str) -> Any:
        value = getattr(first, name)
        if isinstance(value, str):
            return value.replace("127.0.0.1", "localhost")
        if value is None:
            is_number = "float" in str(options.model_fields[name].annotation)
            return 60_000.0 if is_number else "JUDGE_KEY"
        return value + 1

    assert (sent(), sent()) == (1, 0)
    changed = {name: other(name) for name in transport_fields(options)}
    assert all(getattr(first, name) != value for name, value in changed.items())
    assert sent(**changed) == 0
    assert sent(server_model="n") == 1
    assert "sk-key" not in "".join(file.read_text() for file in tmp_path.iterdir())
