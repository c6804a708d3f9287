"""What observers are given: a copy, plain values, and no secret."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from harness.contract import Record, Records, RunStarted, Stamp, Warned
from harness.running.observers.masking import Mask
from pace import slower

STAMP = Stamp("r", 0, 0.0)
KEY = "a1b2c3d4e5f6g7h8i9"


@pytest.mark.parametrize(
    "name", ["HF_TOKEN", "OPENAI_API_KEY", "aws_secret_access_key", "MY_PASSWORD", "GITHUB_PAT"]
)
def test_what_the_environment_calls_secret_is_blotted_out(name: str) -> None:
    mask = Mask.of({name: KEY, "HOME": "/home/someone", "USE_TOKEN": "true"})
    assert mask.text(f"{KEY}: no such {KEY}, true, /home/someone") == (
        "***: no such ***, true, /home/someone"
    )


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("https://me:word@host/x", "https://***@host/x"),
        ("hf_abcdefghijklmnopqrst", "***"),
        ("key sk-proj-abcdefghijklmnop1234.", "key ***."),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
        ("GET /v1?key=abcdef&x=1", "GET /v1?key=***&x=1"),
        ("ghp_abcdefghijklmnopqrst0123", "***"),
        ("risk-averse half_hearted a@b.c mask-1234567890123456789", None),
        ("resid_post.3 = l0@1 at https://host/x@y", None),
    ],
)
def test_what_looks_like_a_key_is_blotted_out(text: str, left: str | None) -> None:
    assert Mask().text(text) == (text if left is None else left)


def test_a_table_keeps_no_key() -> None:
    task = {
        "evaluators": {"judge": {"api_key": KEY, "api_key_variable": "OPENAI_API_KEY"}},
        "views": {"base": {"token": "last", "password": "", "hf_token": [KEY]}},
    }
    event = RunStarted(STAMP, "t", "", "/run", False, task, "1")
    given = Mask().handed(event)
    assert isinstance(given, RunStarted)
    assert given.task == {
        "evaluators": {"judge": {"api_key": "***", "api_key_variable": "OPENAI_API_KEY"}},
        "views": {"base": {"token": "last", "password": "", "hf_token": [KEY]}},
    }


def test_a_copy_is_plain_and_shares_nothing() -> None:
    options = {"k": np.int64(3), "places": [Path("/a"), float("nan")], "of": {"deep": (1, 2)}}
    axes = {"site": "resid_post.3", "k": 4}
    record = Record("l0@1", np.float64(1.5), 3, "tokens", "latents", options, axes=axes)  # type: ignore[arg-type]
    event = Records(STAMP, (record,))
    (given,) = Mask().handed(event).records  # type: ignore[attr-defined]
    assert given.options == {"k": 3, "places": ["/a", None], "of": {"deep": (1, 2)}}
    assert type(given.value) is float
    assert given.options is not options
    assert given.axes == axes
    assert given.axes is not axes
    assert given.ci is None
    json.dumps(Mask().handed(event).plain(), allow_nan=False)


def test_an_event_is_the_same_copied() -> None:
    event = Records(STAMP, (Record("l0@1", 1.5, 3, "tokens", "latents", ci=(1.0, 2.0)),))
    assert Mask().handed(event) == event


def test_lone_surrogates_are_written_as_what_they_are_not() -> None:
    given = Mask().handed(Warned(STAMP, "a \ud800 b"))
    assert given.text == "a � b"  # type: ignore[attr-defined]


@pytest.mark.slow
def test_hostile_text_takes_no_time() -> None:
    begun = time.process_time()
    for text in ("://" * 50_000, "bearer " * 50_000, "?key=" * 50_000, "hf_" * 100_000):
        Mask(("secret",)).text(text)
    assert time.process_time() - begun < 5 * slower()
