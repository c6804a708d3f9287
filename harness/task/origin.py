"""Whether an SAE or an adapter was trained on the model that it is given, by names."""

from __future__ import annotations

import re

from harness.text import for_terminal

_SAME = {"gpt2-small": "gpt2"}
"""Names of TransformerLens for models that have another one elsewhere."""
_CACHED = re.compile(r"\bmodels--([^/\\]+)")
"""A model's folder in the hub's cache."""
_PREFIXES = re.compile(r"^meta-(?=llama)")


def another_model(trained_on: str | None, model: str, names: tuple[str, ...]) -> str | None:
    """A sentence that names both where an SAE was trained on another model than its task has.

    `trained_on` is what the SAE's files say, `model` the entry of `[models]`, and `names` what that
    model is called. None where they agree, or where either has no name. Names agree by their last
    part: who publishes a copy, or where it lies, makes no other model.
    """
    if agree(trained_on, names):
        return None
    return (
        f"its files say that it was trained on {for_terminal(str(trained_on))!r}, and "
        f"models.{model} is {for_terminal(names[0])!r}. If these are two names of one model, "
        "nothing is wrong; else its latents mean nothing there. Give it the model that it was "
        "trained on."
    )


def another_pair(
    trained_on: str | None, models: tuple[str, str], names: tuple[tuple[str, ...], tuple[str, ...]]
) -> str | None:
    """A sentence that names all where an SAE of a pair was trained on other models than its task's.

    Its files name both models in one text, such as `org/base-org/tuned`, or the base alone. None
    where both are in it, where it names but one and that is there, or where nothing is known.
    """
    if not trained_on or not all(names):
        return None
    told = trained_on.lower()
    found = [{short for name in each if (short := _short(name)) in told} for each in names]
    if all(found) or (any(found) and _names_one(told, next(filter(None, found)))):
        return None
    left, right = (for_terminal(each[0]) for each in names)
    return (
        f"its files say that it was trained on {for_terminal(trained_on)!r}, and its pair has "
        f"models.{models[0]}, which is {left!r}, and models.{models[1]}, which is {right!r}. "
        "Allowed: the two models that it was trained on. If these are other names of the same "
        "models, set check_models = false."
    )


def _names_one(told: str, found: set[str]) -> bool:
    """Whether a text names no other model than one of those that are found in it."""
    rest = told.replace(max(found, key=len), "", 1)
    return told.count("/") < 2 and not rest.rpartition("/")[2].strip("-_. ")


def another_base(trained_on: str | None, names: tuple[str, ...]) -> str | None:
    """Likewise where a model's adapter says that it was trained on a model of another name."""
    if agree(trained_on, names):
        return None
    return (
        f"its adapter says that it was trained on {for_terminal(str(trained_on))!r}, and it is put "
        f"on {for_terminal(names[0])!r}. If these are two names of one model, nothing is wrong; "
        "else this is a model that nobody trained. Give it the model that it was trained on."
    )


def agree(trained_on: str | None, names: tuple[str, ...]) -> bool:
    """Whether a name is one of several, by their last parts; also where nothing can be compared."""
    short = _short(trained_on) if trained_on else ""
    return not short.strip(".") or not names or short in {_short(name) for name in names}


def _short(name: str) -> str:
    """The last part of a hub id or a folder, as names are compared."""
    cached = _CACHED.search(name)
    name = cached[1].replace("--", "/") if cached else name
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
    last = _PREFIXES.sub("", last)
    return _SAME.get(last, last)
