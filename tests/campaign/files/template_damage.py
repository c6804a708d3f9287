"""Chat templates: other words, other logic, loops without end, and ways out of the sandbox."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

from campaign.files.byte_damage import text_damage
from campaign.files.told import Told, shown

_TAG = re.compile(r"\{[{%].*?[%}]\}", re.DOTALL)


def template_damage(file: Path, chance: random.Random) -> Told:
    """A template in a file of its own."""
    luck = chance.random()
    if luck < 0.2:
        return text_damage(file, chance)
    old = file.read_text("utf-8", "replace")
    new, what = _hostile(old, chance) if luck < 0.6 else _edited(old, chance)
    file.write_text(new, "utf-8", "replace")
    return Told(what)


def embedded_template_damage(file: Path, chance: random.Random) -> Told:
    """A template among the settings of a tokenizer."""
    try:
        settings = json.loads(file.read_bytes())
        old = settings["chat_template"]
        new, what = _hostile(old, chance) if chance.random() < 0.5 else _edited(old, chance)
    except (ValueError, KeyError, TypeError, RecursionError):
        return Told("left as it was")
    settings["chat_template"] = new
    if chance.random() < 0.2:
        named = [{"name": chance.choice(("default", "tool_use", "")), "template": new}]
        settings["chat_template"] = chance.choice((named, named * 2, {"default": new}, [new]))
    file.write_text(json.dumps(settings), "utf-8")
    return Told(what)


def _edited(old: str, chance: random.Random) -> tuple[str, str]:
    """One tag of it dropped, doubled, moved or replaced; or a name in it."""
    tags = list(_TAG.finditer(old))
    if not tags:
        return old + "{{", "a bracket that nothing closes"
    tag = chance.choice(tags)
    start, end = tag.span()
    match chance.randrange(5):
        case 0:
            return old[:start] + old[end:], f"without {tag[0]}"
        case 1:
            return old[:end] + tag[0] + old[end:], f"{tag[0]} twice"
        case 2:
            other = chance.choice(tags)
            swapped = old[:start] + other[0] + old[end:]
            return swapped, f"{other[0]} in place of {tag[0]}"
        case 3:
            new = chance.choice(PIECES)
            return old[:start] + new + old[end:], f"{new[:60]!r} in place of {tag[0]}"
    words = sorted(set(re.findall(r"[a-z_]{3,}", old)))
    word, new = chance.choice(words), chance.choice((*words, "nothing", "self", "range"))
    return old.replace(word, new), f"{new} in place of {word}"


def _hostile(old: str, chance: random.Random) -> tuple[str, str]:
    piece = chance.choice(HOSTILE)
    match chance.randrange(3):
        case 0:
            return piece, f"all of it: {shown(piece)}"
        case 1:
            return piece + old, f"before it: {shown(piece)}"
    return old + piece, f"behind it: {shown(piece)}"


PIECES = [
    "{{ m }}", "{{ messages }}", "{{ m.content.x }}", "{{ m['content'][0] }}", "{{ 1 / 0 }}",
    "{{ raise_exception('no') }}", "{{ nothing.at.all }}", "{{ m.content | upper }}", "{{ none }}",
    "{{ m.content | tojson }}", "{{ m.content[:1] }}", "{{ loop.index }}", "{% break %}",
    "{{ strftime_now('%Y') }}", "{{ m.content | trim }}", "{% if false %}", "{% endfor %}",
    "{% endif %}", "{{", "}}", "{%", "%}", "{#", "{{ bos_token * 3 }}", "{{ m.role + 1 }}",
]  # fmt: skip
HOSTILE = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{{ 'x' * 10**9 }}", "{{ 'x' * 10**6 * 10**6 }}", "{{ 9**9**9 }}", "{{ '%1000000000d' % 1 }}",
    "{{ [[0] * 99999] * 99999 | string }}", "{{ range(10**9) | list }}", "{{ (1,) * 10**10 }}",
    "{% set x = namespace(s='x') %}{% for i in range(60) %}{% set x.s = x.s + x.s %}{% endfor %}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}", "{{ raise_exception('\\u001b[2J' * 999) }}",
    "{{ cycler.__init__.__globals__.os.system('touch stranger_was_here') }}",
    "{{ self.__init__.__globals__ }}", "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ messages.append(messages) }}", "{{ messages.clear() }}", "{{ messages.pop() }}",
    "{% set _ = messages[0].update({'content': 'other'}) %}", "{% include 'x' %}",
    "{% import 'os' as os %}", "{% extends 'x' %}", "{{ messages | attr('__class__') }}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{{ 'a' | replace('', 'b' * 10**7) }}",
    "{{ '\\ud800' }}", "{{ '\\x00' }}", "{{ lipsum(n=10**6) }}", "{{ ' ' | center(10**10) }}",
    "{% for m in messages recursive %}{{ loop(messages) }}{% endfor %}",
    "{{ '{:>9999999999}'.format(1) }}", "(" * 3000, "{{ " + "(" * 300 + "1" + ")" * 300 + " }}",
    "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "{{ " + "not " * 5000 + "1 }}", "{{ [" + "1," * 50_000 + "] }}", "{{ '" + "x" * 10**6 + "' }}",
    "{{ 'a'.join(['b' * 10**6] * 10**6) }}", "{{ joiner }}", "{{ dict(a=1).items }}", "", " ",
    "{{ messages | map(attribute='content') | join | wordwrap(1) }}", "{{ 'x' | urlize }}",
]  # fmt: skip
"""Templates that cost much, reach for more than they are given, or change what they are given."""
