"""Chat templates that ask for the date: one date, whatever the day is."""

from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from transformers.utils import chat_template_utils

from harness.contract import Example, Prompt
from harness_transformers.options import TransformersOptions
from harness_transformers.template import DATE, day

from .conftest import CONFIGS, TEMPLATE, load, save_model

EXAMPLE = Example("e", "Eat it.", {"instruction": "Eat it."})
CHAT = Prompt(style="chat")
LLAMA_3_2 = (
    "{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n"
    '        {%- set date_string = strftime_now("%d %b %Y") %}\n    {%- else %}\n'
    '        {%- set date_string = "26 Jul 2024" %}\n    {%- endif %}\n{%- endif %}\n'
    "<|system|>{{ date_string }}<|eot|>"
)
GPT_OSS = (
    '{%- macro system() %}{{ "Current date: " + strftime_now("%Y-%m-%d") }}{% endmacro %}'
    "{{ system() }}<|eot|>"
)
LLAMA_3_1 = (
    '{%- if not date_string is defined %}\n    {%- set date_string = "26 Jul 2024" %}\n'
    "{%- endif %}\n<|system|>{{ date_string }}<|eot|>"
)
DATED = {"llama 3.2": LLAMA_3_2, "gpt-oss": GPT_OSS, "llama 3.1": LLAMA_3_1}


@dataclass
class Clock:
    """What transformers' templates take for now."""

    now_is: datetime.datetime

    def now(self) -> datetime.datetime:
        return self.now_is


def folder_with(path: Path, template: str) -> Path:
    return save_model(path, CONFIGS["llama"], template=template + TEMPLATE)


@pytest.mark.slow
@pytest.mark.parametrize("name", DATED)
def test_the_same_prompts_on_two_days(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CASES row 11, TOKENIZERS T1: what the template itself writes on 26 July 2024, every day."""
    folder = folder_with(tmp_path / "m", DATED[name])
    found, own = [], []
    for when in (datetime.datetime(2026, 1, 2), datetime.datetime(2024, 7, 26)):
        monkeypatch.setattr(chat_template_utils, "datetime", Clock(when))
        model = load(folder)
        turns = [{"role": "user", "content": "Eat it."}]
        by_library = model.tokenizer.apply_chat_template(
            turns, tokenize=False, add_generation_prompt=True
        )
        found += [model.render([EXAMPLE], CHAT)[0].text, by_library]
        # The independent value: the template as it is in the folder, by the library on that day.
        own.append(
            chat_template_utils.render_jinja_template(
                [turns],
                chat_template=DATED[name] + TEMPLATE,
                add_generation_prompt=True,
                bos_token="<|bos|>",
            )[0][0]
        )
        assert model.date == DATE
    assert set(found) == {own[1]}


@pytest.mark.slow
def test_another_date_is_another_model(tmp_path: Path) -> None:
    """CASES row 11: the date is part of the fingerprint, which every key holds."""
    dated = folder_with(tmp_path / "m", LLAMA_3_1)
    first, second = load(dated), load(dated, date="1 Feb 2025")
    assert first.fingerprint != second.fingerprint
    assert "1 Feb 2025" in second.render([EXAMPLE], CHAT)[0].text
    plain = save_model(tmp_path / "n", CONFIGS["llama"])
    assert load(plain).fingerprint == load(plain, date="1 Feb 2025").fingerprint
    assert load(plain).date is None


FORMATS = "%d %b %Y|%Y-%m-%d|%B %-d, %y|%A %a %j %u|%H:%M|%%d|%F"


def test_directives_are_those_of_strftime(tmp_path: Path) -> None:
    """CASES row 11: held against datetime itself, in the library and ahead of a run."""
    folder = folder_with(tmp_path / "m", "")
    (folder / "chat_template.jinja").write_text(
        "\n  {% if true %}{{ strftime_now('" + FORMATS + "') }}{% endif %}\n" + TEMPLATE
    )
    text = datetime.datetime(2025, 2, 1).strftime(FORMATS)
    options = TransformersOptions(path=str(folder), date="1 Feb 2025")
    ahead = options.render([EXAMPLE], CHAT)
    assert ahead is not None
    run = load(folder, date="1 Feb 2025").render([EXAMPLE], CHAT)
    assert list(ahead) == run
    assert run[0].text.startswith(f"\n{text}<|bos|>")


@pytest.mark.parametrize("name", [*DATED, "generation", "tojson"])
def test_a_plan_counts_what_is_read(name: str, tmp_path: Path) -> None:
    """TOKENIZERS T12: such templates are counted by the tokenizer that is here."""
    others = {
        "generation": "{% generation %}{{ 'so' }}{% endgeneration %}",
        "tojson": "{{ {'b': 'é<', 'a': 1} | tojson }}",
    }
    folder = folder_with(tmp_path / "m", {**DATED, **others}[name])
    ahead = TransformersOptions(path=str(folder)).render([EXAMPLE], CHAT)
    assert ahead is not None
    assert list(ahead) == load(folder).render([EXAMPLE], CHAT)


def test_several_templates_by_name(tmp_path: Path) -> None:
    """CASES row 11: also where the file holds several, and no file of its own."""
    folder = folder_with(tmp_path / "m", "")
    (folder / "chat_template.jinja").unlink()
    settings = folder / "tokenizer_config.json"
    several: list[dict[str, Any]] = [
        {"name": "default", "template": GPT_OSS + TEMPLATE},
        {"name": "other", "template": "{{ strftime_now('%Y') }}"},
    ]
    settings.write_text(json.dumps({**json.loads(settings.read_text()), "chat_template": several}))
    text = load(folder).render([EXAMPLE], CHAT)[0].text
    assert "2024-07-26" in text
    ahead = TransformersOptions(path=str(folder)).render([EXAMPLE], CHAT)
    assert ahead is not None
    assert ahead[0].text == text


@pytest.mark.parametrize("text", ["", "2024-07-26", "31 Feb 2024", "26 Juli 2024", "a Jul 2024"])
def test_no_such_date(text: str) -> None:
    with pytest.raises(ValidationError):
        TransformersOptions(path="x", date=text)
    assert day("9 Feb 2024") == datetime.date(2024, 2, 9)
