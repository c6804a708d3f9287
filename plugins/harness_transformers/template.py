"""Chat templates as programs: where they lie, what they are run in, and the day that they write.

A template of Llama 3.2 or gpt-oss asks for today's date, so that the same task would have other
prompts on each day. The date is an argument instead, the same in a run and in its rerun.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date as Day
from functools import cache
from pathlib import Path
from typing import Any

from harness.errors import ModelError
from harness_transformers.ended import TooMuch, too_much
from harness_transformers.failures import words

DATE = "26 Jul 2024"
"""The date that Llama's own templates fall back to."""
SOURCE = 2**20
"""Characters of a template itself; the longest real ones have a twentieth of it."""
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def day(text: str) -> Day:
    """The day of a date such as `26 Jul 2024`; ValueError for anything else.

    Months are English whatever the machine's language is.
    """
    words = text.split()
    months = [month[:3] for month in _MONTHS]
    if len(words) != 3 or words[1] not in months or len(words[2]) != 4:
        raise ValueError("no such date. Allowed: day, English month of three letters, year")
    return Day(int(words[2]), months.index(words[1]) + 1, int(words[0]))


def is_dated(template: Any) -> bool:
    """Whether a template, or one of several by name, asks for the date."""
    several = template.values() if isinstance(template, Mapping) else [template]
    return any(
        word in str(one) for one in several if one for word in ("strftime_now", "date_string")
    )


def dated(template: Any, text: str) -> Any:
    """A template that takes the date `text` for today; others come back as they are.

    What it calls, `strftime_now`, becomes a macro of its own, so it writes the same whoever runs
    it: this harness, transformers, or a library that is handed the tokenizer.
    """
    if isinstance(template, Mapping):
        return {name: dated(one, text) for name, one in template.items()}
    if not is_dated(template):
        return template
    filters = "".join(
        f" | replace({directive!r}, {value!r})" for directive, value in _directives(day(text))
    )
    head = "{%- macro strftime_now(format) -%}{{- format" + filters + " -}}{%- endmacro -%}"
    # Templates that take the date as `date_string` have one of their own where none is given.
    if text != DATE:
        head += "{%- set date_string = " + repr(text) + " -%}"
    # The environment drops a line break after a block: this one, and none of the template's own.
    return f"{head[:-3]}%}}\n{template}"


def _directives(today: Day) -> list[tuple[str, str]]:
    """What strftime writes for each directive, at midnight and in English."""
    month, weekday, year = _MONTHS[today.month - 1], _DAYS[today.weekday()], str(today.year)
    number = f"{today.month:02}"
    of_year = today.timetuple().tm_yday
    plain = {
        "d": f"{today.day:02}", "e": f"{today.day:2}", "m": number, "b": month[:3], "h": month[:3],
        "B": month, "Y": year, "y": year[2:], "a": weekday[:3], "A": weekday,
        "j": f"{of_year:03}", "u": str(today.isoweekday()), "w": str(today.isoweekday() % 7),
        "H": "00", "I": "12", "M": "00", "S": "00", "f": "000000", "p": "AM", "X": "00:00:00",
        "T": "00:00:00", "R": "00:00", "F": today.isoformat(), "Z": "", "z": "",
        "D": f"{number}/{today.day:02}/{year[2:]}", "x": f"{number}/{today.day:02}/{year[2:]}",
        "c": f"{weekday[:3]} {month[:3]} {today.day:2} 00:00:00 {year}",
    }  # fmt: skip
    unpadded = {
        "d": str(today.day), "m": str(today.month), "j": str(of_year), "H": "0", "I": "12",
        "M": "0", "S": "0", "y": str(today.year % 100),
    }  # fmt: skip
    found = [("%%", "\x01")]  # first and last, so that %%d stays %d
    found += [(f"%-{letter}", value) for letter, value in unpadded.items()]
    found += [(f"%{letter}", value) for letter, value in plain.items()]
    return [*found, ("\x01", "%")]


# ── The environment, without transformers ────────────────────────────────────────────────────────


def template_of(
    folder: Path, settings: Mapping[str, Any], date: str, where: str = "the tokenizer"
) -> str | None:
    """The template of a tokenizer's folder; `settings` are its tokenizer_config.json. ModelError,
    which `where` begins, for a file that is no text."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            return str(dated(file.read_text(encoding="utf-8"), date))
        except ValueError as error:
            raise ModelError(
                f"{where}: {file} is no text ({words(error)}). Allowed: a template in UTF-8. Copy"
                " it again, or save it as UTF-8."
            ) from None
    given = settings.get("chat_template")
    if isinstance(given, list):  # several by name; the one that is used is called default
        named = [one for one in given if isinstance(one, Mapping)]
        given = next((t.get("template") for t in named if t.get("name") == "default"), None)
    return str(dated(given, date)) if isinstance(given, str) else None


_WRITTEN = ("messages", "tools", "documents", "add_generation_prompt", "strftime_now")
"""What a template reads that no task may set; special tokens are none of its business either."""


@cache
def compiled(template: str) -> Callable[..., str]:
    """A template as a function of its variables, with all that transformers gives it.

    Either raises TooMuch for a template that takes too long, or becomes too large.
    """
    environment = _environment()
    made = environment.from_string(_bounded(template))

    def run(**variables: Any) -> str:
        environment.watch.start()
        return str(made.render(**variables))

    return run


@cache
def variables_of(template: str) -> frozenset[str]:
    """The variables that a template reads or asks for, such as `tools`."""
    from jinja2 import nodes
    from jinja2.meta import find_undeclared_variables

    parsed = _environment().parse(_bounded(template))
    # Llama's sets some of its own where they are not given, and reads them before that.
    tested = {one.node.name for one in parsed.find_all(nodes.Test) if _of_a_name(one)}
    return frozenset(find_undeclared_variables(parsed) | tested)


def _of_a_name(test: Any) -> bool:
    """Whether it is asked of a variable whether it is defined."""
    return test.name == "defined" and hasattr(test.node, "name")


@cache
def arguments_of(template: str) -> frozenset[str]:
    """The variables that a template reads and a task may set, such as `enable_thinking`."""
    from jinja2.meta import find_undeclared_variables

    read = find_undeclared_variables(_environment().parse(_bounded(template)))
    return frozenset(one for one in read if one not in _WRITTEN and not one.endswith("_token"))


def _bounded(template: str) -> str:
    """The template, where it is not too long to be read; TooMuch says so."""
    if len(template) > SOURCE:
        raise TooMuch(f"is itself longer than {SOURCE:,} characters")
    return template


def _environment() -> Any:
    """The sandbox in which transformers runs templates, with all that it puts there, and bounds."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension

    from harness_transformers.bounds import BoundedEnvironment

    class Generation(Extension):
        """`{% generation %}`, which marks what the assistant says and writes nothing."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    def refuse(message: str) -> None:
        raise TemplateError(message)  # what transformers raises, and libraries catch

    def tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None,
               separators: Any = None, sort_keys: bool = False) -> str:  # fmt: skip
        return json.dumps(
            value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
            sort_keys=sort_keys,
        )  # fmt: skip

    environment = BoundedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, "jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = refuse
    environment.add_filter("tojson", tojson)
    return environment


class BoundedTemplate:
    """`apply_chat_template` of a transformers' tokenizer, for whoever calls it: this harness, or a
    library that is handed the tokenizer.

    transformers does all but run the template: that is done within bounds, once, so a template
    cannot behave while it is watched and misbehave afterwards.
    """

    def __init__(self, tokenizer: Any, name: str) -> None:
        self._tokenizer = tokenizer
        self._name = name

    def __call__(self, conversation: Any, *given: Any, **others: Any) -> Any:
        """What the tokenizer's own method gives; ModelError for a template that is ended."""
        if others.get("return_assistant_tokens_mask"):
            raise ModelError(
                f"{self._name}: return_assistant_tokens_mask is not made here, where chat templates"
                " run within bounds. Load the tokenizer with transformers for it."
            )
        own = type(self._tokenizer).apply_chat_template
        try:
            with _compiling_within_bounds():
                return own(self._tokenizer, conversation, *given, **others)
        except TooMuch as error:
            raise ModelError(too_much(self._name, error)) from None


class _Compiled:
    """A template in the form in which transformers takes compiled ones."""

    def __init__(self, template: str) -> None:
        own = "macro strftime_now" in template
        self._run = compiled(template if own else dated(template, DATE))

    def render(self, **variables: Any) -> str:
        """The text."""
        return self._run(**variables)


@contextmanager
def _compiling_within_bounds() -> Iterator[None]:
    """In the block, transformers runs chat templates in our sandbox instead of its own."""
    from transformers.utils import chat_template_utils as library

    theirs = library._compile_jinja_template
    library._compile_jinja_template = _Compiled
    try:
        yield
    finally:
        library._compile_jinja_template = theirs
