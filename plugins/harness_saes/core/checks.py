"""Keys and values of a configuration, checked one by one; every message names the file."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping, Sequence, Set
from typing import Any, TypeVar

from harness.errors import ModelError, listed, suggestion
from harness.text import for_terminal

D = TypeVar("D", bound=int | None)


def count(
    data: Mapping[str, Any], key: str, where: str, *, most: int | None = None, most_is: str = ""
) -> int:
    """A whole number from 1, up to `most`, which `most_is` names; ModelError for anything else."""
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise wrong(where, key, value, "a whole number from 1")
    if most is not None and value > most:
        raise wrong(where, key, value, f"1 to {most_is}, which is {most}")
    return value


def number(data: Mapping[str, Any], key: str, default: float, where: str) -> float:
    """A finite number; `default` where the key is missing or null."""
    value = data.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise wrong(where, key, value, "a number")
    return float(value)


def flag(data: Mapping[str, Any], key: str, default: bool, where: str) -> bool:
    """True or false; `default` where the key is missing or null."""
    value = data.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise wrong(where, key, value, "true, false")
    return value


def text(data: Mapping[str, Any], key: str, where: str) -> str | None:
    """Text; None where the key is missing or null."""
    value = data.get(key)
    if value is not None and not isinstance(value, str):
        raise wrong(where, key, value, "text")
    return value


def choice(data: Mapping[str, Any], key: str, names: Sequence[str], where: str) -> Any:
    """One of some names; the first of them where the key is missing, null or empty."""
    value = data.get(key) or names[0]
    if value not in names:
        raise wrong(where, key, value, ", ".join(names))
    return value


def count_or(data: Mapping[str, Any], key: str, default: D, where: str, **most: Any) -> int | D:
    """As `count`; `default` where the key is missing or null."""
    return default if data.get(key) is None else count(data, key, where, **most)


def wrong(where: str, key: str, value: object, allowed: str) -> ModelError:
    """The error for a value that is not allowed."""
    said = "is missing" if value is None else f"is {_shown(value)}"
    return ModelError(f"{where}: key {key} {said}. Allowed: {allowed}.")


def words(text: str) -> frozenset[str]:
    """The words of a text: names of keys, too many to quote each."""
    return frozenset(text.split())


def refuse_unknown(
    data: Mapping[str, Any],
    deciding: Set[str],
    describing: Set[str],
    where: str,
    others: str = "what only tells of training",
) -> None:
    """Refuses a key that is neither read nor known to change no number.

    `deciding` are the keys that a format reads, `describing` those that only describe how the SAE
    was trained; `others` names the latter in the message.
    """
    for key in data:
        if key not in deciding | describing:
            raise ModelError(
                f"{where}: unknown key {_shown(key)}, which could change the numbers. "
                f"Allowed: {listed(deciding, 20)}, and {others}."
                f"{suggestion(key[:80], deciding | describing)} Remove the key if it changes "
                "nothing."
            )


def allowed(
    data: Mapping[str, Any], key: str, default: Any, values: tuple[Any, ...], where: str
) -> Any:
    """The value of a key, which must be one of `values`; the default where the key is missing."""
    value = data.get(key, default)
    # 1 and True are equal in Python, and different in JSON.
    if not any(value == v and type(value) is type(v) for v in values):
        raise wrong(where, key, value, ", ".join(json.dumps(v) for v in values))
    return value


def positive(data: Mapping[str, Any], key: str, where: str, *, zero: bool = False) -> float:
    """A finite number above 0, or from 0 with `zero`; ModelError for anything else."""
    value: Any = data.get(key)
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    if numeric and math.isfinite(value) and (value > 0 or (zero and value == 0)):
        return float(value)
    raise wrong(where, key, value, "a number from 0" if zero else "a number above 0")


def required_text(data: Mapping[str, Any], key: str, where: str) -> str:
    """Text; ModelError where the key is missing, null or something else."""
    value = text(data, key, where)
    if value is None:
        raise wrong(where, key, value, "text")
    return value


def _shown(value: object) -> str:
    """A value as Python writes it, as much of it as a reader takes in."""
    form = reprlib.Repr()
    form.maxlevel, form.maxdict, form.maxlist, form.maxtuple = 4, 12, 12, 12
    form.maxstring, form.maxlong, form.maxother = 200, 80, 200
    return for_terminal(form.repr(value), 400)
