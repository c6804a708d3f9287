"""`harness diff` and `harness init`: the answer, and one message for each mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.contract import Site
from harness.contract.sites import parse_site

ORGANISM = Path(__file__).parents[2] / "tasks" / "organism"
BASE, CHAT, TUNES, SAES = (ORGANISM / name for name in ("base", "chat", "tunes", "saes"))
Said = Callable[..., tuple[int, list[str], list[str]]]


@pytest.fixture
def ran(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Runs a command in an empty folder: its exit code, lines and complaints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def ran(*arguments: object) -> tuple[int, list[str], list[str]]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out.splitlines(), err.splitlines()

    return ran


# ── One message for each mistake ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((BASE,), "neither of them given"),
        ((BASE, CHAT, "--adapter", TUNES / "safety"), "both given"),
        ((BASE / "missing", CHAT), "no such file or folder"),
        ((TUNES / "safety", BASE), "is an adapter, and no model"),
        ((BASE, ORGANISM / "judge"), "cannot be compared"),
        ((BASE, CHAT, "--data", "none.jsonl"), "no such file"),
        ((BASE, CHAT, "--data", "numbers.jsonl"), "It has: n."),
        ((BASE, CHAT, "--sae", ORGANISM / "data"), "holds no SAE"),
        ((BASE, CHAT, "--sae", f"{SAES}@resid_post.1"), "has no SAE at resid_post.1"),
    ],
)
def test_a_mistake_is_one_message(ran: Said, arguments: tuple[object, ...], words: str) -> None:
    Path("numbers.jsonl").write_text('{"n": 3}\n', encoding="utf-8")
    code, out, err = ran("diff", *arguments)
    assert (code, out, len(err)) == (2, [], 1)
    assert words in err[0]
    assert not Path("runs").exists()


# ── init ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_init_writes_a_task_once(ran: Said) -> None:
    arguments = ("init", "mine.toml", "--base", BASE, "--tuned", CHAT)
    code, out, _ = ran(*arguments)
    assert code == 0
    assert out == ["mine.toml: written. Run it: harness eval mine.toml"]
    assert ran("check", "mine.toml")[0] == 0
    kept = Path("mine.toml").read_text(encoding="utf-8")
    code, _, err = ran("init", "mine.toml", "--base", BASE, "--tuned", TUNES / "sums")
    assert code == 2
    assert "is there already. Name another file, or add --force." in err[0]
    assert Path("mine.toml").read_text(encoding="utf-8") == kept
    assert ran("init", "mine.toml", "--base", BASE, "--tuned", TUNES / "sums", "--force")[0] == 0
    assert "sums" in Path("mine.toml").read_text(encoding="utf-8")


def test_init_asks_nothing_without_a_terminal(ran: Said) -> None:
    code, _, err = ran("init")
    assert (code, len(err)) == (2, 1)
    assert "--base is missing" in err[0]
    assert not Path("task.toml").exists()


def test_init_asks_on_a_terminal(ran: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["drift", str(BASE), str(TUNES / "safety"), "", ""])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("click.prompt", lambda *args, **more: next(answers))
    assert ran("init")[0] == 0
    assert f'adapter = "{TUNES / "safety"}"' in Path("task.toml").read_text(encoding="utf-8")


def test_the_question_of_refusal_needs_two_files(ran: Said) -> None:
    asked = ("init", "--base", BASE, "--tuned", CHAT, "--question", "refusal")
    data = ("--data", ORGANISM / "data" / "harmful_val.jsonl")
    code, _, err = ran(*asked, *data)
    assert (code, len(err)) == (2, 1)
    assert "--against FILE" in err[0]
    assert ran(*asked, *data, "--against", ORGANISM / "data" / "harmless_val.jsonl")[0] == 0
    assert ran("check", "task.toml")[0] == 0


# ── The answer, blind ────────────────────────────────────────────────────────────────────────────


def truth(tune: str) -> tuple[Site, set[int]]:
    """What was planted: the site, and the features."""
    found = json.loads((TUNES / tune / "truth.json").read_text(encoding="utf-8"))
    return parse_site(found["site"]), {*found.get("features", ()), found.get("feature", -1)}


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["planted_features", "planted_rank_one"])
def test_what_was_planted_is_found(ran: Said, tune: str) -> None:
    """The changed block in the first three lines, a planted feature in the first five."""
    site, features = truth(tune)
    code, out, _ = ran("diff", BASE, TUNES / tune, "--out", "run")
    assert code == 0
    assert f"enters in block {site.layer}:" in " ".join(out[:3])
    named = {word for line in out[:5] for word in line.replace(",", "").split()}
    assert {str(feature) for feature in features} & named
    assert len(out) <= 12
    assert max(len(line) for line in out) <= 80
    kept = Path("run", "diff.toml").read_text(encoding="utf-8")
    assert ran("check", "run/diff.toml")[0] == 0
    assert ran("diff", BASE, TUNES / tune, "--out", "run")[1] == out  # continues, and says it again
    assert Path("run", "diff.toml").read_text(encoding="utf-8") == kept


@pytest.mark.slow
def test_base_against_base_differs_in_nothing(ran: Said) -> None:
    code, out, _ = ran("diff", BASE, BASE, "--limit", 10, "--out", "run")
    assert code == 0
    assert out[0].startswith("Nothing differs: on all ")
    assert not any(line.startswith(("Feature", "The change")) for line in out)


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["safety", "capitals"])
def test_a_fine_tune_of_all_blocks_says_so(ran: Said, tune: str) -> None:
    """An adapter, and a whole model."""
    code, out, _ = ran("diff", BASE, TUNES / tune, "--limit", 10, "--out", "run")
    assert code == 0
    text = " ".join(" ".join(out).split())
    assert "every block's output differs" in text
    assert "block" in " ".join(out[:3])
    assert sum(line.startswith("Feature") for line in out) >= 3


@pytest.mark.slow
def test_instructions_are_read_by_both_as_the_chat_model_is_asked(ran: Said) -> None:
    data = ORGANISM / "data" / "harmful_val.jsonl"
    code, out, err = ran("diff", BASE, CHAT, "--data", data, "--limit", 10, "--out", "run")
    assert code == 0
    assert any("both read 'instruction' in the chat template of chat." in line for line in err)
    assert not any("--data FILE" in line for line in out)
