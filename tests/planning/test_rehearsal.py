"""What a chat template refuses is said by `check`, with the tokenizer of a real model's folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from harness.registry import discover
from harness.task.load import load_for_command

REFUSAL = Path(__file__).parents[2] / "tasks" / "refusal.toml"
NO_SYSTEM = (
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}"
)


@pytest.fixture
def gemma(tmp_path: Path) -> Path:
    """The tokenizer of the task's chat model, with a template that refuses a system turn."""
    task = load_for_command(discover(), str(REFUSAL))
    view = next(view for view in task.spec.views.values() if view.prompt.style == "chat")
    tokenizer = AutoTokenizer.from_pretrained(task.resolved["models"][view.model]["path"])
    tokenizer.chat_template = NO_SYSTEM + tokenizer.chat_template
    tokenizer.save_pretrained(tmp_path / "gemma")
    with pytest.raises(Exception, match="System role not supported"):  # its own word for it
        tokenizer.apply_chat_template([{"role": "system", "content": "a"}], tokenize=False)
    return tmp_path / "gemma"


@pytest.mark.slow
def test_a_system_turn_that_the_template_refuses(
    said: Callable[..., tuple[int, str, str]], gemma: Path
) -> None:
    """TOKENIZERS row T10: `check` was fine, and the run stopped before its completions."""
    task = load_for_command(discover(), str(REFUSAL))
    name, view = next((n, v) for n, v in task.spec.views.items() if v.prompt.style == "chat")
    tokenizer = ("--set", f'models.{view.model}.tokenizer="{gemma}"')
    assert said("check", REFUSAL, *tokenizer)[0] == 0
    for command in ("check", "plan"):
        code, _, err = said(
            command, REFUSAL, *tokenizer, "--set", f'views.{name}.prompt.system="Be kind."'
        )
        assert code == 2
        assert "refuses the turns system, user (System role not supported)" in err
        assert "rows are like this" in err
        assert "on_bad_rows" in err


@pytest.mark.slow
def test_check_needs_no_torch(gemma: Path) -> None:
    task = load_for_command(discover(), str(REFUSAL))
    model = next(v.model for v in task.spec.views.values() if v.prompt.style == "chat")
    code = (
        "import sys\nfrom harness.cli.main import main\n"
        f"code = main(['check', {str(REFUSAL)!r}, '--set', 'models.{model}.tokenizer={gemma}'])\n"
        "assert code == 0, code\nassert 'torch' not in sys.modules\n"
        "assert 'transformers' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=shutil.os.getcwd())
