"""Fills the templates beside this file, which are tasks in TOML with places for what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.task.draft import toml
from harness.task.draft.asked import DraftModel, DraftSae, DraftText

_LONGEST = 512
"""Tokens of each text that are read."""
PAIR = "change"
"""What the pair of both models is called."""


def filled(template: str, **values: Any) -> str:
    """The text of a task: a template with values, which it writes as TOML with `toml(…)`."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    words = {"toml": toml.written_value, "table": toml.table, "comment": toml.comment}
    return environment.get_template(template).render(**words, sae_keys=_sae_keys, **values)


def shared(
    base: DraftModel, tuned: DraftModel, saes: Sequence[DraftSae], text: DraftText
) -> dict[str, Any]:
    """What all templates say: the models with their views, the SAEs, and the text."""
    side = spoken(base, tuned, text)
    return {
        "base": base,
        "tuned": tuned,
        "saes": saes,
        "text": text,
        "side": side,
        "prompts": _prompts(text, side),
    }


def spoken(base: DraftModel, tuned: DraftModel, text: DraftText) -> str | None:
    """Which model's chat template both sides read; None where the text is plain."""
    if text.form == "text":
        return None
    if tuned.facts.chat_template:
        return "tuned"
    if base.facts.chat_template:
        return "base"
    # Conversations need one: a model that cannot be read yet may have it.
    return "tuned" if text.form == "turns" else None


def _prompts(text: DraftText, side: str | None) -> Mapping[str, Mapping[str, Any]]:
    """How each view writes its prompt; the pair uses that of one of them for both."""
    plain: dict[str, Any] = {"max_tokens": _LONGEST}
    if text.form == "instruction":
        plain = {"template": "{text}\n", **plain}
    chat = {"style": "chat", "generation_prompt": text.form != "turns", "max_tokens": _LONGEST}
    return {name: chat if name == side else plain for name in ("base", "tuned")}


def _sae_keys(sae: DraftSae) -> Mapping[str, Any]:
    site = {"site": str(sae.site)} if sae.site is not None else {}
    trained_on = {"pair": PAIR} if sae.of_pair else {"model": "base"}
    return {"format": sae.format, **sae.keys, **site, **trained_on}
