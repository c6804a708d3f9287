"""Whether the model of an SAE is the one that it was trained on, by the names that both have."""

from __future__ import annotations

import re

from harness.text import for_terminal

_SAME = {"gpt2-small": "gpt2"}
"""Names of TransformerLens for models that have another one elsewhere."""
_PREFIXES = re.compile(r"^meta-(?=llama)")


def another_model(trained_on: str | None, model: str, names: tuple[str, ...]) -> str | None:
    """A sentence that names both where an SAE was trained on another model than its task has.

    `trained_on` is what the SAE's files say, `model` the entry of `[models]`, and `names` what that
    model is called. None where they agree, or where either has no name. Names agree by their last
    part: who publishes a copy, or where it lies, makes no other model.
    """
    if not trained_on or not names or _short(trained_on) in {_short(name) for name in names}:
        return None
    return (
        f"its files say that it was trained on {for_terminal(trained_on)!r}, and models.{model} is "
        f"{for_terminal(names[0])!r}. If these are two names of one model, nothing is wrong; else "
        "its latents mean nothing there. Give it the model that it was trained on."
    )


def _short(name: str) -> str:
    """The last part of a hub id or a folder, as names are compared."""
    last = name.replace("\\", "/").rstrip("/").rpartition("/")[2].lower()
    last = _PREFIXES.sub("", last)
    return _SAME.get(last, last)
