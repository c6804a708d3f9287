"""What is known to be undefined before a run is said by `check`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from transformers import AutoTokenizer

from harness.planning.foresight import too_few_tokens
from harness.registry import discover
from harness.task.load import load_for_command
from harness.task.prompts import TaskData

DRIFT = Path(__file__).parents[2] / "tasks" / "drift.toml"


def test_feature_shift_on_fewer_tokens_than_it_needs(
    said: Callable[..., tuple[int, str, str]],
) -> None:
    """CASES row 27: it passed `check` and came out undefined. A present feature is at least 10 of
    `delta` = 5e-4 of the tokens, so 10 / 5e-4 = 20,000 of them; the tokenizer itself counts."""
    registry = discover()
    few = load_for_command(registry, str(DRIFT), ["data.web.at_most=8"])
    model = few.spec.views[few.spec.pairs["web"].left].model
    tokenizer = AutoTokenizer.from_pretrained(few.resolved["models"][model]["path"])
    rows = TaskData(few.spec, Path()).examples("web")
    counted = sum(len(tokenizer(row.text).input_ids) for row in rows)
    (note,) = too_few_tokens(few)
    assert f"web gives at most {counted:,} tokens" in note
    assert "it needs 20,000" in note
    assert not [*too_few_tokens(load_for_command(registry, str(DRIFT)))]
    code, out, _ = said("check", DRIFT, "--set", "data.web.at_most=8")
    assert code == 0
    assert "note: statistics." in out
